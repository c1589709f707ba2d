"""Chats over a small real study: two knobs, a rule, a cheap rung and a dear one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from agents.api import Controller, Limits, Tool, Toolbox
from agents.chat.chat import Chat, Parts
from agents.chat.commands import handle
from agents.llm.model import ChatModel
from agents.workbench import StudyBench
from search import Integer, Metric, Ordinal, Param, Study
from search.api.metric import Measurement

METRICS = (
    Metric("latency", "ms", "min", "Time of one inference."),
    Metric("precision", "bit", "max", "Bits that are right."),
    Metric("memory", "MB", "min", "Keys."),
)


@dataclass
class Encrypted:
    """Three formulas, as the dear rung."""

    metrics: Sequence[Metric] = METRICS
    needs: frozenset[str] = frozenset()
    evidence: Any = "measured"
    interrupt: list[bool] = field(default_factory=list)

    def evaluate(self, candidate: Any, fidelity: Any, ctx: Any) -> list[Measurement]:
        """The formulas."""
        if self.interrupt and self.interrupt.pop():
            raise KeyboardInterrupt
        point = candidate.payload
        ring = 2.0 ** (point["log_n"] - 12)
        found = (500.0 * ring, point["scale"] - 0.5 * point["log_n"] - 6.5, 30.0 * ring)
        return [
            Measurement(m.name, v, m.unit, fidelity.name, self.evidence)
            for m, v in zip(METRICS, found, strict=True)
        ]


@dataclass
class Predicted(Encrypted):
    """The same formulas, as the cheap rung."""

    evidence: Any = "model"


@dataclass
class Talk:
    """A chat with what was said in it."""

    chat: Chat
    said: list[str]
    asked: list[str]
    answers: list[str]
    encrypted: Encrypted

    def __call__(self, *lines: str) -> list[str]:
        """Say lines; what the agent said since."""
        self.said.clear()
        for line in lines:
            handle(self.chat, line)
        return list(self.said)

    @property
    def text(self) -> str:
        """What the agent said last, as one text."""
        return "\n".join(self.said)


class _Nothing(BaseModel):
    model_config = ConfigDict(extra="forbid")


def small_tools(bench: StudyBench) -> Toolbox:
    """One tool, whose result is data of others."""
    tool = Tool("describe_network", "What runs.", _Nothing, lambda a: {"layers": ["fc1", "fc2"]})
    return Toolbox({tool.name: tool})


@pytest.fixture
def talk(
    tmp_path: Path, expert: Controller, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Talk]:
    """Makes chats; ``answers`` are given to questions, then ``n`` for ever."""
    from spaces.parameters import ParameterSpace

    monkeypatch.setattr("agents.workbench.DEAR", (f"{Encrypted.__module__}.Encrypted",))

    def make(
        answers: Iterable[str] = (),
        model: ChatModel | None = None,
        controller: Controller | None = None,
        limits: Limits | None = None,
    ) -> Talk:
        params = (
            Param("log_n", Ordinal((12, 13, 14)), doc="log2 of the ring dimension"),
            Param("scale", Integer(20, 50), "bit"),
        )
        encrypted = Encrypted()
        study = Study(
            name="small",
            space=ParameterSpace(params),
            ladder=[
                {"rung": "predicted", "evaluators": [Predicted()]},
                {"rung": "encrypted", "evaluators": [encrypted]},
            ],
            objectives=["latency", "precision"],
            constraints=["memory <= 1 GB"],
            known=["3 * scale - 100 * log_n <= -1144"],
            directory=tmp_path / "runs",
        )
        said: list[str] = []
        asked: list[str] = []
        given = list(answers)

        def ask(question: str) -> str:
            asked.append(question)
            return given.pop(0) if given else "n"

        parts = Parts(lambda: controller or expert, small_tools, model)
        chat = Chat(study, parts, say=said.append, ask=ask, limits=limits)
        return Talk(chat, said, asked, given, encrypted)

    return make
