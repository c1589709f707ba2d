from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from search.methods.mask_students import masked_at, masked_student
from search.methods.polynomial_fit import fit_polynomials
from search.workloads.dapa import Polynomial, relu_coefficients
from search.workloads.data.splits import Split
from spaces.masking import Masking
from spaces.relu import ReluPlacement


def masking(workload: Any, replacement: str = "identity", **options: Any) -> Masking:
    space = ReluPlacement(
        workload.sites(), "pixel", activations=("relu", replacement), pools=("max",), **options
    )
    return space.masking


def inputs_of(network: nn.Module, names: tuple[str, ...], x: Tensor) -> Mapping[str, Tensor]:
    seen: dict[str, Tensor] = {}
    hooks = [
        network.get_submodule(n).register_forward_pre_hook(
            lambda module, inputs, n=n: seen.__setitem__(n, inputs[0].detach())
        )
        for n in names
    ]
    with torch.no_grad():
        network(x)
    for hook in hooks:
        hook.remove()
    return seen


@pytest.mark.parametrize("replacement", ["poly1", "poly2", "poly4"])
def test_polynomials_are_fitted_to_what_the_teacher_sees(workload: Any, replacement: str) -> None:
    teacher = workload.build(0).eval()
    found = masking(workload, replacement)
    student = masked_student(teacher, found, c=1.0)
    split = workload.data.train
    # More than one batch, and all images: then the draw of images does not matter.
    assert len(split) > 256
    fitted = fit_polynomials(student, teacher, split, images=10**6, device="cpu", seed=0,
                             fit="normal")  # fmt: skip
    assert fitted == len(found.free)
    names = tuple(s.name for s in found.free)
    for name, x in inputs_of(teacher, names, split.x).items():
        values = x.double().transpose(0, 1).flatten(1)
        mean, std = values.mean(1).float(), values.std(1, correction=0).float()
        own = masked_at(student, name).replacement
        assert isinstance(own, Polynomial)
        torch.testing.assert_close(own.get_buffer("mean"), mean, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(own.get_buffer("std"), std, rtol=1e-4, atol=1e-5)
        want = relu_coefficients(mean, std, int(replacement[-1]))
        torch.testing.assert_close(own.a.detach(), want, rtol=1e-3, atol=1e-4)


def test_fitting_draws_images_by_the_seed(workload: Any) -> None:
    teacher = workload.build(0).eval()
    means = []
    for seed in (0, 0, 1):
        student = masked_student(teacher, masking(workload, "poly2"), c=1.0)
        fit_polynomials(student, teacher, workload.data.train, images=64, device="cpu", seed=seed)
        means.append(torch.cat([m.get_buffer("mean") for m in student.modules()
                                if isinstance(m, Polynomial)]))  # fmt: skip
    assert torch.equal(means[0], means[1])
    assert not torch.equal(means[0], means[2])


def test_without_polynomials_nothing_is_fitted(workload: Any) -> None:
    teacher = workload.build(0)
    student = masked_student(teacher, masking(workload), c=1.0)
    assert fit_polynomials(student, teacher, workload.data.train, images=8, device="cpu",
                           seed=0) == 0  # fmt: skip


class Tails(nn.Module):
    """One site of two channels: one with long tails, one constant."""

    def __init__(self) -> None:
        super().__init__()
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(x)


def tailed() -> Tensor:
    x = torch.randn(512, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    x[:, 0] = x[:, 0] ** 3
    x[:, 1] = 0.7
    return x


@pytest.mark.parametrize("degree", [1, 2, 3, 4])
def test_samples_give_the_least_squares_fit_of_the_activations(degree: int) -> None:
    network = nn.ModuleDict({"act": Polynomial(degree, 2)})
    x = tailed()
    split = Split(x, torch.zeros(len(x), dtype=torch.int64))
    fit_polynomials(network, Tails(), split, images=512, device="cpu", seed=0, fit="samples")
    values = x[:, 0].flatten().double()
    basis = torch.stack([values**k for k in range(degree + 1)], 1)
    best = torch.linalg.lstsq(basis, values.clamp(min=0)).solution
    wanted = float((basis @ best - values.clamp(min=0)).square().mean())
    with torch.no_grad():
        found = network["act"](x)[:, 0].flatten().double()
    assert float((found - values.clamp(min=0)).square().mean()) == pytest.approx(wanted, rel=1e-3)


def test_under_long_tails_the_normal_law_is_far_off_and_samples_are_not() -> None:
    errors = {}
    x = tailed()
    split = Split(x, torch.zeros(len(x), dtype=torch.int64))
    for fit in ("normal", "samples"):
        network = nn.ModuleDict({"act": Polynomial(2, 2)})
        fit_polynomials(network, Tails(), split, images=512, device="cpu", seed=0, fit=fit)
        with torch.no_grad():
            errors[fit] = float((network["act"](x) - x.clamp(min=0))[:, 0].abs().max())
    assert errors["samples"] < 0.3 * errors["normal"]


def test_a_constant_channel_has_one_finite_solution() -> None:
    x = tailed()
    split = Split(x, torch.zeros(len(x), dtype=torch.int64))
    network = nn.ModuleDict({"act": Polynomial(4, 2)})
    fit_polynomials(network, Tails(), split, images=512, device="cpu", seed=0)
    with torch.no_grad():
        found = network["act"](x)[:, 1]
    torch.testing.assert_close(found, torch.full_like(found, 0.7), atol=1e-2, rtol=0)
