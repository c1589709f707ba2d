"""Networks with a mask at every free activation: made from the teacher, and hardened to a plan."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from search.workloads.dapa import Polynomial
from search.workloads.masked import MaskedActivation, mask_digest
from search.workloads.plan import apply_plan
from spaces.masking import Masking, SiteMask
from spaces.plan import NonlinearityPlan, masked_operator

if TYPE_CHECKING:
    from search.workloads.data.splits import Split

CALIBRATION_IMAGES = 2560
"""Training images that fitted polynomials take their moments from, unless an option says more."""

_BATCH = 256


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


def fit_polynomials(
    network: nn.Module, teacher: nn.Module, split: Split, *, images: int, device: str, seed: int
) -> int:
    """Fit every :class:`Polynomial` of ``network`` to what the teacher's site sees; in place.

    Mean and standard deviation per channel are taken over ``images`` training images, with the
    teacher in evaluation mode.

    Returns:
        Number of polynomials fitted.

    Source: AutoReP (ICCV 2023), statistics of the distribution-aware polynomial.
    """
    wanted = _polynomials(network)
    if not wanted:
        return 0
    sums = _moments(teacher, tuple(wanted), split, images=images, device=device, seed=seed)
    for name, polynomial in wanted.items():
        mean, square = sums[name]
        polynomial.fit(mean.float(), (square - mean**2).clamp(min=0).sqrt().float())
    return len(wanted)


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


def _polynomials(network: nn.Module) -> dict[str, Polynomial]:
    """Site name -> its polynomial, whether the site is masked or not."""
    return {
        name.removesuffix(".replacement"): module
        for name, module in network.named_modules()
        if isinstance(module, Polynomial)
    }


def _moments(
    teacher: nn.Module,
    names: tuple[str, ...],
    split: Split,
    *,
    images: int,
    device: str,
    seed: int,
) -> dict[str, tuple[Tensor, Tensor]]:
    """Site -> mean of its input and of its square per channel, in double precision."""
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))[:images]
    totals: dict[str, list[Tensor]] = {}

    def look(name: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            x = inputs[0].detach().double()
            axes = [axis for axis in range(x.dim()) if axis != 1]
            share = len(x) / len(order)
            found = [x.mean(axes) * share, (x * x).mean(axes) * share]
            old = totals.get(name)
            totals[name] = (
                found if old is None else [a + b for a, b in zip(old, found, strict=True)]
            )

        return hook

    teacher.to(device).eval()
    hooks = [teacher.get_submodule(n).register_forward_pre_hook(look(n)) for n in names]
    try:
        with torch.no_grad():
            for index in torch.split(order, _BATCH):
                teacher(split.x[index].to(device))
    finally:
        for handle in hooks:
            handle.remove()
    return {name: (found[0], found[1]) for name, found in totals.items()}
