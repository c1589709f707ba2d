"""Goals and answers: by rules, then by a model whose words are checked."""

from __future__ import annotations

from typing import Any

from agents.api import Goal
from agents.chat.understand import answer, goal_of
from agents.llm.model import ModelFailure, Reply
from agents.llm.scripted import ScriptedModel


def test_rules_come_first(talk: Any) -> None:
    model = ScriptedModel([])
    it = talk(model=model)
    assert goal_of(it.chat, "under 2 s at 20 bits") == Goal(
        "latency", ("latency <= 2 s", "precision >= 20 bit")
    )
    assert not model.requests


def test_a_models_goal_fits_a_schema_and_the_study(talk: Any) -> None:
    model = ScriptedModel([Reply('{"minimise": "latency", "demands": ["latency <= 3 GiB"]}')])
    it = talk(model=model)
    assert goal_of(it.chat, "be nice") is None
    assert "cannot be used" in it.text
    schema = model.requests[0].schema
    assert schema is not None
    assert schema["properties"]["minimise"]["enum"] == ["latency", "memory", "precision"]


def test_a_model_that_fails_is_said(talk: Any) -> None:
    it = talk(model=ScriptedModel([ModelFailure("no connection"), ModelFailure("no connection")]))
    assert goal_of(it.chat, "be nice") is None
    answer(it.chat, "why?")
    assert it.text.count("no connection") == 2


def test_an_empty_answer_is_said(talk: Any) -> None:
    it = talk(model=ScriptedModel([Reply("")]))
    answer(it.chat, "why?")
    assert it.said == ["The model said nothing. /why says what is known."]
