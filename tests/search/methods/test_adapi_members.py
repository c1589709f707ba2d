from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from search.api.errors import ConfigError
from search.methods.adapi_loss import Lesson, Teaching
from search.methods.adapi_members import nested_levels, plan_of, train_members
from search.methods.adapi_scores import Scores, first_scores
from search.methods.mask_students import masked_student
from search.methods.teacher import load_teacher
from search.methods.trainer import Recipe
from search.workloads.nested import NestedWeights, private_state, save_nested, shared_weights
from search.workloads.plan import network_of
from spaces.relu import ReluPlacement

DENSITIES = (0.1, 0.3, 0.6)


def masking_of(workload: Any, granularity: str = "pixel") -> Any:
    return ReluPlacement(workload.sites(), granularity, activations=("relu", "poly2")).masking


def noise(workload: Any, masking: Any, seed: int = 0) -> Scores:
    generator = torch.Generator().manual_seed(seed)
    weights = {n: torch.rand(w.shape, generator=generator)
               for n, w in shared_weights(workload.build(0)).items()}  # fmt: skip
    relus = {s.name: torch.rand(masking.unit_shape(s), generator=generator) for s in masking.free}
    return Scores(weights, relus)


def test_levels_are_global_quantiles(workload: Any) -> None:
    masking = masking_of(workload)
    scores = noise(workload, masking)
    levels = nested_levels(scores, masking, DENSITIES, [20, 50, 100])
    total = sum(s.numel() for s in scores.weights.values())
    level = torch.cat([v.flatten() for v in levels.weights.values()])
    score = torch.cat([v.flatten() for v in scores.weights.values()])
    for number, density in enumerate(DENSITIES, start=1):
        inside = (level > 0) & (level <= number)
        assert int(inside.sum()) == round(density * total)
        assert float(score[inside].min()) > float(score[~inside].max())
    relu = torch.cat([v.flatten() for v in levels.relus.values()])
    assert [int(((relu > 0) & (relu <= k)).sum()) for k in (1, 2, 3)] == [20, 50, 100]


def test_channels_go_as_whole_ones(workload: Any) -> None:
    masking = masking_of(workload, "channel")
    levels = nested_levels(noise(workload, masking), masking, DENSITIES, [70, 150, 300])
    kept = []
    for number in (1, 2, 3):
        masks = [(v > 0) & (v <= number) for v in levels.relus.values()]
        assert all(bool((m.all((1, 2)) | ~m.any(2).any(1)).all()) for m in masks)
        kept.append(sum(int(m.sum()) for m in masks))
    assert kept[0] <= 70 < kept[1] <= 150 < kept[2] <= 300


def test_falling_ladders_are_refused(workload: Any) -> None:
    masking = masking_of(workload)
    with pytest.raises(ConfigError, match="rising counts"):
        nested_levels(noise(workload, masking), masking, (0.3, 0.1), [20, 50])


def members(workload: Any, ctx: Any, *, epochs: float = 1.0, **options: Any) -> Any:
    masking = masking_of(workload)
    teacher = load_teacher(workload, ctx)
    network = masked_student(teacher.network, masking, c=1.0)
    split = workload.data.train
    scores = first_scores(
        "magnitude", network, teacher.network, masking, split, images=64, seed=0, device="cpu"
    )
    levels = nested_levels(scores, masking, DENSITIES, [20, 50, 100])
    shared = {n: w.detach().clone() for n, w in shared_weights(network).items()}
    start = NestedWeights(
        DENSITIES, shared, levels.weights, levels.relus, (private_state(network),) * 3
    )
    teaching = Teaching(network, teacher.network, [], Lesson(attention=0.0),
                        teacher.logits(split, "cpu"))  # fmt: skip
    recipe = Recipe(epochs=epochs, learning_rate=options.pop("rate", 0.01), batch_size=64,
                    optimizer=options.pop("optimizer", "adam"), weight_decay=0.01)  # fmt: skip
    return train_members(network, start, teaching, split, recipe, seed=0, ctx=ctx, **options)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_later_training_leaves_earlier_members_bit_for_bit(
    workload: Any, recorder: Callable[..., Any], tmp_path: Any, optimizer: str
) -> None:
    """Every sub-network gives bitwise equal outputs, however many members are trained after it."""
    masking = masking_of(workload)
    images = workload.data.validation.x[:100]

    class UpTo:
        """A context that stops training when the member after ``last`` begins."""

        def __init__(self, last: int) -> None:
            self.inner, self.last = recorder(f"{optimizer}{last}"), last
            self.steps = 0

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

        def should_stop(self) -> bool:
            self.steps += 1
            return self.steps > self.last * (len(workload.data.train) // 64)

    load_teacher(workload, recorder())  # its training asks the context, too
    outputs = {}
    for last in (1, 2, 3):
        trained, _, _ = members(workload, UpTo(last), optimizer=optimizer, rate=0.02)
        path = save_nested(trained, tmp_path / f"{last}.safetensors")
        plan = plan_of(trained, masking)
        for member in plan.members[:last]:
            network = network_of(workload, member, path)
            with torch.no_grad():
                outputs[last, member.level] = network(images)
    for level in (1, 2):
        for last in range(level + 1, 4):
            assert torch.equal(outputs[last, level], outputs[level, level])
    assert not torch.equal(outputs[3, 1], outputs[3, 2])


@pytest.mark.parametrize("growth", ["kept", "zero"])
def test_every_member_trains_what_it_adds(
    workload: Any, recorder: Callable[..., Any], growth: Any
) -> None:
    trained, spent, _ = members(workload, recorder(), growth=growth)
    start, _, _ = members(workload, recorder(), epochs=0)
    for name, level in trained.levels.items():
        for number in (1, 2, 3):
            part = level == number
            if int(part.sum()) > 3:
                assert not torch.equal(trained.shared[name][part], start.shared[name][part])
    assert spent == 3 * (len(workload.data.train) // 64) * 64
    assert len({float(p["1.running_mean"].sum()) for p in trained.private}) == 3


def test_new_weights_at_zero_start_as_the_member_before(
    workload: Any, recorder: Callable[..., Any]
) -> None:
    trained, _, _ = members(workload, recorder(), epochs=0, growth="zero")
    for name, level in trained.levels.items():
        assert not trained.shared[name][level > 1].any()


def test_the_plan_says_what_the_weights_hold(workload: Any, recorder: Callable[..., Any]) -> None:
    trained, _, _ = members(workload, recorder(), epochs=0)
    plan = plan_of(trained, masking_of(workload))
    assert plan.densities == DENSITIES
    sites = {s.name: s for s in workload.sites()}
    total = sum(s.weights for s in sites.values() if s.kind in ("conv", "linear"))
    for member, relus in zip(plan.members, (20, 50, 100), strict=True):
        assert sum(w.nonzeros for w in member.weights) == round(member.density * total)
        usage = member.usage(workload.sites())
        assert sum(w.elements for w in usage if w.operator == "relu") == relus
