from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from search.api.errors import EvaluationError
from search.methods.mask_students import masked_at, masked_student, set_masks
from search.methods.saliency import saliency
from search.workloads.data.splits import Split
from spaces.masking import Masking
from spaces.relu import ReluPlacement


def setting(workload: Any, granularity: str = "pixel") -> tuple[Any, Masking, Split]:
    # No max pools: behind a ReLU their zeros tie, and derivatives are one-sided.
    space = ReluPlacement(
        workload.sites(), granularity, activations=("relu", "identity"), pools=("avg",)
    )
    student = masked_student(workload.build(0), space.masking, c=1.0)
    train = workload.data.train
    return student.double().eval(), space.masking, Split(train.x[:32].double(), train.y[:32])


def scores(workload: Any, criterion: Any, granularity: str = "pixel") -> dict[str, torch.Tensor]:
    student, masking, split = setting(workload, granularity)
    return saliency(student, masking, split, images=32, batch_size=32, seed=0, device="cpu",
                    criterion=criterion)[0]  # fmt: skip


def loss_with(student: Any, split: Split, name: str, m: torch.Tensor) -> float:
    """Loss when the mask at ``name`` is the relaxed ``m``, by doing just that."""
    masked = masked_at(student, name)
    handle = masked.register_forward_hook(
        lambda module, inputs, output: (
            m * module.kept(inputs[0]) + (1 - m) * module.replacement(inputs[0])
        )
    )
    with torch.no_grad():
        loss = float(F.cross_entropy(student(split.x), split.y))
    handle.remove()
    return loss


@pytest.mark.parametrize("granularity", ["pixel", "channel", "layer"])
def test_signed_scores_are_what_a_little_less_relu_costs(workload: Any, granularity: str) -> None:
    student, masking, split = setting(workload, granularity)
    found = scores(workload, "signed", granularity)
    for site in masking.free:
        shape = masking.unit_shape(site)
        assert found[site.name].shape == shape
        unit = int(found[site.name].abs().argmax())
        step = torch.zeros(shape, dtype=torch.float64)
        step.view(-1)[unit] = 1e-4
        more, less = (loss_with(student, split, site.name, 1 + s * step) for s in (1, -1))
        want = (less - more) / 2e-4 / masking.unit_elements(site)
        assert float(found[site.name].view(-1)[unit]) == pytest.approx(want, rel=1e-3)


def test_snip_is_the_size_of_the_signed_score(workload: Any) -> None:
    signed, size = scores(workload, "signed"), scores(workload, "snip")
    assert any(bool((s < 0).any()) for s in signed.values())
    for name, score in signed.items():
        torch.testing.assert_close(score.abs(), size[name])


def test_fisher_is_the_mean_square_over_images(workload: Any) -> None:
    student, masking, split = setting(workload)
    alone = [
        saliency(student, masking, Split(split.x[i : i + 1], split.y[i : i + 1]), images=1,
                 batch_size=1, seed=0, device="cpu", criterion="signed")[0]
        for i in range(32)
    ]  # fmt: skip
    for name, score in scores(workload, "fisher").items():
        want = torch.stack([a[name] for a in alone]).square().mean(0)
        torch.testing.assert_close(score, want)


def test_dropped_units_are_scored_in_the_network_as_it_is(workload: Any) -> None:
    student, masking, split = setting(workload)
    first = masking.free[0]
    mask = torch.ones(first.input_shape, dtype=torch.bool)
    mask[0] = False
    set_masks(student, {first.name: mask})
    found, used = saliency(student, masking, split, images=32, batch_size=16, seed=0, device="cpu")
    assert used == 32
    assert bool((found[first.name][0] > 0).any())
    assert not torch.equal(found[first.name], scores(workload, "snip")[first.name])


def test_the_network_is_left_as_it_was(workload: Any) -> None:
    student, masking, split = setting(workload)
    before = student(split.x)
    state = {k: v.clone() for k, v in student.state_dict().items()}
    saliency(student, masking, split, images=32, batch_size=8, seed=0, device="cpu")
    assert torch.equal(student(split.x), before)
    assert all(torch.equal(v, state[k]) for k, v in student.state_dict().items())
    assert all(p.grad is None for p in student.parameters())


def test_few_images_are_still_a_batch(workload: Any) -> None:
    student, masking, split = setting(workload)
    used = saliency(student, masking, split, images=1, batch_size=8, seed=0, device="cpu")[1]
    assert used == 8


def test_a_gradient_that_is_not_finite_is_an_error(workload: Any) -> None:
    student, masking, split = setting(workload)
    broken = Split(split.x.clone().fill_(float("nan")), split.y)
    with pytest.raises(EvaluationError, match="the gradient of the loss is not finite"):
        saliency(student, masking, broken, images=8, batch_size=8, seed=0, device="cpu")
