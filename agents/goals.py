"""What is wanted, from configurations, options or a few words of a person.

A goal is one metric to make small (or large) and demands on others. Texts name metrics of the study
(``precision_ckks >= 20 bit``) or, in short, amounts with units (``under 2 s at 20 bits, 16 GiB``):
the unit tells which metric is meant.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from agents.api import Goal
from search.api.errors import ConfigError
from search.api.metric import Constraint, Metric, convert

PREDICTED_BY: Mapping[str, str] = {
    "latency_ckks": "predicted_latency_ckks",
    "server_latency_ckks": "predicted_server_ms",
    "precision_ckks": "predicted_precision",
    "worst_precision_ckks": "predicted_worst_precision",
}
"""Measured metric -> the one of the predicted rung that foretells it."""

# What people call a metric -> parts of names, the most wanted first.
_WORDS: Mapping[str, tuple[str, ...]] = {
    "latency": ("latency_ckks", "predicted_latency_ckks", "latency"),
    "time": ("latency_ckks", "predicted_latency_ckks", "latency"),
    "precision": ("precision_ckks", "predicted_precision", "precision"),
    "memory": ("memory_ckks", "key_mb", "memory"),
    "accuracy": ("accuracy",),
    "agreement": ("agreement_ckks",),
    "upload": ("upload_mb",),
}
_UNITS = {
    "ms": "latency", "s": "latency", "sec": "latency", "min": "latency", "bit": "precision",
    "bits": "precision", "MB": "memory", "GB": "memory", "MiB": "memory", "GiB": "memory",
}  # fmt: skip
_AMOUNT = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>ms|sec|min|s|bits?|[MG]i?B)\b")
_BOUND = re.compile(
    r"(?P<name>[A-Za-z_]\w*)\s*(?P<op><=|>=|<|>|of at least|of at most|at least|at most|under|below"
    r"|over|above)\s*(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>%|\w*)"
)
_LESS = ("<=", "<", "at most", "of at most", "under", "below")
_MINIMISE = re.compile(r"\b(?:minimi[sz]e|maximi[sz]e|optimi[sz]e|best)\s+(?P<name>\w+)")
_FAST, _PRECISE = re.compile(r"\b(fast\w*|quick\w*)\b"), re.compile(r"\b(precise|precisely)\b")


@dataclass(frozen=True)
class Aim:
    """A demand with the metric it is about, in that metric's unit."""

    metric: Metric
    constraint: Constraint

    def excess(self, value: float) -> float:
        """By how much ``value`` misses it; 0 or less if it does not."""
        return self.constraint.excess(value, self.metric.unit)


def checked(goal: Goal, metrics: Mapping[str, Metric]) -> Goal:
    """``goal`` if its words are metrics of the study and its units fit.

    Raises:
        ConfigError: an unknown metric, or a bound that cannot be read; the path says which.
    """
    _metric(goal.minimise, metrics, "goal")
    aims(goal, metrics)
    return goal


def aims(goal: Goal, metrics: Mapping[str, Metric]) -> tuple[Aim, ...]:
    """The demands of ``goal``.

    Raises:
        ConfigError: one cannot be read, or is about no metric of the study.
    """
    return tuple(
        aim_of(text, metrics, f"demands[{index}]") for index, text in enumerate(goal.demands)
    )


def aim_of(text: str, metrics: Mapping[str, Metric], where: str) -> Aim:
    """The demand that ``text`` states.

    Raises:
        ConfigError: it cannot be read, or is about no metric of the study.
    """
    try:
        bound = Constraint.parse(text)
        metric = _metric(bound.metric, metrics, where)
        return Aim(metric, bound.in_unit(metric.unit) if bound.unit else bound)
    except ValueError as error:
        raise ConfigError(str(error), path=where) from None


def study_goal(
    objectives: Sequence[str], constraints: Iterable[str], metrics: Mapping[str, Metric]
) -> Goal:
    """The goal that a configuration implies: its first objective, under its constraints.

    Raises:
        ConfigError: see :func:`checked`.
    """
    return checked(Goal(objectives[0], tuple(constraints)), metrics)


