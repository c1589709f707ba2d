from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from search.methods.students import load_student, student
from search.workloads.operators import X2Act
from search.workloads.plan import apply_plan, load_weights, save_weights


def polynomials(workload: Any) -> dict[str, str]:
    return {s.name: "x2act" for s in workload.sites() if s.kind == "activation"}


def bend(network: nn.Module) -> nn.Module:
    """Coefficients away from where they start."""
    with torch.no_grad():
        for i, module in enumerate(m for m in network.modules() if isinstance(m, X2Act)):
            module.w1.fill_(0.3 + i)
            module.b.fill_(0.1)
    return network.eval()


def test_a_student_is_a_copy_with_polynomials_near_the_identity(workload: Any) -> None:
    teacher = workload.build(0).eval()
    before = [p.clone() for p in teacher.parameters()]
    made = student(teacher, polynomials(workload), workload.sites(), c=10.0).eval()
    linear = apply_plan(
        workload.build(0).eval(),
        dict.fromkeys(polynomials(workload), "identity"),
        workload.sites(),
    )
    x = workload.data.validation.x[:8]
    assert torch.allclose(made(x), linear(x), rtol=0.2, atol=0.2)
    assert not torch.allclose(made(x), teacher(x), rtol=0.2, atol=0.2)
    bend(made)
    assert all(torch.equal(a, b) for a, b in zip(before, teacher.parameters(), strict=True))


def test_saved_weights_fit_a_network_built_without_options(workload: Any, tmp_path: Path) -> None:
    """Evaluators build from plan and weights alone: the scale must not be lost."""
    choices, sites = polynomials(workload), workload.sites()
    made = bend(student(workload.build(0), choices, sites, c=25.0))
    x = workload.data.validation.x[:8]
    path = save_weights(made, tmp_path / "w.safetensors")
    plain = load_weights(apply_plan(workload.build(1), choices, sites), path).eval()
    assert torch.equal(plain(x), made(x))
    teacher = workload.build(1)
    assert torch.equal(load_student(teacher, choices, sites, path).eval()(x), made(x))
    assert all(not isinstance(m, X2Act) for m in teacher.modules())
