"""The overall ratio as a rule: how many weights a point keeps, and how it is made to keep fewer."""

from __future__ import annotations

import math
from collections.abc import Sequence

from search.api.candidate import Violation
from search.api.errors import ConfigError
from spaces.pruning import budget
from spaces.pruning.layout import Layout, Piece, Pruned


class RatioRule:
    """Weights over kept weights must reach a ratio.

    Args:
        layout: which entries there are.
        ratio: the least; None: any.
        spend: share of the weights it allows that must be kept.
        low: smallest share of a layer.
        together: all layers have one entry.

    Raises:
        ConfigError: the ratio is out of reach.
    """

    def __init__(
        self, layout: Layout, ratio: float | None, spend: float, low: float, together: bool
    ) -> None:
        self._layout, self._ratio, self._low, self._together = layout, ratio, low, together
        self._ways = [{name: i for i, name in enumerate(p.names)} for p in layout.layers]
        self._rows = [[_row(p, way) for way in p.ways] for p in layout.layers]
        self._whole: list[budget.Row] = [(layout.whole, ())] if layout.whole else []
        self._first = [*self._whole, *(rows[0] for rows in self._rows)]
        self.allowed: int | None = None
        if ratio is not None:
            self.allowed = math.floor(layout.total / ratio + 1e-9)
            self._spend = math.ceil(spend * self.allowed)
            fewest = sum(min(map(self._least, rows)) for rows in self._rows) + layout.whole
            if fewest > self.allowed:
                raise ConfigError(
                    f"at most {layout.total / fewest:.4g} can be reached (got {ratio:g}): {fewest} "
                    f"of {layout.total} weights stay at least. Lower `low`, or fix or skip fewer "
                    "layers.",
                    path="space.ratio",
                )

    def choices(self, structure: Sequence[str]) -> list[int]:
        """Which way each pruned layer takes; ``structure`` has an entry for each block."""
        return [
            0 if p.block is None else ways[structure[p.block]]
            for p, ways in zip(self._layout.layers, self._ways, strict=True)
        ]

    def table(self, structure: Sequence[str]) -> Sequence[budget.Row]:
        """The rows that kept weights are counted by."""
        if not self._layout.blocks:
            return self._first
        chosen = zip(self._rows, self.choices(structure), strict=True)
        return [*self._whole, *(rows[way] for rows, way in chosen)]

    def kept_weights(self, values: Sequence[float]) -> int:
        """Weights that stay if each layer is pruned by the first of its structures."""
        return budget.kept_weights(self._first, values)

    def check(self, structure: Sequence[str], values: Sequence[float]) -> list[Violation]:
        """Too many weights kept, or too few of those allowed."""
        if self.allowed is None:
            return []
        table = self.table(structure)
        kept, total = budget.kept_weights(table, values), self._layout.total
        if kept > self.allowed:
            detail = (
                f"got {kept} of {total} weights ({total / kept:.4g}x); at most {self.allowed} "
                f"allowed ({self._ratio:g}x), which is {self.allowed / kept:.3g} of that"
            )
            return [Violation("ratio", detail, float(kept - self.allowed), "1")]
        if kept >= self._spend or not self._can_rise(table, values, self.allowed - kept):
            return []
        detail = (
            f"got {kept} weights; at least {self._spend} of the {self.allowed} allowed ones must "
            "stay"
        )
        return [Violation("spend", detail, float(self._spend - kept), "1")]

    def scaled(self, structure: Sequence[str], values: Sequence[float]) -> Sequence[float]:
        """``values`` times one factor, so that as many weights stay as are allowed."""
        if self.allowed is None:
            return values
        table = self.table(structure)
        if self._together:
            return (budget.scaled_together(table, self._low, self.allowed),)
        return tuple(budget.scaled(table, values, self._low, self.allowed))

    def structures(self, structure: Sequence[str]) -> tuple[str, ...]:
        """Names that the layers have, and with which the ratio can be reached.

        Where it cannot, the layers that gain most change first.
        """
        found = list(structure)
        for p in self._layout.layers:
            if p.block is not None and found[p.block] not in p.names:
                found[p.block] = p.names[0]
        for _ in found if self.allowed is not None else ():
            least = sum(map(self._least, self.table(found)))
            if self.allowed is None or least <= self.allowed:
                break
            block, name = self._best_change(found)
            found[block] = name
        return tuple(found)

    def lost(self, structure: Sequence[str], values: Sequence[float]) -> dict[str, int]:
        """Layer -> weights that it loses."""
        chosen = zip(self._layout.layers, self._rows, self.choices(structure), strict=True)
        return {
            p.layer.name: p.layer.weights - budget.kept_weights([rows[way]], values)
            for p, rows, way in chosen
        }

    def _least(self, row: budget.Row) -> int:
        return budget.least_weights([row], self._low)

    def _best_change(self, structure: Sequence[str]) -> tuple[int, str]:
        """The block and its new structure that lower the fewest weights possible most."""
        gains: dict[tuple[int, str], int] = {}
        chosen = zip(self._layout.layers, self._rows, self.choices(structure), strict=True)
        for p, rows, way in chosen:
            for name, row in zip(p.names, rows, strict=True) if p.block is not None else ():
                key = (p.block or 0, name)
                gains[key] = gains.get(key, 0) + self._least(rows[way]) - self._least(row)
        return max(gains, key=lambda key: gains[key])

    def _can_rise(self, table: budget.Table, values: Sequence[float], spare: int) -> bool:
        if not self._together:
            return budget.can_rise(table, values, spare)
        best = budget.scaled_together(table, self._low, self.allowed or 0)
        return budget.kept_weights(table, (best,)) > budget.kept_weights(table, values)


def _row(pruned: Pruned, way: Sequence[Piece]) -> budget.Row:
    weights = pruned.layer.weights
    for piece in way:
        weights //= piece.units
    for piece in way:
        weights *= piece.kept if piece.slot is None else 1
    return weights, tuple((p.slot, p.units) for p in way if p.slot is not None)
