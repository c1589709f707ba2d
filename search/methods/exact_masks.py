"""From scores to masks that keep exactly as many ReLUs as the budget allows."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from search.api.errors import ConfigError
from spaces.masking import Masking


def exact_masks(
    scores: Mapping[str, Tensor], masking: Masking, budget: int, *, kept: Mapping[str, int] | None
) -> dict[str, Tensor]:
    """The units of highest score, as many as fit in ``budget``.

    Pixels fill the budget exactly. Channels and layers are taken in the order of their score, each
    if it still fits: the sum is at most the budget, and no dropped unit would fit.

    Args:
        scores: free site -> score of each unit, of shape ``masking.unit_shape(site)``. Ties fall
            to the earlier site, then the earlier unit.
        masking: the sites and units.
        budget: ReLU elements of the whole network, settled ones included.
        kept: free site -> elements it keeps, to select within each site; None to select among all.
            What whole units leave of these counts goes to further units, where most was left.

    Returns:
        Free site -> bool mask of the site's shape.

    Raises:
        ConfigError: a score is missing, has another shape or is NaN.
    """
    flat = {site.name: _checked(scores, site.name, masking.unit_shape(site)).flatten()
            for site in masking.free}  # fmt: skip
    if kept is not None:
        units = _units_of(kept, masking)
        chosen = {
            site.name: _top(flat[site.name], [1] * len(flat[site.name]), units[site.name])
            for site in masking.free
        }
    else:
        sizes = [masking.unit_elements(site) for site in masking.free
                 for _ in range(len(flat[site.name]))]  # fmt: skip
        room = budget - masking.settled_relus
        both = _top(torch.cat([flat[site.name] for site in masking.free]), sizes, room)
        parts = torch.split(both, [len(flat[site.name]) for site in masking.free])
        chosen = {site.name: part for site, part in zip(masking.free, parts, strict=True)}
    return {
        site.name: chosen[site.name]
        .view(masking.unit_shape(site))
        .expand(site.input_shape)
        .contiguous()
        for site in masking.free
    }


def even_counts(masking: Masking, budget: int) -> dict[str, int]:
    """Free site -> elements it keeps when every site keeps the same share; sums to the budget.

    What rounding leaves goes to the sites with the largest remainders, earlier ones first.
    """
    return share_out({site.name: float(site.elements) for site in masking.free}, masking, budget)


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
    open_sites = set(elements)
    left = float(min(room, sum(elements.values())))
    while left > 1e-9 and open_sites:
        total = sum(weights[n] for n in open_sites)
        share = {n: weights[n] / total if total > 0 else 1 / len(open_sites) for n in open_sites}
        given = {n: min(left * share[n], elements[n] - kept[n]) for n in open_sites}
        for name, amount in given.items():
            kept[name] += amount
        left -= sum(given.values())
        open_sites = {n for n in open_sites if kept[n] < elements[n] - 1e-9}
    whole = {n: int(k + 1e-9) for n, k in kept.items()}
    missing = min(room, sum(elements.values())) - sum(whole.values())
    order = sorted(elements, key=lambda n: kept[n] - whole[n], reverse=True)
    for name in [n for n in order if whole[n] < elements[n]][:missing]:
        whole[name] += 1
    return whole


def _units_of(kept: Mapping[str, int], masking: Masking) -> dict[str, int]:
    """Free site -> whole units it keeps; no further unit fits into the sum of ``kept``."""
    size = {site.name: masking.unit_elements(site) for site in masking.free}
    most = {site.name: site.elements // size[site.name] for site in masking.free}
    units = {name: min(most[name], kept[name] // size[name]) for name in size}
    left = sum(kept[name] - units[name] * size[name] for name in size)
    while fitting := [n for n in size if size[n] <= left and units[n] < most[n]]:
        best = max(fitting, key=lambda n: (kept[n] - units[n] * size[n]) / size[n])
        units[best] += 1
        left -= size[best]
    return units


def _checked(scores: Mapping[str, Tensor], name: str, shape: tuple[int, ...]) -> Tensor:
    score = scores.get(name)
    if score is None or tuple(score.shape) != shape:
        got = "none" if score is None else tuple(score.shape)
        raise ConfigError(f"{name}: expected scores of shape {shape} (got {got})")
    if bool(torch.isnan(score).any()):
        raise ConfigError(f"{name}: a score is NaN")
    return score.detach()


def _top(scores: Tensor, sizes: list[int], room: int) -> Tensor:
    """Bool vector of the units taken, best first, each if it fits in ``room`` elements."""
    order = torch.argsort(scores, descending=True, stable=True)
    taken = torch.zeros(len(scores), dtype=torch.bool, device=scores.device)
    if len(set(sizes)) == 1:
        taken[order[: max(0, room) // sizes[0]]] = True
        return taken
    for index in order.tolist():
        if sizes[index] <= room:
            taken[index] = True
            room -= sizes[index]
    return taken
