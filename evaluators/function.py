"""A user's own Python function as an evaluator."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from search.api.candidate import Candidate
from search.api.errors import ConfigError, EvaluationError
from search.api.metric import EVIDENCE, Evidence, Fidelity, Measurement, Metric, convert
from search.api.protocols import Context

Values = Mapping[str, float | Measurement]


class FunctionEvaluator:
    """Wraps ``fn(candidate) -> {metric name: value}``.

    Args:
        fn: called with the candidate; returns one value per metric, in the metric's unit, or a
            ``Measurement`` where a standard error or a sample size is known.
        metrics: what ``fn`` returns.
        evidence: how the values come about: ``bound``, ``model``, ``simulated``, ``measured``.
        needs: what ``fn`` uses besides the payload: a subset of ``{"weights", "data"}``.

    Raises:
        ConfigError: no metrics, two of one name, or an unknown evidence or need.
    """

    def __init__(
        self,
        fn: Callable[[Candidate[Any]], Values],
        metrics: Sequence[Metric],
        evidence: Evidence = "measured",
        needs: frozenset[str] = frozenset(),
    ) -> None:
        names = [metric.name for metric in metrics]
        if not names or len(set(names)) != len(names):
            raise ConfigError(f"evaluator {_name(fn)}: expected metrics of different names "
                              f"(got {', '.join(names) or 'none'})")  # fmt: skip
        if evidence not in EVIDENCE:
            raise ConfigError(
                f"evaluator {_name(fn)}: unknown evidence {evidence!r} (known: "
                f"{', '.join(EVIDENCE)})"
            )
        if not needs <= {"weights", "data"}:
            raise ConfigError(
                f"evaluator {_name(fn)}: unknown needs {sorted(needs)} (known: data, weights)"
            )
        self._fn = fn
        self._metrics = tuple(metrics)
        self._evidence: Evidence = evidence
        self._needs = needs

    @property
    def metrics(self) -> Sequence[Metric]:
        """What the function returns."""
        return self._metrics

    @property
    def needs(self) -> frozenset[str]:
        """What the function uses besides the payload."""
        return self._needs

    def evaluate(
        self, candidate: Candidate[Any], fidelity: Fidelity, ctx: Context
    ) -> Sequence[Measurement]:
        """One measurement per metric. What the function itself raises passes through.

        Raises:
            EvaluationError: a metric is missing or unknown, or a value is not a finite number in
                a unit that fits.
        """
        values = self._fn(candidate)
        known = [metric.name for metric in self._metrics]
        if not isinstance(values, Mapping) or set(values) != set(known):
            got = ", ".join(map(str, values)) if isinstance(values, Mapping) else repr(values)
            raise EvaluationError(
                f"{_name(self._fn)}: expected one value for each of {', '.join(known)} (got {got})"
            )
        return tuple(self._measurement(m, values[m.name], fidelity) for m in self._metrics)

    def _measurement(self, metric: Metric, value: Any, fidelity: Fidelity) -> Measurement:
        where = f"{_name(self._fn)}: {metric.name}"
        if isinstance(value, Measurement):
            return self._given(metric, value, fidelity, where)
        try:
            number = float(value)
        except (TypeError, ValueError) as error:
            raise EvaluationError(f"{where}: expected a number (got {value!r})") from error
        if not math.isfinite(number):
            raise EvaluationError(f"{where}: expected a finite number (got {number})")
        return Measurement(metric.name, number, metric.unit, fidelity.name, self._evidence)

    def _given(
        self, metric: Metric, value: Measurement, fidelity: Fidelity, where: str
    ) -> Measurement:
        if value.metric != metric.name or not math.isfinite(value.value):
            raise EvaluationError(f"{where}: the measurement is of another metric or not finite "
                                  f"(got {value.metric} = {value.value})")  # fmt: skip
        try:
            factor = convert(1.0, value.unit, metric.unit)
        except ValueError as error:
            raise EvaluationError(f"{where}: {error}") from error
        return replace(
            value,
            value=value.value * factor,
            unit=metric.unit,
            fidelity=fidelity.name,
            std=None if value.std is None else value.std * factor,
            low=None if value.low is None else value.low * factor,
            high=None if value.high is None else value.high * factor,
        )


def _name(fn: Callable[..., Any]) -> str:
    return getattr(fn, "__name__", type(fn).__name__)
