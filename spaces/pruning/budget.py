"""Kept weights of a network, and how shares are scaled so that they are just those allowed.

A :data:`Table` has a row for each layer: weights of one unit of everything, and for each structure
the entry of ``keep`` with the number of its units. Kept weights of a layer are the product of the
first and the units kept of each; all are integers, so that no remainder is lost.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

Row = tuple[int, tuple[tuple[int, int], ...]]
Table = Sequence[Row]

_CLOSE = 1e-9
_STEPS = 60


def kept_weights(table: Table, values: Sequence[float]) -> int:
    """Weights that stay if entry ``i`` of ``keep`` is ``values[i]``: whole units, at least one."""
    total = 0
    for weights, pieces in table:
        for slot, units in pieces:
            count = int(values[slot] * units + 0.5)
            if count > 1:
                weights *= count
        total += weights
    return total


def least_weights(table: Table, low: float) -> int:
    """Weights that stay if every entry is ``low``."""
    slots = max((slot for _, pieces in table for slot, _ in pieces), default=-1)
    return kept_weights(table, [low] * (slots + 1))


def can_rise(table: Table, values: Sequence[float], spare: int) -> bool:
    """Whether one more unit of some entry costs no more than ``spare`` weights."""
    counts, units = _counts(table, values)
    costs = _unit_costs(table, counts)
    return any(counts[s] < units[s] and costs[s] <= spare for s in units)


def scaled(table: Table, values: Sequence[float], low: float, allowed: int) -> list[float]:
    """``values`` times one factor, so that as many weights stay as are allowed.

    Shares stay within ``low`` and 1. Counts are rounded down to whole units; what is left is
    spent on the largest remainders first, then wherever a unit still fits. So no entry can rise by
    a unit, and never are more weights kept than allowed.

    Args:
        table: rows; entries in none of them come back unchanged.
        values: share of each entry, within ``low`` and 1.
        low: smallest share.
        allowed: weights that may stay; no fewer than :func:`least_weights`.
    """
    _, units = _counts(table, values)
    factor = _factor(table, values, low, allowed)
    ideal = {s: min(1.0, max(low, values[s] * factor)) * u for s, u in units.items()}
    least = {s: max(1, int(low * u + 0.5)) for s, u in units.items()}
    counts = {s: max(least[s], int(v + 1e-9)) for s, v in ideal.items()}
    _lower(table, counts, ideal, least, allowed)
    _spend(table, counts, ideal, units, allowed)
    found = list(values)
    for slot, count in counts.items():
        found[slot] = min(1.0, max(low, count / units[slot]))
    return found


def scaled_together(table: Table, low: float, allowed: int) -> float:
    """The largest share that, common to all entries, keeps no more weights than allowed.

    Args:
        table: rows; every entry is 0.
        low: smallest share.
        allowed: weights that may stay.
    """
    bottom, top = low, 1.0
    if kept_weights(table, (top,)) <= allowed:
        return top
    while top / bottom - 1 > _CLOSE:
        middle = math.sqrt(bottom * top)
        if kept_weights(table, (middle,)) <= allowed:
            bottom = middle
        else:
            top = middle
    return bottom


def _factor(table: Table, values: Sequence[float], low: float, allowed: int) -> float:
    """The factor at which fractions of units add up to ``allowed``: a safeguarded secant."""
    used = sorted({slot for _, pieces in table for slot, _ in pieces})
    shares = [values[s] for s in used]
    a, b = math.log(low / max(shares)), math.log(1.0 / min(shares))
    goal = math.log(allowed)

    def gap(logarithm: float) -> float:
        factor = math.exp(logarithm)
        total = 0.0
        for weights, pieces in table:
            product = float(weights)
            for slot, units in pieces:
                share = values[slot] * factor
                share = low if share < low else 1.0 if share > 1.0 else share
                count = share * units
                if count > 1.0:
                    product *= count
            total += product
        return math.log(total) - goal

    at_a, at_b = gap(a), gap(b)
    if at_a >= 0:
        return math.exp(a)
    if at_b <= 0:
        return math.exp(b)
    side = 0
    for _ in range(_STEPS):
        middle = (a * at_b - b * at_a) / (at_b - at_a)
        here = gap(middle)
        if abs(here) < _CLOSE or b - a < _CLOSE:
            return math.exp(middle)
        if here > 0:  # Illinois rule: halve the weight of an end that stays twice
            b, at_b = middle, here
            at_a *= 0.5 if side == 1 else 1.0
            side = 1
        else:
            a, at_a = middle, here
            at_b *= 0.5 if side == -1 else 1.0
            side = -1
    return math.exp(a)


def _lower(
    table: Table,
    counts: dict[int, int],
    ideal: dict[int, float],
    least: dict[int, int],
    allowed: int,
) -> None:
    """Take units away until no more weights stay than allowed; those rounded up most go first."""
    while (over := _weights(table, counts) - allowed) > 0:
        costs = _unit_costs(table, counts)
        free = [s for s in counts if counts[s] > least[s]]
        if not free:
            return
        slot = max(free, key=lambda s: (counts[s] / ideal[s], counts[s] * costs[s]))
        excess = max(1, counts[slot] - int(ideal[slot]))
        counts[slot] -= min(counts[slot] - least[slot], excess, -(-over // costs[slot]))


def _spend(
    table: Table,
    counts: dict[int, int],
    ideal: dict[int, float],
    units: dict[int, int],
    allowed: int,
) -> None:
    """Add units while they fit: one each by remainder, then as many as the largest entries take."""
    spare = allowed - _weights(table, counts)
    rows: dict[int, list[Row]] = {slot: [] for slot in counts}
    for row in table:
        for slot, _ in row[1]:
            rows[slot].append(row)
    by_remainder = sorted(counts, key=lambda s: counts[s] - ideal[s])
    by_size = sorted(counts, key=lambda s: -counts[s])
    for order, most in ((by_remainder, 1), (by_size, allowed)):
        for slot in order:
            if spare <= 0 or counts[slot] >= units[slot]:
                continue
            cost = _unit_cost(rows[slot], slot, counts)
            more = min(most, units[slot] - counts[slot], spare // cost)
            counts[slot] += more
            spare -= more * cost


def _counts(table: Table, values: Sequence[float]) -> tuple[dict[int, int], dict[int, int]]:
    """Entry -> units kept, and units there are."""
    units = {slot: n for _, pieces in table for slot, n in pieces}
    return {s: max(1, int(values[s] * n + 0.5)) for s, n in units.items()}, units


def _weights(table: Table, counts: dict[int, int]) -> int:
    return sum(w * math.prod(counts[slot] for slot, _ in pieces) for w, pieces in table)


def _unit_costs(table: Table, counts: dict[int, int]) -> dict[int, int]:
    """Entry -> weights that one unit of it keeps, in all layers together."""
    costs = dict.fromkeys(counts, 0)
    for row in table:
        for slot, _ in row[1]:
            costs[slot] += _unit_cost((row,), slot, counts)
    return costs


def _unit_cost(rows: Sequence[Row], slot: int, counts: dict[int, int]) -> int:
    """Weights that one unit of ``slot`` keeps in ``rows``, all of which have it."""
    total = 0
    for weights, pieces in rows:
        for other, _ in pieces:
            if other != slot:
                weights *= counts[other]
        total += weights
    return total
