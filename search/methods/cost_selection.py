"""Which layers keep any ReLU, and which of their elements, within a cost instead of a count.

Starting a comparison at a site costs rounds however few elements are compared, so under a slow
network a few layers with many ReLUs are cheaper than a few ReLUs in every layer. Choosing is then a
knapsack with a fixed charge per layer: the value of a placement is the sum of the scores it keeps,
its price what the cost model says.

Ours; no paper of the field places pixels under a cost with rounds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from search.api.network import Work, fixed_work, part_work
from search.api.protocols import CostModel
from spaces.masking import Masking
from spaces.plan import work_operator

_BINS = 256
_GUESSES = 4


@dataclass(frozen=True)
class Prices:
    """What a placement costs, in the cost model's unit.

    Args:
        settled: everything that no mask changes.
        dropped: free site -> cost when no ReLU stays.
        opened: free site -> cost of the masked site beyond its ReLU elements.
        element: free site -> cost of one ReLU element more (and one replaced element less).
    """

    settled: float
    dropped: Mapping[str, float]
    opened: Mapping[str, float]
    element: Mapping[str, float]

    @property
    def least(self) -> float:
        """Cost of the network without any free ReLU."""
        return self.settled + sum(self.dropped.values())


def prices(masking: Masking, model: CostModel) -> Prices:
    """The prices of ``masking`` under ``model``, which must be linear in the elements."""
    free = {site.name for site in masking.free}
    settled: list[Work[float]] = []
    for site in masking.sites:
        if site.name not in free:
            own = masking.settled.get(site.name)
            settled.append(fixed_work(site, None if own is None else work_operator(own)))
    dropped, opened, element = {}, {}, {}
    for site in masking.free:
        dropped[site.name] = float(model.cost([fixed_work(site, masking.replacement)]))
        at = [
            float(model.cost([
                part_work(site, "relu", kept),
                part_work(site, masking.replacement, site.elements - kept),
            ]))
            for kept in (0.0, float(site.elements))
        ]  # fmt: skip
        opened[site.name] = at[0]
        element[site.name] = (at[1] - at[0]) / site.elements
    return Prices(float(model.cost(settled)), dropped, opened, element)


def original_cost(masking: Masking, model: CostModel) -> float:
    """Cost of the network in which every free site is ReLU."""
    whole = sum(float(model.cost([fixed_work(site, "relu")])) for site in masking.free)
    return prices(masking, model).settled + whole


def masks_within_cost(
    scores: Mapping[str, Tensor], masking: Masking, price: Prices, limit: float, *, layers: bool
) -> dict[str, Tensor]:
    """Masks of the highest sum of scores whose cost is at most ``limit``.

    Layers are closed one by one, each time the one whose closing leaves the most; from the best set
    on that way, layers are opened, closed and exchanged while that helps. Within a set, units go by
    score per cost until the limit.

    Args:
        scores: free site -> score per ReLU element of each unit, at least 0, of shape
            ``masking.unit_shape(site)``.
        masking: sites and units.
        price: of ``masking``.
        limit: in the unit of ``price``; at least ``price.least``.
        layers: whether layers may be closed; if not, every layer stays open while the limit is
            above the cost of opening all, and nothing is kept below it.

    Returns:
        Free site -> bool mask of the site's shape.
    """
    names = [site.name for site in masking.free]
    sizes = {site.name: masking.unit_elements(site) for site in masking.free}
    table = _Table(scores, names, sizes, price)
    room = {tuple(names): _room(tuple(names), price, limit, names)}
    if layers:
        room = _good_sets(table, names, price, limit)
    fits = [chosen for chosen in room if room[chosen] >= 0] or [()]
    # Bins are a good guess; the best guesses are compared by what they really keep.
    fits.sort(key=lambda chosen: table.value(chosen, room.get(chosen, 0.0)), reverse=True)
    found = [_cut(scores, masking, price, c, room.get(c, 0.0)) for c in fits[:_GUESSES]]
    return max(found, key=lambda masks: _worth(masks, scores))


def _room(chosen: tuple[str, ...], price: Prices, limit: float, names: list[str]) -> float:
    """What is left for elements when the layers of ``chosen`` are open."""
    spent = sum(price.opened[n] if n in chosen else price.dropped[n] for n in names)
    return limit - price.settled - spent


def _good_sets(
    table: _Table, names: list[str], price: Prices, limit: float
) -> dict[tuple[str, ...], float]:
    """Sets of open layers that were worth a look -> room for their elements."""
    seen: dict[tuple[str, ...], float] = {}

    def worth(chosen: tuple[str, ...]) -> tuple[float, float]:
        seen[chosen] = _room(chosen, price, limit, names)
        # While no set fits, close what gives the most room for the least score.
        return table.value(chosen, seen[chosen]), seen[chosen] + table.most(chosen) * 1e-12

    chosen = tuple(names)
    way = [chosen]
    while chosen:
        chosen = max((tuple(n for n in chosen if n != drop) for drop in chosen), key=worth)
        way.append(chosen)
    best = max(way, key=worth)
    while True:
        better = max(_neighbours(best, names), key=worth)
        if worth(better)[0] <= worth(best)[0]:
            return seen
        best = better


def _neighbours(chosen: tuple[str, ...], names: list[str]) -> Iterator[tuple[str, ...]]:
    """Sets with one layer more, one less, or one exchanged."""
    closed = [n for n in names if n not in chosen]
    for drop in (None, *chosen):
        rest = {n for n in chosen if n != drop}
        if drop is not None:
            yield tuple(n for n in names if n in rest)
        for add in closed:
            yield tuple(n for n in names if n in rest or n == add)


class _Table:
    """Scores in bins of score per cost, best first: values of sets of layers in a few additions."""

    def __init__(
        self, scores: Mapping[str, Tensor], names: list[str], sizes: Mapping[str, int],
        price: Prices,
    ) -> None:  # fmt: skip
        rates = {n: _rate(scores[n], price.element[n]) for n in names}
        every = torch.cat(list(rates.values()))
        some = every[:: max(1, len(every) // 100_000)]
        edges = torch.quantile(some, torch.linspace(0, 1, _BINS + 1, dtype=torch.float64)[1:-1])
        self._cost: dict[str, Tensor] = {}
        self._score: dict[str, Tensor] = {}
        for n in names:
            place = _BINS - 1 - torch.bucketize(rates[n], edges)
            worth = scores[n].detach().double().cpu().flatten() * sizes[n]
            count = torch.bincount(place, minlength=_BINS).double()
            self._score[n] = torch.bincount(place, weights=worth, minlength=_BINS)
            self._cost[n] = count * sizes[n] * price.element[n]

    def most(self, chosen: tuple[str, ...]) -> float:
        """Sum of all scores of ``chosen``."""
        return float(sum(self._score[n].sum() for n in chosen))

    def value(self, chosen: tuple[str, ...], room: float) -> float:
        """Sum of scores that fit in ``room``; -infinity if not even the layers fit."""
        if room < 0:
            return -float("inf")
        if not chosen:
            return 0.0
        cost = torch.stack([self._cost[n] for n in chosen]).sum(0)
        score = torch.stack([self._score[n] for n in chosen]).sum(0)
        before = cost.cumsum(0) - cost
        part = ((room - before) / cost.clamp(min=1e-300)).clamp(0, 1)
        return float((score * part).sum())


def _cut(
    scores: Mapping[str, Tensor],
    masking: Masking,
    price: Prices,
    chosen: tuple[str, ...],
    room: float,
) -> dict[str, Tensor]:
    """Units of the layers ``chosen``, best score per cost first, until ``room`` is spent."""
    masks = {s.name: torch.zeros(masking.unit_shape(s), dtype=torch.bool) for s in masking.free}
    if chosen:
        sites = [s for s in masking.free if s.name in chosen]
        rates = [_rate(scores[s.name], price.element[s.name]) for s in sites]
        costs = [
            torch.full_like(rate, price.element[s.name] * masking.unit_elements(s))
            for s, rate in zip(sites, rates, strict=True)
        ]
        order = torch.argsort(torch.cat(rates), descending=True, stable=True)
        # A hair more than the room, since sums of costs round.
        fits = torch.cat(costs)[order].cumsum(0) <= room * (1 + 1e-9)
        taken = torch.zeros(len(order), dtype=torch.bool)
        taken[order[fits]] = True
        for site, part in zip(sites, torch.split(taken, [len(r) for r in rates]), strict=True):
            masks[site.name] = part.view(masking.unit_shape(site))
    return {s.name: masks[s.name].expand(s.input_shape).contiguous() for s in masking.free}


def _worth(masks: Mapping[str, Tensor], scores: Mapping[str, Tensor]) -> float:
    """Sum of the scores of all kept elements."""
    return sum(float((scores[name].cpu() * mask).sum()) for name, mask in masks.items())


def _rate(score: Tensor, cost: float) -> Tensor:
    """Score per cost of each unit; a free element is worth more than any other."""
    return score.detach().double().cpu().flatten() / max(cost, 1e-12)
