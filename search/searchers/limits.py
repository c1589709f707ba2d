"""How much of the known limits each entry of a vector uses, learnt from ``check`` alone.

A budget is a known rule: breaking it gives a Violation with an excess. Changing one entry of a
point that breaks it changes the excess by what that entry uses. For rules linear in the entries
(counts, areas, modelled latency of separate layers) this is exact, and a searcher may then fill a
budget instead of guessing; for others it is a guide, and ``check`` keeps the last word.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from search.api.domain import Point, Scalar, Vector
from search.api.searching import Problem

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

PROBES = 4096
"""Most checks spent on learning one vector's usage, once per study."""


@dataclass(frozen=True)
class Room:
    """What is left of the known limits for one vector, given the other parameters.

    Args:
        usage: what an option uses beyond the cheapest one of its entry, shape
            ``[rules, length, options]``, in the unit of each rule's excess.
        total: what may be used beyond all entries at their cheapest, shape ``[rules]``; negative
            if even that is too much.
    """

    usage: Floats
    total: Floats

    @property
    def weight(self) -> Floats:
        """Usage of all rules together, each as a share of its range; shape [length, options]."""
        span = self.usage.max(axis=2).sum(axis=1)
        share = self.usage / np.maximum(span, 1e-300)[:, None, None]
        return np.asarray(share.sum(axis=0), dtype=np.float64)


class KnownLimits:
    """Learns the usage of one finite-element vector by probing ``problem.check``, lazily.

    Args:
        problem: its ``check`` is probed; it must be pure.
        name: the vector parameter.
        domain: its domain.
        options: values of an entry, in order.
    """

    def __init__(
        self, problem: Problem, name: str, domain: Vector, options: tuple[Scalar, ...]
    ) -> None:
        self._problem, self._name, self._domain, self._options = problem, name, domain, options
        self._reference: Scalar | None = None
        self._rules: list[str] = []
        self._usage: Floats | None = None
        self._offset: Floats | None = None
        self._possible = domain.length * (len(options) - 1) <= PROBES

    def room(self, point: Point) -> Room | None:
        """Room for the vector beside the other parameters of ``point``; None if nothing limits it.

        Costs a few checks, the first time ``length * (options - 1)`` more.
        """
        if self._usage is None and self._possible:
            self._learn(point)
        if self._usage is None or self._offset is None or self._reference is None:
            return None
        excess = self._excess(self._uniform(point, self._reference))
        over = np.array([excess.get(rule, 0.0) for rule in self._rules])
        # At the reference the rule is over by `over`; at all-cheapest by `over - offset`.
        return Room(self._usage, self._offset - over) if (over > 0).all() else None

    def _learn(self, point: Point) -> None:
        totals = [(self._excess(self._uniform(point, o)), o) for o in self._options]
        worst, option = max(totals, key=lambda pair: len(pair[0]) and max(pair[0].values()))
        if not worst:
            return
        self._reference, self._rules = option, sorted(worst)
        base = self._uniform(point, option)
        entries = base[self._name]
        if not isinstance(entries, tuple):
            return
        usage = np.zeros((len(self._rules), self._domain.length, len(self._options)))
        for i in range(self._domain.length):
            for k, other in enumerate(self._options):
                if other == option and type(other) is type(option):
                    continue
                probe = {**base, self._name: (*entries[:i], other, *entries[i + 1 :])}
                excess = self._excess(probe)
                for r, rule in enumerate(self._rules):
                    usage[r, i, k] = excess.get(rule, 0.0) - worst[rule]
        cheapest = usage.min(axis=2, keepdims=True)
        self._usage, self._offset = usage - cheapest, -cheapest.sum(axis=(1, 2))

    def _uniform(self, point: Point, option: Scalar) -> Point:
        return {**point, self._name: (option,) * self._domain.length}

    def _excess(self, point: Point) -> dict[str, float]:
        found: dict[str, float] = {}
        for violation in self._problem.check(point):
            found[violation.rule] = found.get(violation.rule, 0.0) + violation.excess
        return {rule: e for rule, e in found.items() if np.isfinite(e) and e > 0}


def fill(start: Ints, gain: Floats, room: Room, greedy: bool = False) -> Ints:
    """``start`` made to fit ``room`` and then filled, by gain per usage (greedy knapsack).

    Args:
        start: index of the option of each entry, shape ``[length]``.
        gain: expected benefit of each option, larger is better, shape ``[length, options]``.
        room: limits.
        greedy: also take options that seem to harm, while they fit: right where a limit is there
            because using more of it helps, and single estimates are still noise.

    Returns:
        Option indices, shape ``[length]``; fits the room if anything does.
    """
    chosen = start.copy()
    weight = room.weight
    rows = np.arange(len(chosen))
    used = room.usage[:, rows, chosen].sum(axis=1)
    cheapest = weight.argmin(axis=1)
    saving = weight[rows, chosen] - weight[rows, cheapest]
    loss = gain[rows, chosen] - gain[rows, cheapest]
    if (used > room.total).any():
        ratio = np.where(saving > 0, loss / np.maximum(saving, 1e-300), np.inf)
        for i in np.argsort(ratio, kind="stable"):
            if saving[i] <= 0 or not (used > room.total).any():
                break
            used = used + room.usage[:, i, cheapest[i]] - room.usage[:, i, chosen[i]]
            chosen[i] = cheapest[i]
    better = gain - gain[rows, cheapest][:, None]
    more = weight - weight[rows, cheapest][:, None]
    wanted = (better > 0) | (greedy & (more > 0))
    ratio = np.where(wanted, better / np.maximum(more, 1e-12), -np.inf)
    flat = np.argsort(-ratio, axis=None, kind="stable")[: int(wanted.sum())]
    # Plain lists from here on: the loop is sequential, and numpy is slow on single numbers.
    slack = (room.total + 1e-9 * np.abs(room.total) - used).tolist()
    usage, gains, least = room.usage.tolist(), gain.tolist(), cheapest.tolist()
    taken = chosen.tolist()
    for move in flat.tolist():
        i, k = divmod(move, gain.shape[1])
        now = taken[i]
        if gains[i][k] <= gains[i][now] and not (greedy and now == least[i]):
            continue
        if all(rule[i][k] - rule[i][now] <= s for rule, s in zip(usage, slack, strict=True)):
            slack = [s - rule[i][k] + rule[i][now] for rule, s in zip(usage, slack, strict=True)]
            taken[i] = k
    return np.array(taken, dtype=np.int64)
