"""Soft cost at one-hot shares equals the hard cost, for every cost model and kind of number.

This is the seam between gradient methods and everything that scores their results.
"""

import random
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch

from evaluators.counts import ReluCount
from evaluators.mpc.cost_2pc import Cost2PC
from search.api.domain import sample_point
from search.api.network import Site
from search.api.protocols import CostModel
from search.workloads.canonical import canonicalise
from search.workloads.networks.resnet import resnet18
from search.workloads.sites import trace_sites
from spaces.relu import ReluPlacement

SHAPE = (3, 32, 32)
SITES: tuple[Site, ...] = trace_sites(
    canonicalise(resnet18(SHAPE, 10, stem="imagenet", width=8), SHAPE), SHAPE
)
SPACE = ReluPlacement(SITES, fixed={"stem.relu": "relu"})
PROTOCOLS = ("crypten", "semi2k", "delphi")
MODELS: Mapping[str, CostModel] = {
    **Cost2PC(SITES).cost_models(),
    **ReluCount(SITES).cost_models(),
    **{
        f"{protocol}.{name}": model
        for protocol in PROTOCOLS
        for name, model in Cost2PC(SITES, protocol=protocol, network="wan").cost_models().items()
    },
}

NUMBERS: Mapping[str, Callable[[float], Any]] = {
    "float": float,
    "tensor": lambda share: torch.tensor(share, dtype=torch.float64, requires_grad=True),
    "array": lambda share: np.full(3, share),
}


def one_hot(plan: Mapping[str, str], number: Callable[[float], Any]) -> dict[str, dict[str, Any]]:
    return {
        site: {op: number(1.0 if plan[site] == op else 0.0) for op in options}
        for site, options in SPACE.options.items()
    }


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("seed", range(3))
def test_one_hot(name: str, number: str, seed: int) -> None:
    plan = SPACE.build(sample_point(SPACE.params(), random.Random(seed)))
    hard = MODELS[name].cost(SPACE.usage(plan))
    soft = MODELS[name].cost(SPACE.relaxed_usage(one_hot(plan.as_mapping(), NUMBERS[number])))
    assert isinstance(hard, float)
    assert isinstance(soft, {"float": float, "tensor": torch.Tensor, "array": np.ndarray}[number])
    values = np.atleast_1d(soft.detach().numpy() if number == "tensor" else np.asarray(soft))
    assert values == pytest.approx(hard, rel=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_gradients_flow_to_every_share_and_are_the_cost_of_the_choice(name: str) -> None:
    alphas = {s: torch.zeros(2, dtype=torch.float64, requires_grad=True) for s in SPACE.options}
    soft = {s: torch.softmax(a, 0) for s, a in alphas.items()}
    shares = {s: dict(zip(SPACE.options[s], soft[s], strict=True)) for s in SPACE.options}
    cost = MODELS[name].cost(SPACE.relaxed_usage(shares))
    cost.backward()
    cheap = {s: options[0] for s, options in SPACE.options.items()}
    base = MODELS[name].cost(SPACE.usage(SPACE.plan(cheap)))
    for site, alpha in alphas.items():
        dear = SPACE.plan({**cheap, site: SPACE.options[site][1]})
        # At equal shares d cost / d alpha_1 = p (1 - p) (cost of 1 - cost of 0).
        expected = 0.25 * (MODELS[name].cost(SPACE.usage(dear)) - base)
        assert alpha.grad is not None
        assert alpha.grad[1].item() == pytest.approx(expected, rel=1e-6, abs=1e-12)
        assert alpha.grad[0].item() == pytest.approx(-expected, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_arrays_score_many_plans_at_once(name: str) -> None:
    plans = [SPACE.build(sample_point(SPACE.params(), random.Random(s))) for s in range(20)]
    mappings = [plan.as_mapping() for plan in plans]
    shares = {
        site: {op: np.array([float(m[site] == op) for m in mappings]) for op in options}
        for site, options in SPACE.options.items()
    }
    found = MODELS[name].cost(SPACE.relaxed_usage(shares))
    assert found == pytest.approx([MODELS[name].cost(SPACE.usage(p)) for p in plans], rel=1e-12)
