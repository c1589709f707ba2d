"""Which layers keep any ReLU, and which of their elements, within a cost instead of a count.

Starting a comparison at a site costs rounds however few elements are compared, so under a slow
network a few layers with many ReLUs are cheaper than a few ReLUs in every layer. Choosing is then a
knapsack with a fixed charge per layer: the value of a placement is the sum of the scores it keeps,
its price what the cost model says. A layer that keeps every ReLU needs no mask, so it does not
start what replaces a ReLU: where that costs rounds too, a whole layer can be cheaper than a part.

Ours; no paper of the field places pixels under a cost with rounds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

from search.api.network import Work, fixed_work, part_work
from search.api.protocols import CostModel
from spaces.masking import Masking
from spaces.plan import work_operator

_BINS = 256
_GUESSES = 4
_ALL_SETS = 10


@dataclass(frozen=True)
class Prices:
    """What a placement costs, in the cost model's unit.

    Args:
        settled: everything that no mask changes.
        dropped: free site -> cost when no ReLU stays.
        opened: free site -> cost of the masked site beyond its ReLU elements; of the whole ReLU
            layer where no mask costs less.
        element: free site -> cost of one ReLU element more (and one replaced element less); 0
            where no mask costs less than the whole layer.
        whole: free site -> cost when every ReLU stays.
    """

    settled: float
    dropped: Mapping[str, float]
    opened: Mapping[str, float]
    element: Mapping[str, float]
    whole: Mapping[str, float]

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
    dropped, opened, element, whole = {}, {}, {}, {}
    for site in masking.free:
        dropped[site.name] = float(model.cost([fixed_work(site, masking.replacement)]))
        at = [
            float(model.cost([
                part_work(site, "relu", kept),
                part_work(site, masking.replacement, site.elements - kept),
            ]))
            for kept in (0.0, float(site.elements))
        ]  # fmt: skip
        whole[site.name] = float(model.cost([fixed_work(site, "relu")]))
        pays = masking.granularity != "layer" and at[0] < whole[site.name]
        opened[site.name] = at[0] if pays else whole[site.name]
        element[site.name] = (at[1] - at[0]) / site.elements if pays else 0.0
    return Prices(float(model.cost(settled)), dropped, opened, element, whole)


def original_cost(masking: Masking, model: CostModel) -> float:
    """Cost of the network in which every free site is ReLU."""
    price = prices(masking, model)
    return price.settled + sum(price.whole.values())


def opens_any(price: Prices, limit: float, *, layers: bool) -> bool:
    """Whether any layer can be open within ``limit``; with ``layers`` off, whether all can."""
    more = [price.opened[n] - price.dropped[n] for n in price.opened]
    return price.least + (min(more) if layers else sum(more)) <= limit * (1 + 1e-9)


def masks_within_cost(
    scores: Mapping[str, Tensor], masking: Masking, price: Prices, limit: float, *, layers: bool
) -> dict[str, Tensor]:
    """Masks of the highest sum of scores whose cost is at most ``limit``.

    Arguments as for :func:`sets_within_cost`.

    Returns:
        Free site -> bool mask of the site's shape.
    """
    # Bins are a good guess; the best guesses are compared by what they really keep.
    fits = sets_within_cost(scores, masking, price, limit, layers=layers)[:_GUESSES]
    found = [masks_of_set(scores, masking, price, limit, chosen) for chosen in fits]
    return max(found, key=lambda masks: _worth(masks, scores))


def sets_within_cost(
    scores: Mapping[str, Tensor], masking: Masking, price: Prices, limit: float, *, layers: bool
) -> list[tuple[str, ...]]:
    """Sets of layers that can be open within ``limit``, highest sum of scores first.

    Of up to ten layers every set is looked at. Of more, layers are closed one by one, each time
    the one whose closing leaves the most; from the best set on that way, layers are opened, closed
    and exchanged while that helps. A set is left out if one with more layers keeps more.

    Args:
        scores: free site -> score per ReLU element of each unit, at least 0, of shape
            ``masking.unit_shape(site)``.
        masking: sites and units.
        price: of ``masking``.
        limit: in the unit of ``price``; at least ``price.least``.
        layers: whether layers may be closed; if not, every layer stays open while the limit is
            above the cost of opening all, and nothing is kept below it.
    """
    names = [site.name for site in masking.free]
    sizes = {site.name: masking.unit_elements(site) for site in masking.free}
    table = _Table(scores, names, sizes, price)
    room = {tuple(names): _room(tuple(names), price, limit, names)}
    if layers and len(names) <= _ALL_SETS:
        every = (c for k in range(len(names) + 1) for c in combinations(names, k))
        room = {chosen: _room(chosen, price, limit, names) for chosen in every}
    elif layers:
        room = _good_sets(table, names, price, limit)
    # A hair below zero still fits: sums of costs round.
    value = {c: table.value(c, max(0.0, r)) for c, r in room.items() if r >= -1e-9 * limit}
    best: list[tuple[str, ...]] = []
    for chosen in sorted(value, key=lambda c: (value[c], len(c)), reverse=True):
        if not any(set(chosen) < set(better) for better in best):
            best.append(chosen)
    return best or [()]


def masks_of_set(
    scores: Mapping[str, Tensor],
    masking: Masking,
    price: Prices,
    limit: float,
    chosen: tuple[str, ...],
) -> dict[str, Tensor]:
    """Masks when the layers ``chosen`` are open: units by score per cost until the limit.

    A layer whose mask would cost as much as the whole layer keeps all, and what that saves goes to
    the others.
    """
    names = [site.name for site in masking.free]
    room = max(0.0, _room(chosen, price, limit, names))
    full: set[str] = set()
    while True:
        masks = _cut(scores, masking, price, tuple(n for n in chosen if n not in full), room)
        for site in masking.free:
            if site.name in full:
                masks[site.name] = torch.ones(site.input_shape, dtype=torch.bool)
        more = {
            n: price.whole[n] - price.opened[n]
            for n in chosen
            if n not in full and _paid(masks[n], price, n) >= price.whole[n] * (1 - 1e-12)
        }
        if not more:
            return masks
        full |= more.keys()
        room -= sum(more.values())


def _paid(mask: Tensor, price: Prices, name: str) -> float:
    """Cost of the open layer ``name`` with ``mask``."""
    return price.opened[name] + float(mask.sum()) * price.element[name]


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
        part = torch.where((cost == 0) & (before <= room), 1.0, part)  # free elements
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
