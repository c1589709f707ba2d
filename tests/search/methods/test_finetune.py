from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from evaluators.accuracy import Accuracy
from search.api.errors import ConfigError, EvaluationError, InfeasibleCandidate
from search.api.metric import Fidelity
from search.methods.finetune import Finetune, FinetuneConfig
from spaces.relu import ReluPlacement

POLY = {"activation": ("x2act", "x2act"), "pool": ("avg",)}
RELU = {"activation": ("relu", "relu"), "pool": ("max",)}


def rung(**budget: float) -> Fidelity:
    return Fidelity("tune", 0, budget)


def weights(candidate: Any) -> bytes:
    data: bytes = candidate.weights.read_bytes()
    return data


def accuracy(workload: Any, candidate: Any, ctx: Any) -> float:
    return float(Accuracy(workload).evaluate(candidate, rung(), ctx)[0].value)


def test_a_polynomial_network_recovers(workload: Any, recorder: Callable[..., Any]) -> None:
    space, ctx = ReluPlacement(workload.sites()), recorder()
    method = Finetune(workload)
    method.prepare(ctx)
    untrained = method.produce(space, POLY, rung(finetune_epochs=0), recorder("a"), None)
    trained = method.produce(space, POLY, rung(finetune_epochs=3), recorder("b"), None)
    assert trained.payload == space.build(POLY)
    assert trained.weights is not None
    assert accuracy(workload, trained, ctx) > accuracy(workload, untrained, ctx) + 3
    assert accuracy(workload, trained, ctx) > ctx.notes["accuracy"] - 5


def test_no_epochs_give_the_teacher_itself(workload: Any, recorder: Callable[..., Any]) -> None:
    ctx = recorder()
    method = Finetune(workload)
    method.prepare(ctx)
    same = method.produce(ReluPlacement(workload.sites()), RELU, rung(finetune_epochs=0), ctx, None)
    assert accuracy(workload, same, ctx) == ctx.notes["accuracy"]
    assert ctx.notes["gradient_evaluations"] == 0


def test_seed_decides_the_weights(workload: Any, recorder: Callable[..., Any]) -> None:
    space = ReluPlacement(workload.sites())
    made = [
        Finetune(workload).produce(
            space, POLY, rung(finetune_epochs=0.5), recorder(str(i), seed=seed), None
        )
        for i, seed in enumerate((1, 1, 2))
    ]
    assert weights(made[0]) == weights(made[1])
    assert weights(made[0]) != weights(made[2])


def test_a_budget_of_gradient_evaluations_is_kept(
    workload: Any, recorder: Callable[..., Any]
) -> None:
    ctx = recorder()
    Finetune(workload, batch_size=32).produce(
        ReluPlacement(workload.sites()), POLY, rung(gradient_evaluations=1600), ctx, None
    )
    assert abs(ctx.notes["gradient_evaluations"] - 1600) <= 64


def test_a_second_rung_goes_on_from_the_first(workload: Any, recorder: Callable[..., Any]) -> None:
    space, ctx = ReluPlacement(workload.sites()), recorder()
    method = Finetune(workload, batch_size=32)
    first = method.produce(space, POLY, rung(finetune_epochs=2), ctx, None)
    after_first = accuracy(workload, first, ctx)
    spent = ctx.notes["gradient_evaluations"]
    second = method.produce(space, POLY, rung(finetune_epochs=0), ctx, first)
    assert accuracy(workload, second, ctx) == after_first
    method.produce(space, POLY, rung(finetune_epochs=1), ctx, second)
    assert ctx.notes["gradient_evaluations"] > spent


def test_augmentation_asks_the_teacher_network(workload: Any, recorder: Callable[..., Any]) -> None:
    space = ReluPlacement(workload.sites())
    plain = Finetune(workload).produce(space, POLY, rung(finetune_epochs=0.5), recorder("a"), None)
    moved = Finetune(workload, augmentation="shift").produce(
        space, POLY, rung(finetune_epochs=0.5), recorder("b"), None
    )
    assert weights(plain) != weights(moved)