def read_goal(text: str, metrics: Mapping[str, Metric], default: Goal) -> Goal:
    """The goal in a person's words; ``default`` where they say nothing.

    ``precision_ckks >= 20 bit``, ``precision at least 20 bits``, ``under 2 s at 20 bits, 16 GiB``,
    ``minimise memory``, ``as fast as possible``: amounts of time and memory are upper bounds,
    amounts of bits lower ones.

    Raises:
        ConfigError: nothing in ``text`` can be read, or a word is no metric of the study.
    """
    demands: list[str] = []
    rest = text
    for match in _BOUND.finditer(text):
        name = find_metric(match["name"], metrics)
        if name is None:
            continue
        rest = rest.replace(match.group(0), " ")
        op = "<=" if match["op"] in _LESS else ">="
        demands.append(_demand(name, op, match["number"], match["unit"], metrics))
    for match in _AMOUNT.finditer(rest):
        name = find_metric(_UNITS[match["unit"]], metrics)
        if name is None:
            raise ConfigError(
                f"{match.group(0)!r}: the study measures no {_UNITS[match['unit']]}", path="goal"
            )
        op = ">=" if metrics[name].goal == "max" else "<="
        demands.append(_demand(name, op, match["number"], match["unit"], metrics))
    wanted = _wanted(text, metrics, demands)
    if wanted is None and not demands:
        raise ConfigError(
            f"cannot read a goal from {text!r}. Name bounds and what to minimise, such as "
            f"'minimise latency, precision at least 20 bits' (metrics: "
            f"{', '.join(sorted(metrics))})",
            path="goal",
        )
    return checked(Goal(wanted or default.minimise, tuple(demands) or default.demands), metrics)


def find_metric(word: str, metrics: Mapping[str, Metric]) -> str | None:
    """The metric that ``word`` means: its name, or what people call it."""
    if word in metrics:
        return word
    for name in _WORDS.get(word.lower(), ()):
        if name in metrics:
            return name
    return None


def describe(goal: Goal, metrics: Mapping[str, Metric]) -> str:
    """One line for people."""
    way = "minimise" if metrics[goal.minimise].goal == "min" else "maximise"
    under = f" under {', '.join(goal.demands)}" if goal.demands else ""
    return f"{way} {goal.minimise}{under}"


def _wanted(text: str, metrics: Mapping[str, Metric], demands: Sequence[str]) -> str | None:
    named = _MINIMISE.search(text)
    if named is not None:
        found = find_metric(named["name"], metrics)
        if found is None:
            raise ConfigError(
                f"{named['name']!r} is no metric{_near(named['name'], metrics)}", path="goal"
            )
        return found
    if _FAST.search(text):
        return find_metric("latency", metrics)
    if _PRECISE.search(text):
        return find_metric("precision", metrics)
    # With a bound on precision alone speed is what is left to win, and the other way round.
    bound = {Constraint.parse(demand).metric for demand in demands}
    latency, precision = find_metric("latency", metrics), find_metric("precision", metrics)
    if latency in bound and precision is not None and precision not in bound:
        return precision
    return latency if bound else None


def _demand(name: str, op: str, number: str, unit: str, metrics: Mapping[str, Metric]) -> str:
    spelt = {"sec": "s", "bits": "bit"}.get(unit, unit) or metrics[name].unit
    try:
        convert(1.0, spelt, metrics[name].unit)
    except ValueError as error:
        raise ConfigError(f"{name}: {error}", path="goal") from None
    return f"{name} {op} {number} {spelt}".rstrip()


def _metric(name: str, metrics: Mapping[str, Metric], where: str) -> Metric:
    if name not in metrics:
        raise ConfigError(f"{name!r} is no metric{_near(name, metrics)}", path=where)
    return metrics[name]


def _near(name: str, metrics: Mapping[str, Metric]) -> str:
    near = difflib.get_close_matches(name, metrics, n=1)
    return f". Did you mean {near[0]!r}?" if near else f" (known: {', '.join(sorted(metrics))})"
