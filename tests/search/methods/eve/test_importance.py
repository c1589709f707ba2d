from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional

from search.methods.eve.importance import importance
from search.methods.teacher import load_teacher
from search.workloads.data.splits import Split
from search.workloads.nested import shared_weights


def scores(workload: Any, ctx: Any, kind: Any, split: Any = None) -> dict[str, torch.Tensor]:
    network = load_teacher(workload, ctx).network
    return importance(network, split or workload.data.train, kind, images=64, seed=0, device="cpu")


def test_magnitude_is_the_square(workload: Any, recorder: Callable[..., Any]) -> None:
    ctx = recorder()
    weights = shared_weights(load_teacher(workload, ctx).network)
    found = scores(workload, ctx, "magnitude")
    assert found.keys() == weights.keys() == {"conv1.weight", "conv2.weight", "classifier.weight"}
    for name, weight in weights.items():
        assert torch.equal(found[name], weight.detach() ** 2)


def test_taylor_tells_what_a_weight_does_to_the_loss(
    workload: Any, recorder: Callable[..., Any]
) -> None:
    """For a small weight the loss without it differs by about the root of its worth."""
    ctx = recorder()
    part = Split(workload.data.train.x[:64], workload.data.train.y[:64])
    found = scores(workload, ctx, "taylor", part)
    network = load_teacher(workload, ctx).network.eval()
    weight = shared_weights(network)["conv1.weight"]
    order = weight.detach().abs().flatten().argsort()
    with torch.no_grad():
        whole = functional.cross_entropy(network(part.x), part.y)
        for index in order[:3].tolist():
            kept = weight.view(-1)[index].clone()
            weight.view(-1)[index] = 0
            change = functional.cross_entropy(network(part.x), part.y) - whole
            weight.view(-1)[index] = kept
            first_order = float(found["conv1.weight"].flatten()[index]) ** 0.5
            assert abs(float(change)) == pytest.approx(first_order, rel=0.3, abs=1e-5)
