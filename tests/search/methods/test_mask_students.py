from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from search.api.errors import ConfigError
from search.methods.mask_students import harden, masked_at, masked_student, set_masks
from search.workloads.dapa import Polynomial
from search.workloads.masked import MaskedActivation, check_masks, masks_of
from spaces.masking import Masking
from spaces.relu import ReluPlacement


def masking(workload: Any, replacement: str = "identity", **options: Any) -> Masking:
    space = ReluPlacement(
        workload.sites(), "pixel", activations=("relu", replacement), pools=("max",), **options
    )
    return space.masking


def test_a_student_that_keeps_all_is_the_teacher(workload: Any) -> None:
    teacher = workload.build(0).eval()
    found = masking(workload)
    student = masked_student(teacher, found, c=1.0).eval()
    x = workload.data.train.x[:8]
    assert torch.equal(student(x), teacher(x))
    assert masks_of(student).keys() == {s.name for s in found.free}
    assert all(p.requires_grad for p in student.parameters())
    assert not any(isinstance(m, MaskedActivation) for m in teacher.modules())


def test_fixed_sites_have_no_mask(workload: Any) -> None:
    first, second = (s.name for s in workload.sites() if s.kind == "activation")
    found = masking(workload, fixed={first: "identity"})
    student = masked_student(workload.build(0), found, c=1.0)
    assert masks_of(student).keys() == {second}
    assert isinstance(student.get_submodule(first), nn.Identity)


def test_hardening_gives_plain_operators_where_a_mask_leaves_no_mix(workload: Any) -> None:
    found = masking(workload, "poly2")
    first, second = (s.name for s in found.free)
    student = masked_student(workload.build(0), found, c=1.0).eval()
    masks = {s.name: torch.zeros(s.input_shape, dtype=torch.bool) for s in found.free}
    masks[second][0] = True
    set_masks(student, masks)
    x = workload.data.train.x[:4]
    before = student(x)
    plan = harden(student, found)
    assert (plan.as_mapping()[first], plan.as_mapping()[second]) == ("poly2", "relu/poly2")
    assert isinstance(student.get_submodule(first), Polynomial)
    check_masks(student, plan.masks())
    assert torch.equal(student(x), before)
    assert {c.site: c.kept for c in plan.choices if c.kept} == {second: int(masks[second].sum())}


def test_hardening_keeps_trained_coefficients_and_whole_relus(workload: Any) -> None:
    found = masking(workload, "poly2")
    first, second = (s.name for s in found.free)
    student = masked_student(workload.build(0), found, c=1.0)
    own = masked_at(student, first).replacement
    assert isinstance(own, Polynomial)
    with torch.no_grad():
        own.a.add_(1.0)
    set_masks(student, {first: torch.zeros(found.free[0].input_shape, dtype=torch.bool)})
    plan = harden(student, found).as_mapping()
    assert (plan[first], plan[second]) == ("poly2", "relu")
    assert student.get_submodule(first) is own
    assert isinstance(student.get_submodule(second), nn.ReLU)


def test_masks_of_another_shape_are_refused(workload: Any) -> None:
    found = masking(workload)
    student = masked_student(workload.build(0), found, c=1.0)
    with pytest.raises(ConfigError, match="does not fit a site of shape"):
        set_masks(student, {found.free[0].name: torch.ones(3, 3, 3, dtype=torch.bool)})
