"""Controllers by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.controllers.choice import NAMES, controller_of, model_of
from agents.llm.scripted import ScriptedModel
from agents.transcript import Transcript
from search.api.errors import ConfigError


@pytest.mark.parametrize("name", NAMES)
def test_every_name_makes_its_controller(name: str, tmp_path: Path) -> None:
    made = controller_of(name, ScriptedModel([]), tmp_path)
    assert made.name == ("llm_tools" if name == "auto" else name)
    assert (tmp_path / "transcripts").exists() is (name != "expert")


def test_without_a_model_the_expert_decides_and_others_say_what_to_set() -> None:
    assert controller_of("auto", None).name == "expert"
    with pytest.raises(ConfigError, match=r"llm_json needs a language model: set CIPHER_SEARCH"):
        controller_of("llm_json", None)
    with pytest.raises(ConfigError, match="unknown controller 'gpt'"):
        controller_of("gpt", None)


def test_models_come_from_the_environment_or_a_transcript(tmp_path: Path) -> None:
    assert model_of({}) is None
    model = model_of({"CIPHER_SEARCH_MODEL": "m", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"})
    assert model is not None
    assert model.name == "m"
    Transcript(tmp_path / "t.jsonl").add("start", model="big")
    replayed = model_of({}, tmp_path / "t.jsonl")
    assert replayed is not None
    assert replayed.name == "big"
