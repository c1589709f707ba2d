"""What counts as a result of a session: confirmed, meeting every demand, and best."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, runtime_checkable

from agents.api import Workbench
from search.api.domain import Param
from search.api.metric import Metric
from search.api.trial import Trial


def confirmed(bench: Workbench, trial: Trial) -> bool:
    """Whether ``trial`` was measured at the top rung."""
    top = bench.rungs[-1]
    rungs = trial.outcome.rungs if trial.outcome is not None else ()
    return trial.status == "complete" and any(r.rung == top for r in rungs)


def refusal(bench: Workbench, number: int) -> str:
    """Why trial ``number`` cannot be the result of a session; empty if it can."""
    trial = next((t for t in bench.trials() if t.number == number), None)
    if trial is None:
        return f"there is no trial {number}"
    if not confirmed(bench, trial):
        return (
            f"trial {number} was not measured at {bench.rungs[-1]!r}; evaluate its point up to "
            "there first"
        )
    if not bench.feasible(trial):
        excess = trial.outcome.excess if trial.outcome is not None else {}
        broken = ", ".join(f"{n} by {e:.4g}" for n, e in excess.items() if e > 0)
        return f"trial {number} does not meet the demands" + (f" ({broken})" if broken else "")
    return ""


def objective(bench: Workbench, trial: Trial) -> float | None:
    """What the goal makes small (or large), as last measured; None if it never was."""
    found = trial.measurement(bench.goal.minimise)
    return None if found is None else found.value


def best_of(bench: Workbench, trials: Iterable[Trial]) -> Trial | None:
    """The best confirmed trial that meets every demand; the earliest of equal ones."""
    sign = -1.0 if is_maximised(bench) else 1.0
    found: tuple[float, int, Trial] | None = None
    for trial in trials:
        value = objective(bench, trial)
        if value is None or not confirmed(bench, trial) or not bench.feasible(trial):
            continue
        key = (sign * value, trial.number, trial)
        if found is None or key[:2] < found[:2]:
            found = key
    return None if found is None else found[2]


@runtime_checkable
class HasMetrics(Protocol):
    """A bench that knows which way its metrics are better."""

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """Metrics by name."""
        ...


def is_maximised(bench: Workbench) -> bool:
    """Whether the goal's metric is to be large; small where the bench does not say."""
    if not isinstance(bench, HasMetrics):
        return False
    return bench.metrics[bench.goal.minimise].goal == "max"


@runtime_checkable
class HasParams(Protocol):
    """A bench that knows what is chosen."""

    @property
    def params(self) -> Sequence[Param]:
        """Outer parameters."""
        ...


def params_of(bench: Workbench) -> tuple[Param, ...]:
    """What is chosen; empty where the bench does not say."""
    return tuple(bench.params) if isinstance(bench, HasParams) else ()
