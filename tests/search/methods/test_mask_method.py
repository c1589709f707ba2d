from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
import torch
from pydantic import ValidationError

from evaluators.accuracy import Accuracy
from search.api.domain import Ordinal, Param, Real
from search.api.errors import ConfigError, InfeasibleCandidate
from search.api.metric import Fidelity
from search.methods.exact_masks import exact_masks
from search.methods.fixed_masks import RandomMasks
from search.methods.mask_method import (
    LearnedMaskOptions,
    MaskMethod,
    MaskOptions,
    Masks,
    MaskTask,
)
from search.workloads.masked import masks_of
from search.workloads.plan import network_of
from spaces.parameters import ParameterSpace
from spaces.relu import ReluPlacement

TOTAL = 4 * 8 * 8 + 8 * 4 * 4


class Learned(MaskMethod):
    """Spends its epochs as a learned method would, and keeps the first units."""

    name = "learned"
    Config: ClassVar[type[MaskOptions]] = LearnedMaskOptions
    tasks: ClassVar[list[MaskTask]] = []

    def find(self, task: MaskTask) -> Masks:
        self.tasks.append(task)
        masking = task.masking
        scores = {s.name: torch.zeros(masking.unit_shape(s)) for s in masking.free}
        spent = round(task.epochs * (len(task.split) // 128)) * 128  # full batches only
        return Masks(exact_masks(scores, masking, task.budget, kept=None), spent, {"fact": 1})


def space(workload: Any, granularity: str = "pixel", **options: Any) -> ReluPlacement:
    given: dict[str, Any] = {"activations": ("relu", "identity"), "pools": ("max",), **options}
    return ReluPlacement(workload.sites(), granularity, **given)


def rung(**budget: float) -> Fidelity:
    return Fidelity("train", 0, budget)


def relus(candidate: Any, sites: Any) -> float:
    return sum(float(w.elements) for w in candidate.payload.usage(sites) if w.operator == "relu")


@pytest.mark.parametrize("percent", [0, 0.3, 5, 33.3, 99.9, 100])
def test_the_candidate_has_exactly_the_budget(
    workload: Any, recorder: Callable[..., Any], percent: float
) -> None:
    method = RandomMasks(workload, relu_budget=percent)
    made = method.produce(space(workload), {}, rung(epochs=0), recorder(), None)
    assert relus(made, workload.sites()) == round(percent / 100 * TOTAL)
    assert made.weights is not None
    network = network_of(workload, made.payload, made.weights)  # checks masks against the plan
    masked = [c for c in made.payload.choices if c.kept is not None]
    assert {n: int(m.sum()) for n, m in masks_of(network).items()} == {
        c.site: c.kept for c in masked
    }


def test_all_relus_give_the_teacher_and_none_gives_no_mask(
    workload: Any, recorder: Callable[..., Any]
) -> None:
    ctx = recorder()
    method = RandomMasks(workload, relu_budget=100)
    method.prepare(ctx)
    same = method.produce(space(workload), {}, rung(epochs=0), ctx, None)
    assert Accuracy(workload).evaluate(same, rung(), ctx)[0].value == ctx.notes["accuracy"]
    assert not same.payload.masks()
    none = RandomMasks(workload, relu_budget=0).produce(
        space(workload), {}, rung(epochs=0), recorder("none"), None
    )
    assert not none.payload.masks()


@pytest.mark.parametrize("percent", [5, 0])
def test_learned_and_fixed_methods_spend_the_same(
    workload: Any, recorder: Callable[..., Any], percent: float
) -> None:
    spent = {}
    for method in (RandomMasks, Learned):
        ctx = recorder(method.name)
        method(workload, relu_budget=percent).produce(
            space(workload), {}, rung(epochs=2), ctx, None
        )
        spent[method.name] = ctx.notes["gradient_evaluations"]
    per_epoch = len(workload.data.train) // 128 * 128  # full batches only
    assert spent == {"learned": 2 * per_epoch, "random_masks": 2 * per_epoch}


def test_a_task_has_all_that_finding_masks_may_use(
    workload: Any, recorder: Callable[..., Any]
) -> None:
    Learned.tasks.clear()
    method = Learned(workload, relu_budget=10, mask_share=0.25)
    ctx = recorder()
    method.produce(space(workload, fixed={}), {}, rung(epochs=1), ctx, None)
    (task,) = Learned.tasks
    assert (task.budget, task.epochs) == (round(TOTAL / 10), 0.25)
    assert task.split is workload.data.train
    assert task.soft_targets is not None
    assert task.soft_targets.shape == (len(task.split), workload.classes)
    assert ctx.notes["fact"] == 1
    assert sum(ctx.notes["relus_kept"].values()) == round(TOTAL / 10)


def test_without_a_choice_nothing_is_sought(workload: Any, recorder: Callable[..., Any]) -> None:
    Learned.tasks.clear()
    for percent in (0, 100):
        Learned(workload, relu_budget=percent).produce(
            space(workload), {}, rung(epochs=0), recorder(str(percent)), None
        )
    assert Learned.tasks == []


def test_a_higher_rung_only_trains_further(workload: Any, recorder: Callable[..., Any]) -> None:
    method, ctx = RandomMasks(workload, relu_budget=5), recorder()
    below = method.produce(space(workload), {}, rung(epochs=0), ctx, None)
    assert below.weights is not None
    before = below.weights.read_bytes()
    above = method.produce(space(workload), {}, rung(epochs=1), ctx, below)
    assert above.payload == below.payload
    assert above.weights is not None
    assert above.weights.read_bytes() != before


def test_a_stop_leaves_a_candidate(workload: Any, recorder: Callable[..., Any]) -> None:
    RandomMasks(workload).prepare(recorder())
    made = RandomMasks(workload).produce(
        space(workload), {}, rung(epochs=5), recorder("stopped", stop_after=0), None
    )
    assert made.weights is not None
    assert made.weights.name == "masked.safetensors"


def test_the_seed_decides_masks_and_weights(workload: Any, recorder: Callable[..., Any]) -> None:
    made = [
        RandomMasks(workload).produce(
            space(workload), {}, rung(epochs=0.5), recorder(str(i), seed=seed), None
        )
        for i, seed in enumerate((1, 1, 2))
    ]
    assert made[0].payload == made[1].payload
    assert len({m.weights.read_bytes() for m in made[:2] if m.weights is not None}) == 1
    assert made[0].payload != made[2].payload


def test_a_budget_above_all_is_infeasible(workload: Any, recorder: Callable[..., Any]) -> None:
    with pytest.raises(InfeasibleCandidate, match=r"got 120 %; the network has 384 ReLU"):
        RandomMasks(workload, relu_budget=120).produce(
            space(workload), {}, rung(epochs=1), recorder(), None
        )


@pytest.mark.parametrize("budget", [120, {"ordinal": [5, 120]}, {"real": [5, 120]}])
def test_a_space_is_checked_before_any_trial(workload: Any, budget: Any) -> None:
    with pytest.raises(ConfigError, match=r"got 120 %; the network has 384 ReLU") as caught:
        RandomMasks(workload, relu_budget=budget).check_space(space(workload))
    assert caught.value.path == "method.relu_budget"


def test_a_budget_that_some_trials_can_keep_is_no_error(workload: Any) -> None:
    first = next(s.name for s in workload.sites() if s.kind == "activation")
    fixed = space(workload, fixed={first: "relu"})
    RandomMasks(workload, relu_budget={"ordinal": [100, 5]}).check_space(fixed)
    with pytest.raises(ConfigError, match="256 ReLU elements are fixed"):
        RandomMasks(workload, relu_budget=5).check_space(fixed)


def test_a_space_must_have_masks(workload: Any) -> None:
    with pytest.raises(ConfigError, match="masks need `relu` and one operator") as caught:
        RandomMasks(workload).check_space(space(workload, activations=("relu",)))
    assert caught.value.path == "space.activations"


def test_a_budget_below_what_is_fixed_is_infeasible(
    workload: Any, recorder: Callable[..., Any]
) -> None:
    first = next(s.name for s in workload.sites() if s.kind == "activation")
    with pytest.raises(InfeasibleCandidate, match="256 ReLU elements are fixed"):
        RandomMasks(workload, relu_budget=5).produce(
            space(workload, fixed={first: "relu"}), {}, rung(epochs=1), recorder(), None
        )


@pytest.mark.parametrize("budget", [-5, "many", True, {"real": [-5, 5]}])
def test_a_budget_must_be_a_number_of_at_least_0(workload: Any, budget: Any) -> None:
    with pytest.raises(ValidationError, match="relu_budget"):
        RandomMasks(workload, relu_budget=budget)


def test_a_space_without_masks_is_refused(workload: Any, recorder: Callable[..., Any]) -> None:
    other = ParameterSpace((Param("a", Real(0, 1)),))
    with pytest.raises(ConfigError, match="space: random_masks finds masks.*ParameterSpace"):
        RandomMasks(workload).produce(other, {}, rung(epochs=1), recorder(), None)


def test_a_rung_without_epochs_is_refused(workload: Any, recorder: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError, match="rung 'train': random_masks needs a budget of epochs"):
        RandomMasks(workload).produce(
            space(workload), {}, rung(finetune_epochs=1), recorder(), None
        )


def test_no_workload_no_method() -> None:
    with pytest.raises(ConfigError, match="random_masks trains networks"):
        RandomMasks(None)


def test_the_budget_may_be_searched(workload: Any, recorder: Callable[..., Any]) -> None:
    method = RandomMasks(workload, relu_budget={"ordinal": [5, 20]})
    (param,) = method.params()
    assert (param.name, param.domain) == ("relu_budget", Ordinal((5, 20)))
    made = method.produce(space(workload), {"relu_budget": 20}, rung(epochs=0), recorder(), None)
    assert relus(made, workload.sites()) == round(TOTAL / 5)


def test_a_prepared_method_travels_to_workers(workload: Any, recorder: Callable[..., Any]) -> None:
    method = RandomMasks(workload, relu_budget=20)
    method.prepare(recorder())
    method._students._workload = None  # networks given as functions of a test do not pickle
    assert pickle.loads(pickle.dumps(method)).params() == ()
