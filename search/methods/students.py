"""Networks that start from the teacher: built for a plan, or loaded with trained weights."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import nn

from search.api.network import Site
from search.workloads.plan import apply_plan, load_weights


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


def load_student(
    network: nn.Module, choices: Mapping[str, str], sites: Sequence[Site], path: Path
) -> nn.Module:
    """A copy of ``network`` with operators ``choices`` and the weights in ``path``.

    Raises:
        EvaluationError: the weights are missing or do not fit.
    """
    return load_weights(apply_plan(copy.deepcopy(network), choices, sites), path)
