"""A model that says what it is told to: for tests, demonstrations, and replays of transcripts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from agents.llm.model import ModelFailure, Reply, Request, ToolCall
from agents.transcript import read_transcript

Line = Reply | ModelFailure | Callable[[Request], Reply]


class ScriptedModel:
    """Gives its lines in order; after the last one it fails.

    Args:
        lines: replies, failures to raise, or functions of the request.
        name: shown in transcripts.
        price: money per token, in and out alike.
    """

    secrets: tuple[str, ...] = ()

    def __init__(self, lines: Iterable[Line], name: str = "scripted", price: float = 0.0) -> None:
        self._lines = iter(lines)
        self._name, self._price = name, price
        self.requests: list[Request] = []

    @classmethod
    def from_transcript(cls, path: Path) -> ScriptedModel:
        """The model that answers as the one recorded in ``path`` did.

        Raises:
            StoreError: the file cannot be read.
        """
        events = read_transcript(path)
        name = next((str(e["model"]) for e in events if e["kind"] == "start"), "scripted")
        return cls([line for e in events if (line := _line(e)) is not None], name)

    @property
    def name(self) -> str:
        """For people and transcripts."""
        return self._name

    def money(self, tokens_in: int, tokens_out: int) -> float:
        """What so many tokens cost."""
        return self._price * (tokens_in + tokens_out)

    def answer(self, request: Request) -> Reply:
        """The next line.

        Raises:
            ModelFailure: the line is a failure, or there is none left.
        """
        self.requests.append(request)
        line = next(self._lines, None)
        if line is None:
            raise ModelFailure("the script has no further line")
        if isinstance(line, ModelFailure):
            raise line
        return line(request) if callable(line) else line


def _line(event: dict[str, Any]) -> Line | None:
    if event["kind"] == "failure":
        return ModelFailure(event["text"], again=event["again"], after_s=0.0)
    if event["kind"] != "reply":
        return None
    calls = tuple(
        ToolCall(c["name"], c["arguments"], c["identifier"], c["text"]) for c in event["calls"]
    )
    return Reply(event["text"], calls, event["tokens_in"], event["tokens_out"], event["cut"])
