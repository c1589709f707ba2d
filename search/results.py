"""Questions about finished trials: the front, the best, and results told from outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from search.api.errors import ConfigError
from search.api.metric import Evidence, Measurement, Metric
from search.api.trial import Outcome, RungResult, Trial
from search.assemble import Components
from search.pareto import non_dominated


def scored(trials: Sequence[Trial]) -> list[tuple[Trial, tuple[float, ...]]]:
    """Feasible complete trials with their objective values."""
    return [(t, t.values) for t in trials if t.feasible and t.values is not None]


def front(trials: Sequence[Trial], objectives: Sequence[Metric]) -> list[Trial]:
    """Feasible complete trials that no other one beats in every objective, by number."""
    found = scored(trials)
    keep = non_dominated([values for _, values in found], [m.goal for m in objectives])
    return [found[i][0] for i in keep]


def best(
    trials: Sequence[Trial], objectives: Sequence[Metric], objective: str | None = None
) -> Trial | None:
    """The feasible complete trial with the best value of one objective (default: the first).

    Raises:
        ConfigError: there is no such objective.
    """
    names = [m.name for m in objectives]
    if objective is not None and objective not in names:
        raise ConfigError(f"{objective!r} is no objective (known: {', '.join(names)})", path="best")
    index = 0 if objective is None else names.index(objective)
    sign = 1.0 if objectives[index].goal == "max" else -1.0
    ranked = max(scored(trials), key=lambda pair: sign * pair[1][index], default=None)
    return ranked[0] if ranked is not None else None


def told(
    number: int, values: Mapping[str, float], evidence: Evidence, components: Components
) -> Outcome:
    """The outcome of a trial that was run by hand: metric name -> value in the metric's unit.

    Raises:
        ConfigError: a value belongs to no metric, or an objective is missing.
    """
    metrics, ladder = components.metrics(), components.ladder
    for name in values:
        if name not in metrics:
            raise ConfigError(f"unknown metric {name!r} (known: {', '.join(metrics)})", path="tell")
    for name in components.objectives:
        if name not in values:
            raise ConfigError(f"objective {name!r} is missing", path="tell")
    top = ladder.rungs[-1].fidelity.name
    found = {n: Measurement(n, float(v), metrics[n].unit, top, evidence) for n, v in values.items()}
    excess = {
        str(c): c.excess(found[c.metric].value, found[c.metric].unit)
        for c in ladder.constraints
        if c.metric in found
    }
    rungs = (RungResult(top, 0.0, tuple(found.values())),)
    return Outcome(number, "complete", rungs=rungs, excess=excess)
