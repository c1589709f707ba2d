"""Why: what speaks for and against a trial or a point, from records and rules alone."""

from __future__ import annotations

from collections.abc import Iterator

from agents.chat import tables
from agents.workbench import StudyBench
from search.api.domain import Point
from search.api.trial import Trial

_LAYERS = 3


def why_trial(bench: StudyBench, trial: Trial) -> Iterator[str]:
    """Who proposed it and why, how it meets the goal, what it differs in from its rivals."""
    yield tables.trial_line(bench, trial)
    origin = trial.origin
    reason = f": {origin.reason}" if origin.reason else ""
    yield f"  proposed by {origin.by or origin.kind}{reason}"
    for line in tables.demand_lines(bench, trial):
        yield f"  {line}"
    outcome = trial.outcome
    for rung in outcome.rungs if outcome is not None else ():
        found = "; ".join(map(tables.measured, rung.measurements[:6])) or "no number"
        yield f"  rung {rung.rung} ({rung.seconds:.2f} s): {found}"
    if outcome is not None and outcome.error:
        yield f"  it ended with: {outcome.error.strip().splitlines()[-1][:300]}"
    excess = {n: e for n, e in (outcome.excess if outcome else {}).items() if e > 0}
    for name, by in excess.items():
        yield f"  broken: {name} by {by:.4g}"
    yield from _against(bench, trial)


def _against(bench: StudyBench, trial: Trial) -> Iterator[str]:
    """What would have been, had another confirmed trial been taken."""
    value = bench.value(trial)
    rivals = [t for t in bench.trials() if t.number != trial.number and bench.confirmed(t)]
    best = bench.best()
    for rival in rivals[-_LAYERS:] if best is None or best.number == trial.number else [best]:
        other = bench.value(rival)
        if value is None or other is None or rival.number == trial.number:
            continue
        unit = bench.metrics[bench.goal.minimise].unit
        yield (
            f"  against trial {rival.number}: {bench.goal.minimise} {value:.4g} here, "
            f"{other:.4g} {unit} there ({tables.changed(rival.point, trial.point)})"
        )


def why_point(bench: StudyBench, point: Point) -> Iterator[str]:
    """Which rules a point breaks and what would be legal near it."""
    broken = bench.check(point)
    if not broken:
        yield f"{tables.point_line(point)}: breaks no rule."
        return
    yield f"{tables.point_line(point)}: is not legal."
    for violation in broken:
        yield f"  {violation.rule}: {violation.detail}"
    near = bench.nearest(point)
    if near is not None:
        yield f"  near and legal: {tables.changed(point, near)}"
