"""Masks chosen without looking at the data: the baselines every learned placement must beat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from pydantic import Field

from search.methods.exact_masks import even_counts, exact_masks
from search.methods.mask_method import MaskMethod, MaskOptions, Masks, MaskTask

if TYPE_CHECKING:
    from torch import Tensor

    from spaces.masking import Masking


class RandomMasks(MaskMethod):
    """ReLUs stay at random among all units of the network. The baseline of every claim."""

    name = "random_masks"

    def find(self, task: MaskTask) -> Masks:
        """Units drawn without replacement, with the trial's seed."""
        scores = random_scores(task.masking, task.ctx.seed)
        return Masks(exact_masks(scores, task.masking, task.budget, kept=None))


class LayerMaskOptions(MaskOptions):
    """Options of ``method: {name: layer_masks}``."""

    where: Literal["even", "first", "last"] = Field(
        "even", description="which layers keep ReLUs: the same share in each, the first or the last"
    )


class LayerMasks(MaskMethod):
    """ReLUs stay by a rule on layers: the same share in each, or the first or last layers whole.

    Within a layer they stay at random.
    """

    name = "layer_masks"
    Config = LayerMaskOptions

    def find(self, task: MaskTask) -> Masks:
        """Counts per site by the rule, units drawn within each site."""
        assert isinstance(self._config, LayerMaskOptions)
        where, masking = self._config.where, task.masking
        if where == "even":
            kept = even_counts(masking, task.budget)
        else:
            kept = _from_one_end(task, reverse=where == "last")
        scores = random_scores(masking, task.ctx.seed)
        return Masks(exact_masks(scores, masking, task.budget, kept=kept))


def _from_one_end(task: MaskTask, *, reverse: bool) -> dict[str, int]:
    left = task.budget - task.masking.settled_relus
    kept = {}
    for site in reversed(task.masking.free) if reverse else task.masking.free:
        kept[site.name] = min(left, site.elements)
        left -= kept[site.name]
    return kept


def random_scores(masking: Masking, seed: int) -> dict[str, Tensor]:
    """Free site -> a random score for each unit, in [0, 1)."""
    noise = torch.Generator().manual_seed(seed)
    return {s.name: torch.rand(masking.unit_shape(s), generator=noise) for s in masking.free}
