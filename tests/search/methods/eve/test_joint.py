from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn import functional

from evaluators.accuracy import count_correct
from search.api.errors import EvaluationError
from search.methods.eve.joint import Lesson, quantised, train_jointly
from search.methods.teacher import load_teacher
from search.methods.trainer import Recipe
from search.workloads.eve.grid import exponent_of
from search.workloads.eve.levels import choose_codes, units_of
from search.workloads.nested import NestedWeights, private_state, shared_weights
from spaces.eve.family import ModeFamily
from spaces.eve.space import EveSpace

RECIPE = Recipe(epochs=1, learning_rate=0.02, batch_size=64, distillation=1.0)


@pytest.fixture
def nested(workload: Any, recorder: Callable[..., Any], family: Any) -> NestedWeights:
    return pruned(workload, recorder(), family())


def pruned(workload: Any, ctx: Any, family: ModeFamily) -> NestedWeights:
    teacher = load_teacher(workload, ctx).network
    weights = {n: w.detach().clone() for n, w in shared_weights(teacher).items()}
    codes = choose_codes({n: w**2 for n, w in weights.items()}, units_of(family), family.pool)
    levels = {n: codes[n].expand(w.shape) for n, w in weights.items()}
    modes = len(family.members)
    densities = tuple((k + 1) / modes for k in range(modes))
    return NestedWeights(densities, weights, levels, {}, (private_state(teacher),) * modes)


def train(
    workload: Any, ctx: Any, nested: NestedWeights, lesson: Lesson, **recipe: Any
) -> tuple[NestedWeights, int, float]:
    teacher = load_teacher(workload, ctx)
    return train_jointly(
        copy.deepcopy(teacher.network), nested, workload.data.train, replace(RECIPE, **recipe),
        lesson, seed=0, ctx=ctx, teacher=teacher.logits(workload.data.train, "cpu"),
    )  # fmt: skip


def accuracy(workload: Any, nested: NestedWeights, level: int) -> float:
    network = workload.build(0)
    network.load_state_dict(nested.member(level))
    split = workload.data.validation
    return count_correct(network.eval(), split, batch_size=256, device="cpu") / len(split)


def loss(workload: Any, nested: NestedWeights) -> float:
    network, split = workload.build(0), workload.data.train
    total = 0.0
    for level in range(1, len(nested.densities) + 1):
        network.load_state_dict(nested.member(level))
        with torch.no_grad():
            total += float(functional.cross_entropy(network.eval()(split.x), split.y))
    return total


@pytest.mark.parametrize("bits", [8, 16])
def test_weights_are_integers_on_one_scale(nested: NestedWeights, bits: int) -> None:
    found = quantised(nested, bits)
    for name, value in found.shared.items():
        assert bool((value[nested.levels[name] == 0] == 0).all())
        scale = 2.0 ** exponent_of(value, bits)
        integers = value / scale
        assert torch.equal(integers, integers.round())
        assert float(integers.abs().max()) <= 2 ** (bits - 1) - 1


def test_training_helps_every_mode(
    workload: Any, recorder: Callable[..., Any], nested: NestedWeights
) -> None:
    before = [accuracy(workload, quantised(nested, 8), k) for k in (1, 2, 3)]
    found, spent, _ = train(workload, recorder("train"), nested, Lesson(), epochs=4)
    after = [accuracy(workload, found, k) for k in (1, 2, 3)]
    assert sum(after) > sum(before)
    assert after[0] > before[0] + 0.1
    assert min(after) > 0.6
    steps = 4 * (len(workload.data.train) // 64)
    assert spent == 3 * steps * 64


def test_what_training_leaves(
    workload: Any, recorder: Callable[..., Any], nested: NestedWeights
) -> None:
    """Levels stay; weights are shared and on their grids; biases are each mode's own."""
    found, _, _ = train(workload, recorder("train"), nested, Lesson(bits=8))
    assert all(torch.equal(found.levels[n], v) for n, v in nested.levels.items())
    again = quantised(found, 8)
    assert all(torch.equal(found.shared[n], v) for n, v in again.shared.items())
    assert set(found.private[0]) == {"conv1.bias", "conv2.bias", "classifier.bias"}
    assert not torch.equal(found.private[0]["conv1.bias"], found.private[2]["conv1.bias"])
    sparse, dense = found.member(1), found.member(3)
    for name in found.shared:
        inside = sparse[name] != 0
        assert torch.equal(sparse[name][inside], dense[name][inside])


def test_the_gradient_is_that_of_all_modes(
    workload: Any, recorder: Callable[..., Any], nested: NestedWeights
) -> None:
    """One small step against the gradient lowers the modes' summed loss."""
    start = quantised(nested, 16)
    found, _, _ = train(
        workload, recorder("step"), start, Lesson(bits=16),
        epochs=0.01, batch_size=len(workload.data.train), learning_rate=0.002, distillation=0.0,
        schedule="constant", weight_decay=0.0,
    )  # fmt: skip
    assert loss(workload, found) < loss(workload, start) - 1e-4


def test_one_seed_gives_one_result(
    workload: Any, recorder: Callable[..., Any], nested: NestedWeights
) -> None:
    runs = [train(workload, recorder(n), nested, Lesson(), epochs=0.3)[0] for n in ("a", "b")]
    assert all(torch.equal(runs[0].shared[n], v) for n, v in runs[1].shared.items())


def test_sandwich_trains_three_of_four(
    workload: Any, recorder: Callable[..., Any], space: Any
) -> None:
    four = EveSpace(workload.sites(), space.config.model_copy(update={"modes": (4,)}))
    family = four.build({"keep": (0.9,) * 3, "steps": (0.8, 0.8, 0.8)})
    start = pruned(workload, recorder(), family)
    found, spent, _ = train(workload, recorder("t"), start, Lesson("sandwich", "densest"))
    steps = len(workload.data.train) // 64
    assert spent == 3 * steps * 64
    moved = [not torch.equal(found.private[k]["conv1.bias"], start.private[k]["conv1.bias"])
             for k in range(4)]  # fmt: skip
    assert all(moved)


def test_soft_targets_of_the_densest_change_only_what_sparser_modes_learn(
    workload: Any, recorder: Callable[..., Any], nested: NestedWeights
) -> None:
    one = {"epochs": 0.01, "weight_decay": 0.0, "schedule": "constant", "clip": 1e9}
    by_teacher, _, _ = train(workload, recorder("a"), nested, Lesson(), **one)
    by_densest, _, _ = train(workload, recorder("b"), nested, Lesson(soft="densest"), **one)
    same = [torch.equal(a["classifier.bias"], b["classifier.bias"])
            for a, b in zip(by_teacher.private, by_densest.private, strict=True)]  # fmt: skip
    assert same == [False, False, True]


def test_it_stops_when_asked(
    workload: Any, recorder: Callable[..., Any], nested: NestedWeights
) -> None:
    _, spent, _ = train(workload, recorder("stop", stop_after=2), nested, Lesson())
    assert spent == 2 * 3 * 64


def test_divergence_is_told(
    workload: Any, recorder: Callable[..., Any], nested: NestedWeights
) -> None:
    with pytest.raises(EvaluationError, match=r"NaN|infinite|loss is"):
        train(workload, recorder("nan"), nested, Lesson(), learning_rate=1e30, clip=1e30)