def test_a_learning_rate_may_be_searched(workload: Any, recorder: Callable[..., Any]) -> None:
    method = Finetune(workload, learning_rate={"real": [0.001, 0.1], "log": True})
    assert [p.name for p in method.params()] == ["learning_rate"]
    space = ReluPlacement(workload.sites())
    slow, fast = (
        method.produce(
            space, {**POLY, "learning_rate": r}, rung(finetune_epochs=0.5), recorder(str(r)), None
        )
        for r in (0.001, 0.1)
    )
    assert weights(slow) != weights(fast)
    assert Finetune(workload).params() == ()


@pytest.mark.parametrize(
    "budget", [{}, {"epochs": 1.0}, {"finetune_epochs": 1.0, "gradient_evaluations": 5.0}]
)
def test_a_rung_without_a_training_budget(
    workload: Any, recorder: Callable[..., Any], budget: dict[str, float]
) -> None:
    with pytest.raises(ConfigError, match=r"rung 'tune': finetune needs .* either"):
        Finetune(workload).produce(
            ReluPlacement(workload.sites()), POLY, rung(**budget), recorder(), None
        )


def test_it_crosses_processes_without_the_teacher(
    workload: Any, recorder: Callable[..., Any]
) -> None:
    import cloudpickle

    space, method = ReluPlacement(workload.sites()), Finetune(workload)
    small = len(cloudpickle.dumps(method))
    made = method.produce(space, POLY, rung(finetune_epochs=0.5), recorder("a"), None)
    data = cloudpickle.dumps(method)
    assert len(data) < small + 10_000
    again = cloudpickle.loads(data).produce(
        space, POLY, rung(finetune_epochs=0.5), recorder("b"), None
    )
    assert weights(again) == weights(made)


def test_no_workload() -> None:
    with pytest.raises(ConfigError, match=r"workload: method finetune trains .* Add a `workload:`"):
        Finetune.from_config(FinetuneConfig(), None)


def test_an_illegal_point(workload: Any, recorder: Callable[..., Any]) -> None:
    with pytest.raises(InfeasibleCandidate):
        Finetune(workload).produce(
            ReluPlacement(workload.sites()), {}, rung(finetune_epochs=1), recorder(), None
        )


def test_divergence_fails_the_trial(workload: Any, recorder: Callable[..., Any]) -> None:
    method = Finetune(workload, learning_rate=1e12, clip=1e12)
    with pytest.raises(EvaluationError, match="lower learning rate"):
        method.produce(
            ReluPlacement(workload.sites()), POLY, rung(finetune_epochs=2), recorder(), None
        )
    assert torch.get_num_threads() == 1


def test_time_is_estimated_from_the_teacher(workload: Any, recorder: Callable[..., Any]) -> None:
    from search.methods.polympcnet import PolyMPCNet
    from search.methods.teacher import teacher_facts

    method = Finetune(workload)
    method.prepare(recorder())
    facts = teacher_facts(workload)
    per_epoch = facts["seconds"] / facts["epochs"]
    assert method.estimate(rung(finetune_epochs=2)) == pytest.approx(2 * per_epoch)
    images = facts["gradient_evaluations"] / facts["epochs"]
    assert method.estimate(rung(gradient_evaluations=3 * images)) == pytest.approx(3 * per_epoch)
    first, second = PolyMPCNet(workload, order=1), PolyMPCNet(workload, order=2)
    both = rung(search_epochs=1, finetune_epochs=1)
    assert first.estimate(both) == pytest.approx(2 * per_epoch)
    assert (second.estimate(both) or 0) > (first.estimate(both) or 0)


def test_no_teacher_no_estimate(workload: Any, monkeypatch: Any, tmp_path: Any) -> None:
    monkeypatch.setenv("CIPHER_SEARCH_CACHE", str(tmp_path / "empty"))
    assert Finetune(workload).estimate(rung(finetune_epochs=2)) is None
