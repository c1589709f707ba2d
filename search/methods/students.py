"""Networks that start from the teacher: built for a plan, saved and loaded with trained weights."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from search.api.network import Site
from search.workloads.operators import X2Act, make_operator
from search.workloads.plan import apply_plan, load_weights, save_weights


def student(
    network: nn.Module, choices: Mapping[str, str], sites: Sequence[Site], *, c: float
) -> nn.Module:
    """A copy of ``network`` with operators ``choices``; polynomials start as the identity.

    Args:
        network: the teacher's, in canonical form; not changed.
        choices: site -> operator.
        sites: the network's sites.
        c: constant of the polynomials' scale ``s = c / sqrt(elements)``.

    Source: PASNet (DAC 2023), straight-through polynomial activation initialisation.
    """
    made = copy.deepcopy(network)
    for parameter in made.parameters():
        parameter.requires_grad_(True)
    return apply_plan(made, choices, sites, {"x2act": {"c": c}})


def save_student(network: nn.Module, sites: Sequence[Site], path: Path) -> Path:
    """Write the weights to ``path`` for a network built by ``apply_plan`` without options.

    The scale of a polynomial is no weight, so it is brought to its default first (in place; the
    function computed does not change).
    """
    _rescale(network, sites, lambda site: _default_scale(site))
    return save_weights(network, path)


def load_student(
    network: nn.Module, choices: Mapping[str, str], sites: Sequence[Site], path: Path, *, c: float
) -> nn.Module:
    """A copy of ``network`` with operators ``choices`` and the weights in ``path``.

    Raises:
        EvaluationError: the weights are missing or do not fit.
    """
    made = load_weights(apply_plan(copy.deepcopy(network), choices, sites), path)
    _rescale(made, sites, lambda site: _scale(site, c))
    return made


def _scale(site: Site, c: float) -> float:
    module: Any = make_operator("x2act", site, c=c)
    return float(module.scale)


def _default_scale(site: Site) -> float:
    module: Any = make_operator("x2act", site)
    return float(module.scale)


@torch.no_grad()
def _rescale(network: nn.Module, sites: Sequence[Site], scale: Callable[[Site], float]) -> None:
    """Give every polynomial another scale and the ``w1`` that keeps its function."""
    by_name = {site.name: site for site in sites}
    for name, module in network.named_modules():
        if isinstance(module, X2Act) and name in by_name:
            new = scale(by_name[name])
            module.w1.mul_(module.scale / new)
            module.scale = new
