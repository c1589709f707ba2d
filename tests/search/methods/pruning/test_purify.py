from collections.abc import Callable
from typing import Any

import pytest
import torch

from evaluators.accuracy import count_correct
from search.methods.pruning.masks import layer_weights
from search.methods.pruning.options import Purification
from search.methods.pruning.purify import candidates, purify
from search.methods.teacher import load_teacher


@pytest.fixture
def network(workload: Any, recorder: Callable[..., Any]) -> Any:
    """The trained network, with two filters of its second convolution nearly empty."""
    network = load_teacher(workload, recorder("teacher")).network
    with torch.no_grad():
        weight = network.get_submodule("conv2").weight
        weight[3] = 0
        weight[3, 0, 0, 0] = 1e-4
        weight[5] = 0
        weight[5, 1, 1, 1] = 1e-4
    return network


def accuracy(workload: Any, network: Any) -> float:
    split = workload.data.validation
    return 100 * count_correct(network, split, batch_size=256, device="cpu") / len(split)


def test_nearly_empty_groups_are_found_least_important_first(network: Any) -> None:
    groups = candidates(layer_weights(network), Purification())
    assert {(g.site, g.kind, g.index) for g in groups} == {
        ("conv2", "filter", 3), ("conv2", "filter", 5),
    }  # fmt: skip
    assert groups[0].importance <= groups[1].importance
    assert candidates(layer_weights(network), Purification(emptiness=0.995)) == []


def test_they_go_with_all_that_reads_them(
    workload: Any, network: Any, recorder: Callable[..., Any]
) -> None:
    before = accuracy(workload, network)
    facts = purify(network, workload, Purification(), recorder())
    weights = layer_weights(network)
    assert facts["purify_groups"] == "2 of 2"
    assert bool((weights["conv2"][[3, 5]] == 0).all())
    readers = weights["classifier"].detach().view(10, 16, -1)
    assert bool((readers[:, [3, 5]] == 0).all())
    assert bool((readers[:, [0, 1, 2]] != 0).any())
    assert accuracy(workload, network) >= before - 0.1 - 1e-6


def test_no_more_goes_than_the_accuracy_allows(
    workload: Any, network: Any, recorder: Callable[..., Any]
) -> None:
    """Every filter may go, but only some do."""
    with torch.no_grad():
        for weight in layer_weights(network).values():
            weight.mul_(weight.abs() >= weight.abs().flatten().kthvalue(weight.numel() // 2).values)
    before = accuracy(workload, network)
    loose = Purification(emptiness=0.01, importance=0.99, most_loss=2.0)
    facts = purify(network, workload, loose, recorder())
    dropped, of = map(int, facts["purify_groups"].split(" of "))
    assert 0 < dropped < of
    assert accuracy(workload, network) >= before - 2.0 - 1e-6
