"""What the expert for CKKS would evaluate next, given the trials so far.

The expert is run against the history alone: what it asks for is answered from there, and the first
question that the history cannot answer is its advice. So an ordinary study and a session of the
expert follow one logic, and nothing is remembered besides the trials.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from agents.advisors.advice import Advice, advice
from agents.api import Goal, Limits, Toolbox, ToolError
from agents.goals import study_goal
from agents.workbench import StudyBench
from search.api.domain import Point, point_digest
from search.api.errors import ConfigError
from search.api.searching import StudyView
from search.api.trial import Trial
from search.blueprint import Blueprint
from search.config import Plugin
from search.study import Study

NAME = "ckks_repair"
_MODELS = frozenset({"ckks_static", "ckks_predicted"})


class CkksRepairConfig(BaseModel):
    """Options of :class:`CkksRepair`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    minimise: str = Field("", description="Metric to improve; empty: the study's first objective.")
    demands: tuple[str, ...] = Field(
        (),
        description="Bounds besides the study's constraints, such as 'precision_ckks >= 20 bit'.",
    )


class CkksRepair:
    """Advises as the rule-based expert decides: global parameters, then repair of bottlenecks.

    Args:
        blueprint: of the study that is advised; nothing is run or written.
        config: options.

    Raises:
        ConfigError: the goal names no metric of the study, or the study has no models of CKKS.
    """

    Config = CkksRepairConfig

    def __init__(self, blueprint: Blueprint, config: CkksRepairConfig | None = None) -> None:
        options = config or CkksRepairConfig()
        components = blueprint.components
        names = {e.name for rung in blueprint.spec.ladder for e in rung.evaluators}
        if getattr(components.ladder.space, "kind", "") != "ckks" or not names & _MODELS:
            raise ConfigError(
                "ckks_repair reasons by the models of CKKS studies (this one has another space, or "
                "neither ckks_static nor ckks_predicted on its ladder)",
                path="searcher.advisor",
            )
        own = [str(c) for c in components.ladder.constraints]
        self._goal = study_goal(
            [options.minimise or components.objectives[0]],
            [*own, *options.demands],
            components.metrics(),
        )
        self._blueprint = blueprint
        self._study: Study | None = None

    @classmethod
    def from_config(cls, config: CkksRepairConfig, blueprint: Blueprint) -> CkksRepair:
        """The advisor of the study that ``blueprint`` describes."""
        return cls(blueprint, config)

    def advise(self, view: StudyView) -> Advice | None:
        """The point the expert asks for next; None if it is content, or waits for a trial."""
        from agents.expert import Expert

        if self._study is None:
            self._study = _advised(self._blueprint)
        bench = _Replayed(self._study, self._goal, view.trials())
        try:
            Expert().run(bench, Toolbox(), _nothing)
        except _Wanted as wanted:
            return advice(wanted.point, NAME, wanted.reason)
        except _Waiting:
            return None
        return None


def _advised(blueprint: Blueprint) -> Study:
    """The study as the expert looks at it; its own searcher would ask for this advisor again."""
    spec = blueprint.spec.model_copy(update={"searcher": Plugin(name="auto")})
    return Study.from_spec(spec, plugins=blueprint.plugins, path=blueprint.path)


class _Wanted(Exception):
    """The history holds no answer to this question."""

    def __init__(self, point: Point, reason: str) -> None:
        super().__init__(reason)
        self.point, self.reason = point, reason


class _Waiting(Exception):
    """The answer is being measured."""


class _Replayed(StudyBench):
    """A bench that answers from given trials, and never runs one."""

    def __init__(self, study: Study, goal: Goal, trials: Sequence[Trial]) -> None:
        super().__init__(study, goal, Limits(encrypted_runs=10**6, seconds=1e9), by=NAME)
        self._given = tuple(trials)

    def evaluate(self, point: Point, up_to: str, reason: str) -> Trial:
        """The last trial of ``point``.

        Raises:
            ToolError: the point is illegal.
        """
        legal = self.point(point)
        broken = self.check(legal)
        if broken:
            raise ToolError("; ".join(v.detail for v in broken))
        digest = point_digest(legal)
        found = [t for t in self._given if point_digest(t.point) == digest]
        if not found:
            raise _Wanted(legal, reason)
        if found[-1].status == "running":
            raise _Waiting
        return found[-1]

    def trials(self) -> tuple[Trial, ...]:
        """The given trials that have ended."""
        return tuple(t for t in self._given if t.status != "running")

    def trial(self, number: int) -> Trial:
        """Trial ``number``.

        Raises:
            ToolError: there is none.
        """
        for trial in self.trials():
            if trial.number == number:
                return trial
        raise ToolError(f"no trial {number}")

    @contextlib.contextmanager
    def opened(self) -> Iterator[StudyBench]:
        """Nothing to hold."""
        yield self


def _nothing(text: Any) -> None:
    """Say nothing."""
