from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from search.api.metric import Fidelity
from search.methods.mask_method import MaskTask
from search.methods.mask_students import masked_student
from search.methods.senet import Senet, activation_difference, matching_loss, pruning_sensitivity
from search.workloads.data.splits import Split
from spaces.relu import ReluPlacement
from spaces.sharing import share_out

TOTAL = 384


def space(workload: Any, unit: str = "pixel", **options: Any) -> ReluPlacement:
    return ReluPlacement(
        workload.sites(), unit, activations=("relu", "identity"), pools=("max",), **options
    )


def task(workload: Any, ctx: Any, unit: str = "pixel") -> MaskTask:
    masking = space(workload, unit).masking
    teacher = workload.build(0).eval()
    train = workload.data.train
    split = Split(train.x[:64], train.y[:64])
    network = masked_student(teacher, masking, c=1.0)
    return MaskTask(network, masking, 40, 1.0, teacher, None, split, {}, ctx)


def batches() -> tuple[torch.Tensor, ...]:
    return torch.split(torch.arange(64), 32)


def produce(method: Any, workload: Any, ctx: Any, epochs: float = 0, **options: Any) -> Any:
    return method.produce(
        space(workload, **options), {}, Fidelity("train", 0, {"epochs": epochs}), ctx, None
    )


def kept(made: Any, workload: Any) -> dict[str, float]:
    found = {s.name: 0.0 for s in workload.sites() if s.kind == "activation"}
    for work in made.payload.usage(workload.sites()):
        if work.operator == "relu":
            found[work.site] += work.elements
    return found


@pytest.mark.parametrize("density", [0.1, 0.5])
def test_the_weights_that_matter_most_stay(
    workload: Any, recorder: Callable[..., Any], density: float
) -> None:
    given = task(workload, recorder())
    found = pruning_sensitivity(given, batches(), density)
    convolutions = [m.weight for m in given.teacher.modules() if isinstance(m, torch.nn.Conv2d)]
    shares = dict(zip(found.values(), (w.numel() for w in convolutions), strict=True))
    stays = sum(share * count for share, count in shares.items())
    assert stays == pytest.approx(density * sum(w.numel() for w in convolutions), abs=1)
    assert all(w.grad is None for w in convolutions)


def test_sensitivity_does_not_change_with_the_scale_before_a_norm(
    workload: Any, recorder: Callable[..., Any]
) -> None:
    given = task(workload, recorder())
    before = pruning_sensitivity(given, batches(), 0.3)
    convolution = next(m for m in given.teacher.modules() if isinstance(m, torch.nn.Conv2d))
    norm = next(m for m in given.teacher.modules() if isinstance(m, torch.nn.BatchNorm2d))
    with torch.no_grad():
        convolution.weight.mul_(10)
        convolution.bias.mul_(10)  # type: ignore[union-attr]
        norm.running_mean.mul_(10)  # type: ignore[union-attr]
        norm.running_var.mul_(100)  # type: ignore[union-attr]
    after = pruning_sensitivity(given, batches(), 0.3)
    assert list(after.values()) == pytest.approx(list(before.values()), abs=0.02)


@pytest.mark.parametrize("unit", ["pixel", "channel", "layer"])
def test_difference_is_the_mean_of_what_identity_gets_wrong(
    workload: Any, recorder: Callable[..., Any], unit: str
) -> None:
    given = task(workload, recorder(), unit)
    found = activation_difference(given, batches())
    first = given.masking.free[0]
    seen: list[torch.Tensor] = []
    handle = given.teacher.get_submodule(first.name).register_forward_pre_hook(
        lambda module, inputs: seen.append(inputs[0])
    )
    with torch.no_grad():
        given.teacher(given.split.x)
    handle.remove()
    want = (-seen[0]).clamp(min=0).mean(0)  # |relu(x) - x| is the negative part
    want = {"pixel": want, "channel": want.mean((1, 2), keepdim=True),
            "layer": want.mean((0, 1, 2), keepdim=True)}[unit]  # fmt: skip
    torch.testing.assert_close(found[first.name], want)


@pytest.mark.parametrize("percent", [1, 5, 50, 99])
def test_layers_get_relus_by_their_sensitivity(
    workload: Any, recorder: Callable[..., Any], percent: float
) -> None:
    ctx = recorder()
    made = produce(Senet(workload, relu_budget=percent), workload, ctx)
    sensitivity = ctx.notes["relu_sensitivity"]
    assert all(0 <= s <= 1 for s in sensitivity.values())
    masking = space(workload).masking
    budget = round(percent / 100 * TOTAL)
    want = share_out({s.name: sensitivity[s.name] * s.elements for s in masking.free}, masking,
                     budget)  # fmt: skip
    found = kept(made, workload)
    assert sum(found.values()) == budget
    assert found == pytest.approx(want, abs=1)  # what is noted is rounded


@pytest.mark.parametrize("matching", [0.0, 1.0])
def test_looking_and_matching_count_as_training(
    workload: Any, recorder: Callable[..., Any], matching: float
) -> None:
    ctx = recorder()
    produce(Senet(workload, images=128, activation_matching=matching), workload, ctx, epochs=2)
    per_epoch = len(workload.data.train) // 128 * 128
    assert ctx.notes["gradient_evaluations"] == pytest.approx(2 * per_epoch, abs=128)
    matched = [values for _, values in ctx.reports if "matching_loss" in values]
    assert bool(matched) == bool(matching)


def test_the_matching_loss_is_a_distance_of_directions() -> None:
    a, b = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[0.0, 3.0], [0.0, 1.0]])
    assert float(matching_loss({"s": a}, {"s": 7 * a})) == pytest.approx(0.0)
    # Directions at a right angle are 2 apart squared; the other image agrees.
    assert float(matching_loss({"s": a}, {"s": b})) == pytest.approx(1.0)
    assert float(matching_loss({"s": a, "t": a}, {"s": b, "t": b})) == pytest.approx(2.0)


def test_a_stop_ends_matching(workload: Any, recorder: Callable[..., Any], tmp_path: Path) -> None:
    Senet(workload).prepare(recorder())
    made = produce(
        Senet(workload, activation_matching=1.0), workload, recorder("stop", stop_after=2), 5
    )
    assert made.weights.name == "masked.safetensors"


@pytest.mark.parametrize("options", [{"density": 0}, {"density": 1}, {"images": 0},
                                     {"activation_matching": -1}])  # fmt: skip
def test_wrong_options_are_refused(workload: Any, options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(options))):
        Senet(workload, **options)
