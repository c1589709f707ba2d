"""Bits and kinds of levels of each layer, where they are to be chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from search.api.candidate import Violation
from search.api.domain import Choice, Ordinal, Param, Point, Scalar, Value, Vector
from search.api.errors import ConfigError
from spaces.pruning.options import MOST_POWERS, level_choices
from spaces.pruning.plan import LayerLevels

_ONE_BIT = ("ternary", "binary")


class Quantised:
    """The parameters ``bits`` and ``levels``.

    Args:
        names: layers that are quantised, in execution order.
        pruned: those of them that may lose weights.
        bits: one for all, several to choose from, or None.
        levels: one kind for all, several to choose from, or None.

    Raises:
        ConfigError: see :func:`~spaces.pruning.options.level_choices`; or only binary levels,
            which have no zero, for layers that lose weights.
    """

    def __init__(
        self,
        names: Sequence[str],
        pruned: Sequence[str],
        bits: int | Sequence[int] | None,
        levels: str | Sequence[str] | None,
    ) -> None:
        self._widths, self._kinds = level_choices(bits, levels)
        self._names = tuple(names) if self._kinds else ()
        if self._kinds == ("binary",) and (lost := [n for n in pruned if n in self._names]):
            raise ConfigError(
                f"binary levels have no zero, but {', '.join(lost[:3])} may lose weights. Fix such "
                "layers at 1.0, or take ternary.",
                path="space.levels",
            )
        params = []
        if self._names and len(self._widths) > 1:
            doc = "bits of each kept weight, by layer"
            params.append(Param("bits", Vector(Ordinal(self._widths), len(self._names)), doc=doc))
        if self._names and len(self._kinds) > 1:
            doc = "which values quantised weights may take, by layer"
            params.append(Param("levels", Vector(Choice(self._kinds), len(self._names)), doc=doc))
        self._params = tuple(params)

    @property
    def names(self) -> tuple[str, ...]:
        """Layers that are quantised; those behind the entries of both parameters."""
        return self._names

    @property
    def may_be_binary(self) -> bool:
        """Whether a layer may have levels without a zero."""
        return bool(self._names) and "binary" in self._kinds

    def params(self) -> tuple[Param, ...]:
        """The parameters that have something to choose."""
        return self._params

    def check(self, point: Point, lost: Mapping[str, int]) -> list[Violation]:
        """Broken rules of a point whose values are in their domains.

        Args:
            point: the values.
            lost: layer -> weights it loses; layers that are not in it lose none.
        """
        found = []
        for made in self.chosen(point) if self._params else ():
            if made.levels == "binary" and (gone := lost.get(made.site, 0)):
                detail = f"{made.site}: binary levels have no zero, got {gone} dropped weights"
                found.append(Violation("binary", f"{detail}; ternary has one", float(gone), "1"))
            if made.levels == "power_of_two" and made.bits > MOST_POWERS:
                detail = f"{made.site}: got {made.bits} bits of power_of_two"
                detail += f"; at most {MOST_POWERS} allowed"
                found.append(Violation("bits", detail, float(made.bits - MOST_POWERS), "bit"))
        return found

    def repair(self, point: Point, lost: Mapping[str, int]) -> dict[str, Value]:
        """New values of both parameters that break no rule: other levels, then fewer bits."""
        chosen = self.chosen(point)
        kinds = [made.levels for made in chosen]
        other = next((kind for kind in self._kinds if kind != "binary"), "binary")
        for i, made in enumerate(chosen):
            if made.levels == "binary" and lost.get(made.site, 0):
                kinds[i] = other
        widths = list(self._entries(point, "bits", self._widths))
        few = max((b for b in self._widths if b <= MOST_POWERS), default=0)
        for i, kind in enumerate(kinds):
            if kind == "power_of_two" and int(widths[i]) > MOST_POWERS:
                widths[i] = few
        values: dict[str, Value] = {"bits": tuple(widths), "levels": tuple(kinds)}
        return {param.name: values[param.name] for param in self._params}

    def chosen(self, point: Point) -> tuple[LayerLevels, ...]:
        """What each quantised layer has; one bit where the levels have no more."""
        if not self._names:
            return ()
        bits = self._entries(point, "bits", self._widths)
        kinds = self._entries(point, "levels", self._kinds)
        return tuple(
            LayerLevels(name, 1 if kind in _ONE_BIT else int(width), str(kind))
            for name, width, kind in zip(self._names, bits, kinds, strict=True)
        )

    def point(self, levels: Sequence[LayerLevels]) -> dict[str, Value]:
        """Values that give ``levels``, as far as there is a choice."""
        by_site = {made.site: made for made in levels}
        default = LayerLevels("", self._widths[0], self._kinds[0]) if self._kinds else None
        found = [by_site.get(name, default) for name in self._names]
        made = [level for level in found if level is not None]
        values: dict[str, Value] = {
            "bits": tuple(
                self._widths[0] if m.levels in _ONE_BIT and m.bits not in self._widths else m.bits
                for m in made
            ),
            "levels": tuple(m.levels for m in made),
        }
        return {param.name: values[param.name] for param in self._params}

    def _entries(self, point: Point, name: str, options: Sequence[Scalar]) -> Sequence[Scalar]:
        value = point.get(name) if len(options) > 1 else None
        return value if isinstance(value, tuple) else tuple(options[:1]) * len(self._names)
