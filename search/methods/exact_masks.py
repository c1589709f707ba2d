"""From scores to masks that keep exactly as many ReLUs as the budget allows."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from search.api.errors import ConfigError
from spaces.masking import Masking
from spaces.sharing import share_out as share_out
from spaces.sharing import whole_units


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
        units = whole_units(kept, masking)
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
