"""Every number a model states is looked up; what is in no record is marked as such."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search.api.candidate import to_plain
from search.api.metric import Constraint, convert, units_like
from search.api.trial import Trial

UNKNOWN = " [not in the records]"

_NUMBER = re.compile(
    r"(?<![\w.])(?<!\w-)#?(?P<digits>[-+]?\d[\d,]*(?:\.\d+)?(?:[eE][-+]?\d+)?)"
    r"(?:\s*(?P<unit>%|[A-Za-z]+))?"
)
_UNIT_WORDS = {
    "bits": "bit", "seconds": "s", "second": "s", "sec": "s", "secs": "s",
    "milliseconds": "ms", "minutes": "min", "hours": "h", "percent": "%",
}  # fmt: skip


@dataclass(frozen=True)
class Fact:
    """A number that is known, where from, and its unit (empty if it has none)."""

    value: float
    unit: str
    where: str


@dataclass(frozen=True)
class Claim:
    """A number in a text.

    Args:
        text: as written, with its unit.
        start, end: where in the text.
        where: the record that holds it; empty if none does.
    """

    text: str
    start: int
    end: int
    where: str = ""


def facts_of(
    trials: Sequence[Trial], demands: Iterable[str] = (), seen: Iterable[Any] = ()
) -> list[Fact]:
    """What may be stated: measurements, points, trial numbers, demands, and results of tools."""
    found: list[Fact] = []
    for trial in trials:
        name = f"trial {trial.number}"
        found.append(Fact(float(trial.number), "", f"number of {name}"))
        for m in trial.outcome.measurements if trial.outcome else ():
            where = f"{m.metric} of {name} at {m.fidelity} ({m.evidence})"
            found.append(Fact(m.value, m.unit, where))
        found += _numbers_in(to_plain(dict(trial.point)), f"point of {name}")
    for text in demands:
        try:
            bound = Constraint.parse(text)
        except ValueError:
            continue
        found.append(Fact(bound.bound, bound.unit, f"demand {bound}"))
    found.append(Fact(float(len(trials)), "", "number of trials"))
    for result in seen:
        found += _numbers_in(to_plain(result), "a result shown before")
    return found


def _numbers_in(value: Any, where: str, unit: str = "") -> list[Fact]:
    if isinstance(value, bool):
        return []
    if isinstance(value, (int, float)):
        return [Fact(float(value), unit, where)] if math.isfinite(value) else []
    if isinstance(value, str):
        return [Fact(v, u, where) for v, u, _ in _read(value)]
    if isinstance(value, Mapping):
        own = value.get("unit")
        unit = own if isinstance(own, str) else ""
        return [f for k, v in value.items() for f in _numbers_in(v, f"{where}: {k}", unit)]
    if isinstance(value, (list, tuple)):
        return [f for v in value for f in _numbers_in(v, where, unit)]
    return []


def _read(text: str) -> Iterable[tuple[float, str, re.Match[str]]]:
    for match in _NUMBER.finditer(text):
        try:
            value = float(match["digits"].replace(",", ""))
        except ValueError:
            continue
        unit = match["unit"] or ""
        unit = _UNIT_WORDS.get(unit.lower(), unit)
        if unit and match["digits"] + (match["unit"] or "") in match[0] and not _is_unit(unit):
            continue  # part of a name, such as 2pc
        yield value, unit, match


def check_claims(text: str, facts: Sequence[Fact]) -> list[Claim]:
    """Every number in ``text`` with the record that holds it, to the digits that were written."""
    found = []
    for value, unit, match in _read(text):
        known = next((f for f in facts if _agrees(match["digits"], value, unit, f)), None)
        start, end = match.span()
        found.append(Claim(text[start:end], start, end, known.where if known else ""))
    return found


def _agrees(digits: str, value: float, unit: str, fact: Fact) -> bool:
    other = fact.value
    if unit and fact.unit and unit != fact.unit:
        try:
            other = convert(fact.value, fact.unit, unit)
        except ValueError:
            # A word behind a number need not be a unit ("4 layers"), but a unit must agree.
            if _is_unit(unit):
                return False
    elif _is_unit(unit) and not fact.unit:
        return False
    mantissa, _, exponent = digits.lower().partition("e")
    places = len(mantissa.partition(".")[2])
    step = 10.0 ** (int(exponent or 0) - places)
    # Half a unit of the last digit written; a little more, since people round halves both ways.
    return abs(value - other) <= 0.5001 * step


def _is_unit(text: str) -> bool:
    return any(text in units_like(base) for base in ("s", "B", "J", "W", "%"))


def marked(text: str, claims: Sequence[Claim]) -> str:
    """``text`` with every number that no record holds marked as such."""
    for claim in sorted(claims, key=lambda c: c.start, reverse=True):
        if not claim.where:
            text = text[: claim.end] + UNKNOWN + text[claim.end :]
    return text
