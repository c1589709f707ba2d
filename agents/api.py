"""The words of agents: tools, goals, limits and what a controller is.

A *controller* decides, a *tool* does. Controllers with a language model, without one, and a person
in a chat all act through the same tools on the same study, so their results can be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from pydantic import BaseModel

from search.api.domain import Point
from search.api.trial import Trial

Json = Mapping[str, Any]


class ToolError(Exception):
    """A call cannot be answered; the text goes back to whoever called, and costs no trial."""


@dataclass(frozen=True)
class Tool:
    """A deterministic function with typed arguments; JSON in and out.

    Args:
        name: as controllers and the command line call it.
        doc: one or two sentences for a model and for people.
        arguments: pydantic model of the arguments, ``extra="forbid"``, every field described.
        call: checked arguments -> JSON-safe result. Raises ``ToolError`` for what is wrong with the
            request. Never returns a secret, or a path outside the run.
        dear: whether a call may cost an encrypted run (a chat asks before, budgets count it).
    """

    name: str
    doc: str
    arguments: type[BaseModel]
    call: Callable[[Any], Json]
    dear: bool = False


@dataclass(frozen=True)
class Goal:
    """What is wanted.

    Args:
        minimise: metric to make small (or large, if its goal is ``max``) among feasible points.
        demands: constraints in words of the configuration, such as ``precision_ckks >= 20 bit``.
    """

    minimise: str
    demands: tuple[str, ...] = ()


@dataclass(frozen=True)
class Limits:
    """Hard budgets of one session; whatever is spent first ends it in good order."""

    turns: int = 40
    tool_calls: int = 200
    tokens: int = 200_000
    money: float = 1.0
    seconds: float = 1800.0
    encrypted_runs: int = 8


@dataclass
class Spent:
    """What a session has used of its limits."""

    turns: int = 0
    tool_calls: int = 0
    tokens: int = 0
    money: float = 0.0
    seconds: float = 0.0
    encrypted_runs: int = 0


Ending = Literal["reached", "stuck", "budget", "stopped", "infeasible"]


@dataclass(frozen=True)
class SessionResult:
    """How a session ended.

    Args:
        ending: ``reached``: goal met and confirmed by the top rung. ``stuck``: no repair predicts a
            gain. ``budget``: a limit was reached. ``stopped``: by a person. ``infeasible``: no
            legal point meets the demands, as far as the rungs can tell.
        chosen: the committed trial, if any.
        spent: of the limits.
        reason: one sentence for people; names the limit, or the fallback if a model was replaced.
        fallback: whether the rule-based expert took over from a model.
    """

    ending: Ending
    chosen: Trial | None
    spent: Spent
    reason: str
    fallback: bool = False


class Workbench(Protocol):
    """A study as controllers see it: nothing else of the machine is in reach."""

    @property
    def goal(self) -> Goal:
        """What is wanted."""
        ...

    @property
    def rungs(self) -> tuple[str, ...]:
        """Names of the ladder's rungs, lowest first; the last one is the confirmation."""
        ...

    @property
    def spent(self) -> Spent:
        """What was used so far."""
        ...

    @property
    def limits(self) -> Limits:
        """What may be used."""
        ...

    def evaluate(self, point: Point, up_to: str, reason: str) -> Trial:
        """Climb the ladder for ``point`` up to a rung, as a recorded trial; equal requests are
        answered from the history.

        Raises:
            ToolError: the point is illegal (with the rule and the nearest legal value), the rung
                unknown, or a limit is reached.
        """
        ...

    def trials(self) -> tuple[Trial, ...]:
        """Every trial of the study."""
        ...

    def feasible(self, trial: Trial) -> bool:
        """Whether what was measured so far meets every demand."""
        ...


@dataclass(frozen=True)
class Toolbox:
    """Tools by name."""

    tools: Mapping[str, Tool] = field(default_factory=dict)

    def call(self, name: str, arguments: Json) -> Json:
        """The tool's answer, or ``{"error": ..., "hint": ...}``: never raises for what a model
        may get wrong (unknown tool, bad arguments, refused request).
        """
        tool = self.tools.get(name)
        if tool is None:
            return {"error": f"unknown tool {name!r}", "hint": f"known: {', '.join(self.tools)}"}
        try:
            checked = tool.arguments.model_validate(dict(arguments))
        except ValueError as problem:
            return {"error": f"{name}: {problem}", "hint": "mend the arguments"}
        try:
            return tool.call(checked)
        except ToolError as problem:
            return {"error": str(problem)}


class Controller(Protocol):
    """Who decides: the expert, a language model, a baseline."""

    @property
    def name(self) -> str:
        """Name in records and reports."""
        ...

    def run(self, bench: Workbench, tools: Toolbox, say: Callable[[str], None]) -> SessionResult:
        """Pursue the bench's goal within its limits. ``say`` tells a person what is going on."""
        ...
