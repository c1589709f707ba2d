"""A small real bench for whatever needs no network and no keys: three rungs, two knobs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field

from agents.api import Goal, Limits, SessionResult, Spent, Tool, Toolbox, ToolError, Workbench
from agents.workbench import StudyBench
from search.api.metric import Constraint, Measurement
from search.api.trial import Origin, Outcome, RungResult, Trial
from search.config import parse_spec
from search.study import Study

CAPACITY = {12: 125, 13: 218, 14: 438}


class TinyBench:
    """A Workbench in memory: a ring dimension and a scale, judged by three formulas."""

    rungs = ("static", "predicted", "encrypted")

    def __init__(self, goal: Goal, limits: Limits) -> None:
        self.goal, self.limits, self.spent = goal, limits, Spent()
        self.layer = "fc1"
        self._trials: list[Trial] = []

    def evaluate(self, point: Mapping[str, Any], up_to: str, reason: str) -> Trial:
        """As the protocol says."""
        if up_to not in self.rungs:
            raise ToolError(f"no rung {up_to!r} (known: {', '.join(self.rungs)})")
        broken = self.broken(point)
        if broken:
            raise ToolError(broken)
        known = next((t for t in self._trials if t.point == point and _reached(t, up_to)), None)
        if known is not None:
            return known
        if up_to == "encrypted":
            if self.spent.encrypted_runs >= self.limits.encrypted_runs:
                raise ToolError("the limit on encrypted runs is reached")
            self.spent.encrypted_runs += 1
        rungs = []
        for rung in self.rungs[: self.rungs.index(up_to) + 1]:
            evidence: Any = "measured" if rung == "encrypted" else "model"
            latency = 0.5 * 2.0 ** (point["log_n"] - 12)
            precision = point["scale"] - 0.5 * point["log_n"] - 6.5
            found = (
                Measurement("latency", latency, "s", rung, evidence),
                Measurement("precision", precision, "bit", rung, evidence),
            )
            rungs.append(RungResult(rung, 0.01, () if rung == "static" else found))
        number = len(self._trials)
        complete = up_to == "encrypted"
        outcome = Outcome(number, "complete" if complete else "gated", tuple(rungs))
        self._trials.append(
            Trial(number, dict(point), 0, Origin("user", "test", reason), outcome.status,
                  (latency,) if complete else None, outcome)
        )  # fmt: skip
        return self._trials[-1]

    def broken(self, point: Mapping[str, Any]) -> str:
        """Why ``point`` is illegal."""
        if set(point) != {"log_n", "scale"}:
            return f"a point has log_n and scale (got {', '.join(map(str, point))})"
        if point["log_n"] not in CAPACITY or not isinstance(point["scale"], int):
            return "log_n: expected 12, 13 or 14, and scale a whole number"
        if 3 * point["scale"] + 62 > CAPACITY[point["log_n"]]:
            nearest = (CAPACITY[point["log_n"]] - 62) // 3
            return f"insecure: scale {point['scale']} is too large (nearest legal: {nearest})"
        return ""

    def trials(self) -> tuple[Trial, ...]:
        """Every trial."""
        return tuple(self._trials)

    def feasible(self, trial: Trial) -> bool:
        """Whether the demands hold."""
        for text in self.goal.demands:
            bound = Constraint.parse(text)
            found = trial.measurement(bound.metric)
            if found is None or bound.excess(found.value, found.unit) > 0:
                return False
        return True


def _reached(trial: Trial, rung: str) -> bool:
    return trial.outcome is not None and any(r.rung == rung for r in trial.outcome.rungs)


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Nothing(_Arguments):
    pass


class _Point(_Arguments):
    log_n: int = Field(ge=12, le=14, description="log2 of the ring dimension")
    scale: int = Field(ge=20, le=50, description="bits")


class _Check(_Arguments):
    point: _Point = Field(description="what to check")


class _Evaluate(_Check):
    up_to: str = Field("predicted", description="rung")
    reason: str = Field("", description="why")


def tiny_tools(bench: TinyBench) -> Toolbox:
    """Four tools over a bench."""

    def evaluate(a: _Evaluate) -> dict[str, Any]:
        trial = bench.evaluate(a.point.model_dump(), a.up_to, a.reason)
        found = {m.metric: m.value for m in trial.outcome.measurements} if trial.outcome else {}
        return {"trial": trial.number, "meets_demands": bench.feasible(trial), **found}

    def check(a: _Check) -> dict[str, Any]:
        reason = bench.broken(a.point.model_dump())
        return {"legal": not reason, "reason": reason}

    tools = [
        Tool("describe_network", "What runs.", _Nothing, lambda a: {"layers": [bench.layer]}),
        Tool("check", "Whether a point is legal.", _Check, check),
        Tool("evaluate", "Measure a point.", _Evaluate, evaluate, dear=True),
        Tool("history", "Trials.", _Nothing, lambda a: {"trials": len(bench.trials())}),
    ]
    return Toolbox({tool.name: tool for tool in tools})


class TinyExpert:
    """Takes the smallest ring that may hold the demands, and confirms it."""

    name = "expert"

    def run(self, bench: Workbench, tools: Toolbox, say: Callable[[str], None]) -> SessionResult:
        """Pursue the goal."""
        for log_n, scale in ((12, 21), (13, 40), (14, 50)):
            point = {"log_n": log_n, "scale": scale}
            try:
                trial = bench.evaluate(point, "predicted", "rule of thumb")
            except ToolError as problem:
                say(f"{log_n}: {problem}")
                continue
            if bench.feasible(trial):
                try:
                    trial = bench.evaluate(point, "encrypted", "confirm")
                except ToolError as problem:
                    return SessionResult("budget", None, bench.spent, str(problem))
                return SessionResult("reached", trial, bench.spent, "the smallest ring that holds")
        return SessionResult("infeasible", None, bench.spent, "no ring holds")


@pytest.fixture
def tiny_bench() -> Callable[..., TinyBench]:
    """Makes benches; limits are keyword arguments, demands come first."""

    def make(*demands: str, **limits: Any) -> TinyBench:
        wanted = demands or ("precision >= 20 bit", "latency <= 2 s")
        return TinyBench(Goal("latency", wanted), Limits(**limits))

    return make


@pytest.fixture
def tools_of() -> Callable[[TinyBench], Toolbox]:
    """Makes the tools of a bench."""
    return tiny_tools


@pytest.fixture
def expert() -> TinyExpert:
    """A controller that needs no model."""
    return TinyExpert()


def digits_spec(folder: Path, **changes: Any) -> dict[str, Any]:
    """A CKKS study of a small perceptron on digits; with an encrypted rung of two images."""
    spec: dict[str, Any] = {
        "study": {"name": "digits", "directory": str(folder)},
        "workload": {
            "name": "image_classification",
            "network": {"name": "ckks_mlp", "hidden": [32]},
            "data": "digits",
            "teacher": {"epochs": 1, "learning_rate": 0.02},
        },
        "space": {
            "name": "ckks", "log_n": [12, 13], "scale": [24, 44], "headroom": [4, 7],
            "special_gap": [10, 12], "weight_bits": [20, 32],
        },
        "method": "pretrained",
        "objectives": ["latency_ckks", "precision_ckks", "memory_ckks"],
        "ladder": [
            {"rung": "static", "evaluators": ["ckks_static"]},
            {
                "rung": "predicted",
                "evaluators": [{"name": "ckks_predicted", "images": 1, "extreme": 1}],
                "gates": ["predicted_precision >= 6 bit"],
            },
            {
                "rung": "encrypted",
                "evaluators": [
                    {"name": "ckks_encrypted", "images": 1, "repeats": 1, "extreme": 0,
                     "clock": "cpu"}
                ],
            },
        ],
    }  # fmt: skip
    return {**spec, **changes}


def predicted_only(folder: Path, **changes: Any) -> dict[str, Any]:
    """The same without the encrypted rung: the models confirm."""
    spec = digits_spec(folder)
    objectives = ["predicted_latency_ckks", "predicted_precision"]
    return {**spec, "ladder": spec["ladder"][:2], "objectives": objectives, **changes}


@pytest.fixture
def digits_bench(tmp_path: Path) -> Callable[..., StudyBench]:
    """Makes benches over real CKKS studies of digits."""

    def make(
        minimise: str = "",
        demands: tuple[str, ...] = (),
        limits: Limits | None = None,
        encrypted: bool = False,
        **changes: Any,
    ) -> StudyBench:
        data = (
            digits_spec(tmp_path, **changes) if encrypted else predicted_only(tmp_path, **changes)
        )
        study = Study.from_spec(parse_spec(data))
        return StudyBench(study, Goal(minimise or study.objectives[0].name, demands), limits)

    return make
