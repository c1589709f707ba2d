"""Global parameters by enumeration: every chain of every layout, judged by models alone.

Verdicts and times of thousands of chains come from arrays; noise is followed only for those that
could be best, in order of what is wanted.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.goals import PREDICTED_BY, Aim
from search.api.domain import Integer, Param, Point, Real, Value, Vector, is_active, point_digest
from search.api.errors import SearchError
from search.api.metric import Metric
from spaces.ckks.rules import SAFE_GAP, expected_bits

if TYPE_CHECKING:
    from agents.tools.forecast import Forecast, Laid
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

RESERVE: Mapping[str, float] = {"precision_ckks": 0.7, "worst_precision_ckks": 1.0}
"""Bits aimed at beyond a demand on measured precision: two standard deviations over fresh keys and
inputs (0.35 bit, measured over 10 runs of one network)."""
SHARE = 0.03
"""Share by which predicted times and memory keep below a demand on measured ones."""

_LEAST_NOISE = 48  # chains of a layout whose noise is followed whatever it costs
_NOISE_S = 0.5  # seconds that further ones may take; no limit where all are wanted
_ALL = 1_000_000
_NEAR = 0.15  # largest relative miss of a demand that single steps may mend
_HOPELESS = 4.0  # bits missed by the chains of largest scale, beyond which others miss too


@dataclass(frozen=True)
class Ranked:
    """A point that is foretold to meet every demand.

    Args:
        point: it.
        value: of what is wanted, foretold.
        values: all that is foretold.
    """

    point: Point
    value: float
    values: Mapping[str, float]


@dataclass(frozen=True)
class Wish:
    """What to look for.

    Args:
        metric: to make small (or large).
        aims: demands, constraints and gates.
        reserve: share of the margins to keep from demands on measured metrics.
    """

    metric: Metric
    aims: tuple[Aim, ...]
    reserve: float = 1.0

    @property
    def sign(self) -> float:
        """1 if small is good."""
        return 1.0 if self.metric.goal == "min" else -1.0

    @property
    def wants_precision(self) -> bool:
        """Whether precision is what is made large."""
        return "precision" in self.metric.name

    def excess(self, values: Mapping[str, float], reserve: float | None = None) -> float:
        """The largest relative miss of any demand that ``values`` speak of; 0 or less: none."""
        worst, kept = 0.0, self.reserve if reserve is None else reserve
        for aim in self.aims:
            value = values.get(aim.metric.name)
            if value is None:
                continue
            size = max(abs(aim.constraint.bound), 1e-9)
            worst = max(worst, (aim.excess(value) + kept * margin(aim)) / size)
        return worst


def margin(aim: Aim) -> float:
    """How far a foretold value is to keep from the bound on a measured metric."""
    name = aim.metric.name
    if name in RESERVE:
        return RESERVE[name]
    if name in PREDICTED_BY or name == "memory_ckks":
        return SHARE * abs(aim.constraint.bound)
    return 0.0


class Enumeration:
    """All legal chains and packings of a study, the promising first.

    Args:
        forecast: foretells.
        params: of the study, narrowed as it says.
        check: known rules of the study; empty means legal.
        chains: of one ring and network at most; beyond it steps are widened.
        noise: chains of a layout whose noise is followed at most.
    """

    def __init__(
        self,
        forecast: Forecast,
        params: Sequence[Param],
        check: Any,
        chains: int = 7000,
        noise: int = 400,
    ) -> None:
        self._forecast, self._params, self._check = forecast, tuple(params), check
        self._most_chains, self._most_noise = chains, noise
        self._tables: dict[str, _Table] = {}
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
        tables = [t for layout in self._layouts(network) if (t := self._table(layout)) is not None]
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
        for layout in self._layouts(network):
            table = self._table(layout)
            if table is None or wish.wants_precision:
                continue
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
        for layout in self._layouts(network):
            table = self._table(layout)
            if table is None:
                continue
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

    def _table(self, layout: Mapping[str, Value]) -> _Table | None:
        """The chains of a layout; None if none of them is legal."""
        key = point_digest(layout)
        if key not in self._tables:
            self._tables[key] = self._made(layout)
        table = self._tables[key]
        return table if len(table.points) else None

    def _made(self, layout: Mapping[str, Value]) -> _Table:
        try:
            points, sets = self._group(layout)
            if not points:
                return _Table([], [], None, {})
            own = self._forecast.space.read({**points[0], **layout})
            sets = [replace(s, input_packing=own.input_packing, layers=own.layers) for s in sets]
            return _judged([{**p, **layout} for p in points], sets, self._forecast)
        except SearchError:
            return _Table([], [], None, {})

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
            kept = _possible(sets, self._forecast)
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


@dataclass
class _Table:
    """Chains of one layout that no static rule refuses.

    Args:
        points, sets: they, in parallel.
        laid: the layout; None if there is none.
        columns: metric -> ``[chains]``.
    """

    points: list[Point]
    sets: list[CkksParams]
    laid: Laid | None
    columns: dict[str, np.ndarray]

    def promise(self, wish: Wish, forecast: Forecast) -> float:
        """The best that could come of this layout; small is good."""
        if wish.wants_precision:
            return -float(self.columns["_thumb"].max())
        column = _column(self.columns, wish.metric.name)
        if column is None:
            return 0.0
        return wish.sign * float((wish.sign * self.columns[column]).min())

    def best(self, wish: Wish, forecast: Forecast, count: int, most: int) -> list[Ranked]:
        """The first ``count`` chains that are foretold to meet every demand."""
        found: list[Ranked] = []
        cheap = [i for i in range(len(self.points))
                 if wish.excess(self._values(i, forecast)) <= 0]  # fmt: skip
        column = _column(self.columns, wish.metric.name)
        first = None if column is None or wish.wants_precision else wish.sign * self.columns[column]
        thumb = self.columns["_thumb"]
        cheap.sort(key=lambda i: (0.0 if first is None else round(float(first[i]), 6), -thumb[i]))
        began = time.monotonic()
        for start in range(0, min(len(cheap), most), 12):
            late = most < _ALL and time.monotonic() - began > _NOISE_S
            if start >= _LEAST_NOISE and late:
                break
            part = cheap[start : start + 12]
            self._follow(part, forecast)
            for i in part:
                values = self._values(i, forecast)
                if wish.excess(values) <= 0 and wish.metric.name in values:
                    found.append(Ranked(self.points[i], values[wish.metric.name], values))
            if most < _ALL and not found and self._short_of(wish, part, forecast) > _HOPELESS:
                break
            if len(found) >= count and not wish.wants_precision:
                break
        return found

    def _short_of(self, wish: Wish, part: Sequence[int], forecast: Forecast) -> float:
        """Bits of precision by which every chain of ``part`` misses a demand."""
        misses = [
            aim.excess(value)
            for aim in wish.aims
            if "precision" in aim.metric.name
            for value in [max((self._values(i, forecast).get(aim.metric.name, math.inf)
                               for i in part), default=math.inf)]
        ]  # fmt: skip
        return max(misses, default=0.0)

    def followed(self, wish: Wish, forecast: Forecast) -> list[Ranked]:
        """The chains whose noise has been followed."""
        column = self.columns.get("predicted_precision")
        indices = [] if column is None else np.flatnonzero(~np.isnan(column)).tolist()
        found = [(self.points[i], self._values(i, forecast)) for i in indices]
        return [Ranked(p, v[wish.metric.name], v) for p, v in found if wish.metric.name in v]

    def sample(self, wish: Wish, forecast: Forecast) -> list[Ranked]:
        """A few chains with all that is foretold of them, the precise ones first."""
        order = np.argsort(-self.columns["_thumb"])[:12].tolist()
        self._follow(order, forecast)
        found = [(self.points[i], self._values(i, forecast)) for i in order]
        return [Ranked(p, v.get(wish.metric.name, math.inf), v) for p, v in found]

    def _follow(self, indices: Sequence[int], forecast: Forecast) -> None:
        """Follow the noise of chains."""
        column = self.columns.setdefault("predicted_precision", np.full(len(self.points), np.nan))
        new = [i for i in indices if math.isnan(column[i])]
        if new and self.laid is not None:
            column[new] = forecast.precisions([self.sets[i] for i in new], self.laid)

    def _values(self, i: int, forecast: Forecast) -> dict[str, float]:
        known = {
            name: float(column[i])
            for name, column in self.columns.items()
            if not name.startswith("_") and not math.isnan(column[i])
        }
        return forecast.told(known)


def _judged(points: list[Point], sets: list[CkksParams], forecast: Forecast) -> _Table:
    from evaluators.fhe.static_batch import ParamArrays, static_batch

    laid = forecast.laid(sets[0])
    facts = forecast.covering(laid)
    verdicts = static_batch(facts, ParamArrays.of(sets), forecast.demands, forecast.memory_mb)
    kept = np.flatnonzero(verdicts.feasible)
    points, sets = [points[i] for i in kept], [sets[i] for i in kept]
    count = len(kept)
    columns = {
        "log_qp": verdicts.log_qp[kept].astype(float),
        "security_slack": verdicts.slack[kept].astype(float),
        "key_mb": verdicts.key_mb[kept].astype(float),
        "plaintext_mb": np.full(count, verdicts.plaintext_mb),
        "upload_mb": np.full(count, verdicts.upload_mb),
        "levels": np.full(count, float(laid.facts.depth)),
        "rotations": np.full(count, float(laid.facts.rotations)),
        "diagonals": np.full(count, float(laid.facts.diagonals)),
        "predicted_latency_ckks": np.zeros(count),
        "predicted_server_ms": np.zeros(count),
        "_thumb": np.array([_thumb(*pair) for pair in zip(points, sets, strict=True)]),
    }
    times: dict[int, Mapping[str, float]] = {}
    for i, params in enumerate(sets):
        levels = len(params.chain.levels)
        if levels not in times:
            times[levels] = forecast.latency(params, laid)
        for name, value in times[levels].items():
            columns[name][i] = value
    return _Table(points, sets, laid, columns)


def _possible(sets: list[CkksParams], forecast: Forecast) -> list[int]:
    """Indices of chains that are secure, deep enough, and whose primes exist."""
    from evaluators.fhe.static_batch import ParamArrays, static_batch

    facts = forecast.laid(sets[0]).facts
    verdicts = static_batch(facts, ParamArrays.of(sets), forecast.demands, None)
    own = ("insecure", "unsupported", "depth", "no_primes", "scale_mismatch")
    broken = np.logical_or.reduce([hit for rule, hit in verdicts.broken.items() if rule in own])
    return [int(i) for i in np.flatnonzero(~broken)]


def _thumb(point: Point, params: CkksParams) -> float:
    """Bits by rules of thumb, for an order: of the scale, of the weights, less for a special prime
    too near the first one.

    Weights are rounded to their scale; the error of a rounded plaintext is sqrt(N / 12) in a slot.
    """
    special = params.chain.special
    gap = sum(special) / max(1, len(special)) - params.chain.first
    bits = expected_bits(params.scale, params.log_n)
    weights = point.get("weight_bits")
    if isinstance(weights, int):
        bits = min(bits, weights - params.log_n / 2 + 0.5) + 0.01 * bits
    return bits - 0.4 * max(0.0, SAFE_GAP - gap) + 0.01 * gap


def _column(columns: Mapping[str, np.ndarray], metric: str) -> str | None:
    """The column that orders chains by ``metric``."""
    if metric in columns:
        return metric
    if metric == "memory_ckks":
        return "key_mb"
    by = PREDICTED_BY.get(metric)
    return by if by in columns else None


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
