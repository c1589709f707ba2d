"""Global parameters by enumeration: every chain of every layout, judged by models alone.

Verdicts and times of thousands of chains come from arrays; noise is followed only for those that
could be best, in order of what is wanted.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from agents.expert_table import Table, judged, possible
from agents.expert_wish import Ranked, Wish
from search.api.domain import Integer, Param, Point, Real, Value, Vector, is_active, point_digest
from search.api.errors import SearchError

if TYPE_CHECKING:
    from agents.tools.forecast import Forecast
    from spaces.ckks.params import CkksParams

LAYERS = ("input_packing", "rescaling", "embedding", "baby")
"""Parameters of single layers, which leave chains as they are."""
NETWORK = ("activation", "degree", "margin")
"""Parameters that change the network itself; each choice needs its own graph."""
CHAIN = (
    "scale", "weight_bits", "headroom", "special_gap", "level_offset", "spare_levels",
    "secret_weight",
)  # fmt: skip
"""Parameters that leave the layout as it is."""

_NEAR = 0.15  # largest relative miss of a demand that single steps may mend


class Enumeration:
    """All legal chains and packings of a study, the promising first.

    Args:
        forecast: foretells.
        params: of the study, narrowed as it says.
        check: known rules of the study; empty means legal.
        chains: of one ring and network at most; beyond it steps are widened.
        noise: chains of a layout whose noise is followed at most.
        patience: whether there is time for further layouts; asked once one has a legal chain.
    """

    def __init__(
        self,
        forecast: Forecast,
        params: Sequence[Param],
        check: Any,
        chains: int = 7000,
        noise: int = 400,
        patience: Callable[[], bool] = lambda: True,
    ) -> None:
        self._forecast, self._params, self._check = forecast, tuple(params), check
        self._most_chains, self._most_noise = chains, noise
        self._patience = patience
        self._tables: dict[str, Table] = {}
        self._groups: dict[str, tuple[list[Point], list[CkksParams]]] = {}
        self.judged = 0  # chains that had a verdict

    def networks(self) -> list[dict[str, Value]]:
        """Choices of what stands at activations, shallow ones first; one if there is none."""
        own = [p for p in self._params if p.name in NETWORK]
        found = list(_products(own, _uniform))
        base = self.start()

        def depth(choice: Mapping[str, Value]) -> int:
            return int(self._forecast.space.depth({**base, **choice}))

        # Wider intervals first within a depth: values beyond a fitted interval ruin the answer.
        return sorted(found, key=lambda c: (depth(c), [-_number(v) for v in c.values()]))

    def ranked(self, wish: Wish, network: Mapping[str, Value], count: int = 8) -> list[Ranked]:
        """The best points that are foretold to meet every demand, best first.

        Args:
            wish: what to look for.
            network: choice of what stands at activations.
            count: how many at most.
        """
        tables = list(self._all_tables(network))
        found: list[Ranked] = []
        order = sorted(tables, key=lambda t: t.promise(wish, self._forecast))
        for table in order:
            if not wish.wants_precision and len(found) >= count:
                worst = sorted(wish.sign * r.value for r in found)[count - 1]
                if table.promise(wish, self._forecast) > worst:
                    continue
            found += table.best(wish, self._forecast, count, self._most_noise)
        found.sort(key=lambda r: (wish.sign * r.value, -r.values.get("predicted_precision", 0.0)))
        return [r for r in found[: 4 * count] if not self._check(r.point)][:count]

    def near_misses(
        self, wish: Wish, network: Mapping[str, Value], than: Ranked | None, gain: float
    ) -> list[Ranked]:
        """The most precise chains of layouts that promise such a relative gain over ``than`` and
        miss a demand by little: single steps of what was judged in wider steps may mend them.
        """
        found = []
        for table in self._all_tables(network):
            if wish.wants_precision:
                break
            promise = table.promise(wish, self._forecast)
            if than is not None and promise > wish.sign * than.value - gain * abs(than.value):
                continue
            near = min(table.followed(wish, self._forecast), default=None,
                       key=lambda r: wish.excess(r.values))  # fmt: skip
            if near is not None and 0 < wish.excess(near.values) <= _NEAR:
                found.append(near)
        return sorted(found, key=lambda r: wish.sign * r.value)

    def forget(self) -> None:
        """Judge all layouts anew: what a run must hold has changed."""
        self._tables.clear()

    def closest(self, wish: Wish, network: Mapping[str, Value]) -> Ranked | None:
        """The point that is foretold to miss the demands by the least."""
        best: tuple[float, Ranked] | None = None
        for table in self._all_tables(network):
            for ranked in table.sample(wish, self._forecast):
                miss = wish.excess(ranked.values, 0.0)
                if best is None or miss < best[0]:
                    best = (miss, ranked)
        return None if best is None else best[1]

    def start(self) -> dict[str, Value]:
        """The first value of every active parameter."""
        point: dict[str, Value] = {}
        for param in self._params:
            if is_active(param, point):
                point[param.name] = next(iter(_uniform(param)))
        return point

    def _layouts(self, network: Mapping[str, Value]) -> Iterator[dict[str, Value]]:
        own = [p for p in self._params if p.name not in (*NETWORK, *CHAIN)]
        for choice in _active_products(own):
            if not any(_set(value) for name, value in choice.items() if name == "bootstrap"):
                yield {**choice, **network}

    def _all_tables(self, network: Mapping[str, Value]) -> Iterator[Table]:
        """Layouts with a legal chain, small rings first; fewer when time runs out."""
        some = False
        for layout in self._layouts(network):
            known = point_digest(layout) in self._tables
            if some and not known and not self._patience():
                return
            table = self._table(layout)
            if table is not None:
                some = True
                yield table

    def _table(self, layout: Mapping[str, Value]) -> Table | None:
        """The chains of a layout; None if none of them is legal."""
        key = point_digest(layout)
        if key not in self._tables:
            self._tables[key] = self._made(layout)
        table = self._tables[key]
        return table if len(table.points) else None

    def _made(self, layout: Mapping[str, Value]) -> Table:
        try:
            points, sets = self._group(layout)
            if not points:
                return Table([], [], None, {})
            own = self._forecast.space.read({**points[0], **layout})
            sets = [replace(s, input_packing=own.input_packing, layers=own.layers) for s in sets]
            return judged([{**p, **layout} for p in points], sets, self._forecast)
        except SearchError:
            return Table([], [], None, {})

    def _group(self, layout: Mapping[str, Value]) -> tuple[list[Point], list[CkksParams]]:
        """Chains that no rule refuses whatever the layers look like; read and judged once for all
        layouts that share them.
        """
        key = point_digest({n: v for n, v in layout.items() if n not in LAYERS})
        if key not in self._groups:
            points, sets, seen = [], [], set()
            for point in self._chains(layout):
                params = self._forecast.space.read(point)
                self.judged += 1
                if params not in seen:  # gaps beyond the largest prime are all the same
                    seen.add(params)
                    sets.append(params)
                    points.append(point)
            kept = possible(sets, self._forecast)
            self._groups[key] = ([points[i] for i in kept], [sets[i] for i in kept])
        return self._groups[key]

    def _chains(self, layout: Mapping[str, Value]) -> Iterator[Point]:
        """The points of a layout: all scales, other numbers in steps; repair refines them."""
        own = [p for p in self._params if p.name in CHAIN and is_active(p, layout)]
        options = {p.name: list(_uniform(p)) for p in own}
        while math.prod(map(len, options.values())) > self._most_chains:
            longest = max(options, key=lambda n: (_coarseness(n, len(options[n])), n))
            if _coarseness(longest, len(options[longest])) <= 0:
                break
            options[longest] = _thinned(options[longest])
        for chain in _products(own, lambda p: options[p.name]):
            yield {p.name: {**layout, **chain}[p.name] for p in self._params
                   if p.name in layout or p.name in chain}  # fmt: skip


def _products(params: Sequence[Param], options: Any) -> Iterator[dict[str, Value]]:
    """Every combination of the options of ``params``."""
    for values in itertools.product(*[list(options(p)) for p in params]):
        yield {p.name: v for p, v in zip(params, values, strict=True)}


def _active_products(params: Sequence[Param]) -> Iterator[dict[str, Value]]:
    """Every combination of uniform options, of active parameters alone."""
    seen = set()
    for choice in _products(params, _uniform):
        kept: dict[str, Value] = {}
        for param in params:
            if is_active(param, kept):
                kept[param.name] = choice[param.name]
        if (key := point_digest(kept)) not in seen:
            seen.add(key)
            yield kept


def _coarseness(name: str, count: int) -> float:
    """How readily values of a parameter are left out: precision hangs on scales."""
    if count < 4 or name == "scale":
        return 0.0
    return float(count) if name != "weight_bits" else 0.01 * count


def _thinned(values: list[Value]) -> list[Value]:
    """About half of ``values``, the first and the last among them."""
    return [*values[:-1:2], values[-1]]


def _uniform(param: Param) -> Iterator[Value]:
    """Values of a parameter; of a vector those whose entries are all equal."""
    domain = param.domain
    element = domain.element if isinstance(domain, Vector) else domain
    values: Sequence[Any]
    if isinstance(element, Integer):
        values = range(element.low, element.high + 1, element.step)
    elif isinstance(element, Real):
        values = [element.low + (element.high - element.low) * k / 4 for k in range(5)]
    else:
        values = element.options
    for value in values:
        yield (value,) * domain.length if isinstance(domain, Vector) else value


def _set(value: Value) -> bool:
    return any(value) if isinstance(value, tuple) else bool(value)


def _number(value: Value) -> float:
    entry = value[0] if isinstance(value, tuple) else value
    return float(entry) if isinstance(entry, (int, float)) else 0.0
