"""The chains of one layout, judged together: verdicts and times as arrays, noise on demand."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from agents.expert_wish import Ranked, Wish
from agents.goals import PREDICTED_BY
from search.api.domain import Point
from spaces.ckks.rules import SAFE_GAP, expected_bits

if TYPE_CHECKING:
    from agents.tools.forecast import Forecast, Laid
    from spaces.ckks.params import CkksParams

_LEAST_NOISE = 48  # chains of a layout whose noise is followed whatever it costs
_NOISE_S = 0.5  # seconds that further ones may take; no limit where all are wanted
_ALL = 1_000_000
_HOPELESS = 4.0  # bits missed by the chains of largest scale, beyond which others miss too


@dataclass
class Table:
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
        best = int((wish.sign * self.columns[column]).argmin())
        value = self._values(best, forecast).get(wish.metric.name, 0.0)
        return wish.sign * value

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


def judged(points: list[Point], sets: list[CkksParams], forecast: Forecast) -> Table:
    """The table of ``points``, which share a layout, without those that a rule refuses.

    Raises:
        SearchError: the network cannot be laid out so.
    """
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
    return Table(points, sets, laid, columns)


def possible(sets: list[CkksParams], forecast: Forecast) -> list[int]:
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
