"""Models that follow a script."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.llm.model import ModelFailure, Reply, Request, ToolCall
from agents.llm.scripted import ScriptedModel
from agents.transcript import Transcript
from search.api.errors import StoreError

ASK = Request([{"role": "user", "content": "hello"}])


def test_lines_in_order_then_failure() -> None:
    model = ScriptedModel([
        Reply("one"),
        ModelFailure("busy"),
        lambda request: Reply(str(len(request.messages))),
    ], price=0.5)  # fmt: skip
    assert model.answer(ASK).text == "one"
    with pytest.raises(ModelFailure, match="busy"):
        model.answer(ASK)
    assert model.answer(ASK).text == "1"
    with pytest.raises(ModelFailure, match="no further line"):
        model.answer(ASK)
    assert len(model.requests) == 4
    assert model.money(1, 3) == 2.0


def test_a_recorded_model_answers_again(tmp_path: Path) -> None:
    transcript = Transcript(tmp_path / "t.jsonl")
    reply = Reply("a", (ToolCall("look", {"x": [1]}, "id"), ToolCall("bad", None, "", "{")), 1, 2)
    transcript.add("start", model="big")
    transcript.add("failure", text="busy", again=True)
    transcript.add("reply", text=reply.text, calls=list(reply.calls), tokens_in=1, tokens_out=2,
                   cut=False)  # fmt: skip
    model = ScriptedModel.from_transcript(tmp_path / "t.jsonl")
    assert model.name == "big"
    with pytest.raises(ModelFailure) as caught:
        model.answer(ASK)
    assert caught.value.again
    assert caught.value.after_s == 0.0
    assert model.answer(ASK) == reply


def test_no_transcript_no_model(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be read as a transcript"):
        ScriptedModel.from_transcript(tmp_path / "none.jsonl")
