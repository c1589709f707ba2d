"""Whole numbers of ReLU elements per site that follow weights and fit a budget."""

from __future__ import annotations

import math
from collections.abc import Mapping

from search.api.errors import ConfigError
from spaces.masking import Masking


def share_out(weights: Mapping[str, float], masking: Masking, budget: int) -> dict[str, int]:
    """Free site -> elements it keeps, in proportion to ``weights``; sums to the budget.

    A site that is full leaves its share to the others.

    Args:
        weights: free site -> weight, 0 or more; sites of weight 0 are filled last, evenly.
        masking: the sites.
        budget: ReLU elements of the whole network, settled ones included.

    Raises:
        ConfigError: a weight is negative, infinite or NaN.
    """
    for name, weight in weights.items():
        if not (math.isfinite(weight) and weight >= 0):
            raise ConfigError(f"{name}: expected a weight of at least 0 (got {weight})")
    elements = {site.name: site.elements for site in masking.free}
    room = max(0, budget - masking.settled_relus)
    kept = dict.fromkeys(elements, 0.0)
    open_sites = list(elements)  # in order: sums of floats must be the same in every process
    left = float(min(room, sum(elements.values())))
    while left > 1e-9 and open_sites:
        total = sum(weights[n] for n in open_sites)
        share = {n: weights[n] / total if total > 0 else 1 / len(open_sites) for n in open_sites}
        given = {n: min(left * share[n], elements[n] - kept[n]) for n in open_sites}
        for name, amount in given.items():
            kept[name] += amount
        left -= sum(given.values())
        open_sites = [n for n in open_sites if kept[n] < elements[n] - 1e-9]
    whole = {n: int(k + 1e-9) for n, k in kept.items()}
    missing = min(room, sum(elements.values())) - sum(whole.values())
    order = sorted(elements, key=lambda n: kept[n] - whole[n], reverse=True)
    for name in [n for n in order if whole[n] < elements[n]][:missing]:
        whole[name] += 1
    return whole


def whole_units(kept: Mapping[str, int], masking: Masking) -> dict[str, int]:
    """Free site -> units it keeps, for about ``kept`` elements; never more than their sum.

    What whole units leave of a site's elements goes to further units, where most was left; in the
    end no further unit fits into the sum of ``kept``.
    """
    size = {site.name: masking.unit_elements(site) for site in masking.free}
    most = {site.name: site.elements // size[site.name] for site in masking.free}
    units = {name: min(most[name], kept[name] // size[name]) for name in size}
    left = sum(kept[name] - units[name] * size[name] for name in size)
    while fitting := [n for n in size if size[n] <= left and units[n] < most[n]]:
        best = max(fitting, key=lambda n: (kept[n] - units[n] * size[n]) / size[n])
        units[best] += 1
        left -= size[best]
    return units
