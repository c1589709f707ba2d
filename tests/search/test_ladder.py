"""Climbing: rungs in order, gates, caching, and every way a trial can end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from search import Candidate, Constraint, Measurement, Metric, Violation
from search.api.errors import EvaluationError, InfeasibleCandidate
from search.api.metric import Fidelity
from search.api.trial import Job, Outcome
from search.ladder import Ladder, LadderRung

COST = Metric("cost", "ms", "min", "doc")


class Numbers:
    """A space of one number; 13 cannot be built."""

    kind = "numbers"

    def params(self) -> Sequence[Any]:
        return ()

    def check(self, point: Mapping[str, Any]) -> Sequence[Violation]:
        return [Violation("unlucky", "13 cannot be built", 1.0, "")] if point["v"] == 13 else []

    def build(self, point: Mapping[str, Any]) -> int:
        if self.check(point):
            raise InfeasibleCandidate(self.check(point))
        return int(point["v"])


class Keep:
    """Writes a file per rung and hands the candidate on."""

    decides_space = False

    def params(self) -> Sequence[Any]:
        return ()

    def prepare(self, ctx: Any) -> None:
        pass

    def produce(self, space: Any, point: Any, fidelity: Any, ctx: Any, warm: Any) -> Any:
        weights = ctx.workdir / "weights.bin"
        weights.write_text(fidelity.name)
        ctx.report(1, loss=0.5)
        ctx.note(fidelity.name, fidelity.budget.get("epochs", 0))
        return Candidate(space.kind, space.build(point), weights, parent=warm and warm.digest)


class Cost:
    metrics = (COST,)

    def __init__(self, needs: frozenset[str] = frozenset(), value: Any = None) -> None:
        self.needs, self.value, self.calls = needs, value, 0

    def evaluate(self, candidate: Any, fidelity: Fidelity, ctx: Any) -> Any:
        self.calls += 1
        if isinstance(self.value, Exception):
            raise self.value
        if self.value is not None:
            return self.value
        return [Measurement("cost", float(candidate.payload), "ms", fidelity.name, "model")]


def ladder(*evaluators: Cost, gates: Sequence[str] = (), constraints: Sequence[str] = ()) -> Ladder:
    rungs = [
        LadderRung(
            Fidelity(f"rung{i}", i, {"epochs": float(i)}),
            (e,),
            tuple(map(Constraint.parse, gates)) if i == 0 else (),
        )
        for i, e in enumerate(evaluators)
    ]
    return Ladder(
        space=Numbers(), method=Keep(), rungs=rungs,
        constraints=[Constraint.parse(c) for c in constraints],
    )  # fmt: skip


def climb(
    tested: Ladder, tmp_path: Path, value: int = 5, up_to: str | None = None, stop: Any = None
) -> Outcome:
    tmp_path.mkdir(exist_ok=True)
    job = Job(0, {"v": value}, 1, up_to=up_to)
    return tested.execute(job, lambda kind, data: None, stop or (lambda: False), tmp_path)


def test_all_rungs_are_climbed_with_warm_start_and_files(tmp_path: Path) -> None:
    outcome = climb(ladder(Cost(), Cost()), tmp_path)
    assert outcome.status == "complete"
    assert [r.rung for r in outcome.rungs] == ["rung0", "rung1"]
    assert outcome.candidate is not None
    assert outcome.candidate["payload"] == 5
    assert outcome.candidate["weights"] == "weights.bin"
    assert outcome.candidate["parent"] == outcome.candidate["digest"]
    assert outcome.artefacts["weights.bin"].read_text() == "rung1"
    assert outcome.notes == {"rung0": 0.0, "rung1": 1.0}


def test_a_gate_ends_the_trial_with_its_excess(tmp_path: Path) -> None:
    second = Cost()
    outcome = climb(ladder(Cost(), second, gates=["cost <= 3000 us"]), tmp_path)
    assert outcome.status == "gated"
    assert outcome.excess == {"cost <= 3000 us": 2000.0}
    assert second.calls == 0


def test_constraints_are_told_without_ending(tmp_path: Path) -> None:
    outcome = climb(ladder(Cost(), constraints=["cost <= 3 ms", "cost >= 1 ms"]), tmp_path)
    assert outcome.status == "complete"
    assert outcome.excess == {"cost <= 3 ms": 2.0, "cost >= 1 ms": -4.0}


def test_payload_only_measurements_are_cached_by_candidate(tmp_path: Path) -> None:
    cheap, trained = Cost(), Cost(needs=frozenset({"weights"}))
    tested = Ladder(
        space=Numbers(), method=Keep(),
        rungs=[LadderRung(Fidelity(f"r{i}", i), (cheap, trained)) for i in range(2)],
    )  # fmt: skip
    first = climb(tested, tmp_path / "a")
    climb(tested, tmp_path / "b")
    assert (cheap.calls, trained.calls) == (1, 4)
    assert [m.fidelity for m in first.measurements] == ["r0", "r0", "r1", "r1"]
    climb(tested, tmp_path / "c", value=6)
    assert cheap.calls == 2


def test_an_infeasible_point_is_a_result(tmp_path: Path) -> None:
    outcome = climb(ladder(Cost()), tmp_path, value=13)
    assert outcome.status == "infeasible"
    assert outcome.excess == {"unlucky": 1.0}
    assert "13 cannot be built" in outcome.error


def test_up_to_stops_at_a_rung(tmp_path: Path) -> None:
    outcome = climb(ladder(Cost(), Cost()), tmp_path, up_to="rung0")
    assert [r.rung for r in outcome.rungs] == ["rung0"]
    assert outcome.status == "gated"


def test_a_stopped_trial_does_not_count_as_done(tmp_path: Path) -> None:
    outcome = climb(ladder(Cost()), tmp_path, stop=lambda: True)
    assert outcome.status == "crashed"
    assert not outcome.rungs


def good(**changes: Any) -> list[Measurement]:
    fields = {"metric": "cost", "value": 1.0, "unit": "ms", "fidelity": "f", "evidence": "model"}
    return [Measurement(**{**fields, **changes})]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (EvaluationError("device is gone"), "device is gone"),
        (ZeroDivisionError("oops"), "ZeroDivisionError: oops"),
        (good(value=float("inf")), "finite"),
        (good(unit="s"), "expected 'ms'"),
        (good(metric="other"), "does not declare"),
        ([], "did not return cost"),
    ],
)
def test_failures_are_told_with_what_was_measured_before(
    tmp_path: Path, value: Any, words: str
) -> None:
    outcome = climb(ladder(Cost(), Cost(value=value)), tmp_path)
    assert outcome.status == "failed"
    assert words in outcome.error
    assert [r.rung for r in outcome.rungs] == ["rung0"]
