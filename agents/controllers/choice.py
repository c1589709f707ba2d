"""Controllers by name, with the model that the environment names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from agents.api import Controller
from agents.controllers.closing import Backing
from agents.llm.model import ChatModel
from agents.llm.scripted import ScriptedModel
from agents.llm.settings import HOW_TO_SET, ModelSettings
from agents.transcript import Transcript
from search.api.errors import ConfigError

EXPERT = "expert"
NAMES = ("auto", EXPERT, "llm_tools", "llm_json", "one_shot")
"""``auto`` is ``llm_tools`` where a model is set, else ``expert``."""

RESERVE = 2
"""Encrypted runs kept for the expert behind a model: one to confirm, one after a correction."""


def model_of(
    environ: Mapping[str, str] | None = None, replay: Path | None = None
) -> ChatModel | None:
    """The model that is set, or the one recorded in a transcript; None without either.

    Raises:
        ConfigError: it cannot be reached as set.
        StoreError: the transcript cannot be read.
    """
    if replay is not None:
        return ScriptedModel.from_transcript(replay)
    settings = ModelSettings.from_environment(environ)
    if settings is None:
        return None
    from agents.llm.openai_model import OpenAIModel

    return OpenAIModel(settings)


def controller_of(
    name: str,
    model: ChatModel | None,
    run: Path | None = None,
    *,
    second_opinion: bool = True,
) -> Controller:
    """The controller called ``name``.

    Args:
        name: one of :data:`NAMES`.
        model: who is asked; the expert needs none.
        run: run directory, for the transcript; None keeps it in memory.
        second_opinion: let the expert look for something better than a model's result.

    Raises:
        ConfigError: unknown name, or a model is needed and none is set.
    """
    from agents.expert import Expert

    if name not in NAMES:
        raise ConfigError(
            f"unknown controller {name!r} (known: {', '.join(NAMES)})", path="controller"
        )
    if name == "auto":
        name = EXPERT if model is None else "llm_tools"
    if name == EXPERT:
        return Expert()
    if model is None:
        raise ConfigError(
            f"{name} needs a language model: {HOW_TO_SET}. The expert needs none",
            path="controller",
        )
    secrets = model.secrets
    transcript = Transcript(None, secrets) if run is None else Transcript.within(run, name, secrets)
    if name == "one_shot":
        from agents.controllers.one_shot import OneShot

        return OneShot(model, transcript)
    backing = Backing(Expert(), RESERVE, second_opinion)
    if name == "llm_json":
        from agents.controllers.llm_json import LlmJson

        return LlmJson(model, backing, transcript)
    from agents.controllers.llm_tools import LlmTools

    return LlmTools(model, backing, transcript)
