"""Networks with a mask at every free activation: made from the teacher, and hardened to a plan."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import cast

from torch import Tensor, nn

from search.workloads.masked import MaskedActivation, mask_digest
from search.workloads.plan import apply_plan
from spaces.masking import Masking, SiteMask
from spaces.plan import NonlinearityPlan, masked_operator


def masked_student(network: nn.Module, masking: Masking, *, c: float) -> nn.Module:
    """A copy of ``network`` whose free activations are masked, every mask keeping all.

    Args:
        network: the teacher's, in canonical form; not changed.
        masking: where masks go and what replaces a dropped ReLU.
        c: constant of the scale of ``x2act``, if that is the replacement.
    """
    made = copy.deepcopy(network)
    for parameter in made.parameters():
        parameter.requires_grad_(True)
    choices = dict(masking.settled)
    choices |= {site.name: masked_operator(masking.replacement) for site in masking.free}
    return apply_plan(made, choices, masking.sites, {"x2act": {"c": c}})


def set_masks(network: nn.Module, masks: Mapping[str, Tensor]) -> None:
    """Put bool masks (of their site's shape) in place."""
    for name, mask in masks.items():
        masked_at(network, name).set_mask(mask)


def masked_at(network: nn.Module, name: str) -> MaskedActivation:
    """The masked activation at site ``name``."""
    return cast(MaskedActivation, network.get_submodule(name))


def harden(network: nn.Module, masking: Masking) -> NonlinearityPlan:
    """The plan of the masks in ``network``; sites without a mix become plain operators, in place.

    A replacement that stays keeps its trained coefficients.
    """
    found = {}
    for site in masking.free:
        masked = masked_at(network, site.name)
        mask = masked.get_buffer("mask")
        kept = int(mask.sum())
        found[site.name] = SiteMask(kept, mask_digest(mask))
        if kept == 0:
            network.set_submodule(site.name, masked.replacement, strict=True)
        elif kept == mask.numel():
            network.set_submodule(site.name, masked.kept, strict=True)
    return masking.plan(found)
