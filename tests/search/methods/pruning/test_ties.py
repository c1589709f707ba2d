"""Layers whose results are added drop the very same filters, so that a residual network shrinks."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor, nn

from search.methods.pruning.masks import harden, layer_weights
from search.methods.pruning.projections import structures_of
from search.workloads.image import ImageClassification
from search.workloads.pruning.shrink import mac_count, shrink
from spaces.pruning.plan import PruningPlan
from spaces.pruning.space import PruningRatio


@pytest.fixture(scope="module")
def workload() -> ImageClassification:
    return ImageClassification("resnet_mini", "fashion_mini")


@pytest.fixture(scope="module")
def plan(workload: ImageClassification) -> PruningPlan:
    """Half of all filters that may go."""
    space = PruningRatio(workload.sites(), workload.links(), structure="filter")
    return space.build({"keep": (0.5,) * len(space.layout.slots)})


def pruned(workload: ImageClassification, plan: PruningPlan) -> nn.Module:
    network = workload.build(0).eval()
    harden(network, structures_of(plan))
    return network


def rows(weight: Tensor) -> Tensor:
    return weight.flatten(1).any(1)


def test_half_of_the_filters_is_a_quarter_of_the_work(
    workload: ImageClassification, plan: PruningPlan
) -> None:
    shape = tuple(workload.input_shape)
    network = pruned(workload, plan)
    weights = layer_weights(network)
    assert [len(tie) for tie in plan.ties] == [4, 2]
    for tie in plan.ties:
        for site in tie[1:]:
            assert rows(weights[site]).equal(rows(weights[tie[0]]))
    small = shrink(network, shape)
    apart = shrink(pruned(workload, dataclasses.replace(plan, ties=())), shape)
    macs = mac_count(network, shape)
    assert mac_count(small, shape) < 0.27 * macs < 0.4 * macs < mac_count(apart, shape)
    x = torch.randn(4, *shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = network(x)
        assert torch.allclose(small(x), expected, atol=1e-4 * float(expected.abs().max()))


def test_plans_remember_their_ties(workload: ImageClassification, plan: PruningPlan) -> None:
    space = PruningRatio(workload.sites(), workload.links(), structure="filter")
    plain = dataclasses.asdict(plan)
    assert space.decode(plain) == plan
    assert space.build(space.point(plan)) == plan
    del plain["ties"]  # as written before there were any
    assert space.decode(plain) == dataclasses.replace(plan, ties=())
