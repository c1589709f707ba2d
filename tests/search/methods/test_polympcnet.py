from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from evaluators.accuracy import Accuracy
from evaluators.counts import ReluCount
from evaluators.mpc.cost_2pc import Cost2PC
from search.api.domain import Param, Real
from search.api.errors import ConfigError
from search.api.metric import Fidelity
from search.api.protocols import UsesCostModels
from search.methods.polympcnet import PolyMPCNet, PolyMPCNetConfig
from spaces.parameters import ParameterSpace
from spaces.relu import ReluPlacement

BOTH = Fidelity("both", 0, {"search_epochs": 2, "finetune_epochs": 1})
SEARCH = Fidelity("search", 0, {"search_epochs": 1})
TUNE = Fidelity("tune", 1, {"finetune_epochs": 1})


def method(workload: Any, **options: Any) -> PolyMPCNet:
    made = PolyMPCNet(workload, **{"search_batch_size": 32, "batch_size": 32, **options})
    made.use_cost_models(Cost2PC(workload.sites()).cost_models())
    return made


def latency(workload: Any, candidate: Any, ctx: Any) -> float:
    return float(Cost2PC(workload.sites()).evaluate(candidate, BOTH, ctx)[0].value)


def operators(candidate: Any) -> set[str]:
    return set(candidate.payload.as_mapping().values())


def test_the_weight_spans_all_relu_to_all_polynomial(
    workload: Any, recorder: Callable[..., Any]
) -> None:
    space = ReluPlacement(workload.sites())
    made = method(workload)
    low = made.produce(space, {"latency_weight": 1e-4}, BOTH, recorder("low"), None)
    high = made.produce(space, {"latency_weight": 100.0}, BOTH, recorder("high"), None)
    assert operators(low) == {"relu", "max"}
    assert operators(high) == {"x2act", "avg"}
    ctx = recorder("low")
    assert latency(workload, low, ctx) > 1.5 * latency(workload, high, ctx)
    (accuracy,) = Accuracy(workload).evaluate(high, BOTH, ctx)
    assert accuracy.value > 70


def test_two_rungs_go_hand_in_hand(workload: Any, recorder: Callable[..., Any]) -> None:
    space, ctx, made = ReluPlacement(workload.sites()), recorder(), method(workload)
    point = {"latency_weight": 1.0}
    first = made.produce(space, point, SEARCH, ctx, None)
    searched = ctx.notes["gradient_evaluations"]
    second = made.produce(space, point, TUNE, ctx, first)
    assert second.payload == first.payload
    assert second.weights != first.weights
    steps = len(workload.data.train) // 2 // 32
    assert searched == steps * 32 * 5
    assert ctx.notes["gradient_evaluations"] == searched + len(workload.data.train) // 32 * 32
    assert {k for _, values in ctx.reports for k in values} >= {"search_loss", "finetune_loss"}


def test_notes_tell_where_the_gates_ended(workload: Any, recorder: Callable[..., Any]) -> None:
    space, ctx = ReluPlacement(workload.sites()), recorder()
    made = method(workload).produce(space, {"latency_weight": 1.0}, SEARCH, ctx, None)
    for site, alphas in ctx.notes["alphas"].items():
        assert max(alphas, key=alphas.get) == made.payload.as_mapping()[site]
    soft = ctx.notes["soft_cost"]
    assert (soft["metric"], soft["unit"]) == ("latency_2pc", "ms")
    relu = space.build({"activation": ("relu", "relu"), "pool": ("max",)})
    model = Cost2PC(workload.sites()).cost_models()["latency_2pc"]
    assert soft["original"] == pytest.approx(model.cost(space.usage(relu)))
    assert 0 < soft["value"] < soft["original"]


@pytest.mark.parametrize("start", ["search", "teacher"])
def test_fine_tuning_starts_where_it_is_told(
    workload: Any, recorder: Callable[..., Any], start: str
) -> None:
    space, ctx = ReluPlacement(workload.sites()), recorder()
    made = method(workload, finetune_from=start)
    point = {"latency_weight": 1e-4}
    first = made.produce(space, point, SEARCH, ctx, None)
    made.prepare(ctx)
    second = made.produce(space, point, Fidelity("tune", 1, {"finetune_epochs": 0}), ctx, first)
    (accuracy,) = Accuracy(workload).evaluate(second, TUNE, ctx)
    (searched,) = Accuracy(workload).evaluate(first, TUNE, ctx)
    assert accuracy.value == (searched.value if start == "search" else ctx.notes["accuracy"])


def test_relu_count_as_penalty(workload: Any, recorder: Callable[..., Any]) -> None:
    """RRNet's use: only ReLUs are penalised, so a maximum stays."""
    made = PolyMPCNet(workload, penalty="relu_count", search_batch_size=32)
    made.use_cost_models(ReluCount(workload.sites()).cost_models())
    found = made.produce(
        ReluPlacement(workload.sites()), {"latency_weight": 100.0}, SEARCH, recorder(), None
    )
    kept = [op for op in found.payload.as_mapping().values() if op in ("relu", "x2act")]
    assert kept == ["x2act", "x2act"]


def test_same_seed_same_candidate(workload: Any, recorder: Callable[..., Any]) -> None:
    space = ReluPlacement(workload.sites())
    first, again, other = (
        method(workload).produce(
            space, {"latency_weight": 0.5}, BOTH, recorder(str(i), seed=s), None
        )
        for i, s in enumerate((3, 3, 4))
    )
    assert first.payload == again.payload
    assert first.weights.read_bytes() == again.weights.read_bytes()  # type: ignore[union-attr]
    assert first.weights.read_bytes() != other.weights.read_bytes()  # type: ignore[union-attr]


def test_validation_images_train_nothing(workload: Any, recorder: Callable[..., Any]) -> None:
    import dataclasses

    space, made = ReluPlacement(workload.sites()), method(workload)
    made.prepare(recorder("prepare"))
    data = workload.data
    spoilt = dataclasses.replace(data.validation, x=data.validation.x * float("nan"))
    workload._splits = dataclasses.replace(data, validation=spoilt, test=spoilt)
    found = made.produce(space, {"latency_weight": 0.5}, BOTH, recorder(), None)
    assert found.weights is not None


def test_fixed_sites_stay(workload: Any, recorder: Callable[..., Any]) -> None:
    first = next(s.name for s in workload.sites() if s.kind == "activation")
    space = ReluPlacement(workload.sites(), fixed={first: "identity"})
    found = method(workload).produce(space, {"latency_weight": 1e-4}, BOTH, recorder(), None)
    assert found.payload.as_mapping()[first] == "identity"


def test_outer_parameters(workload: Any) -> None:
    made = PolyMPCNet(workload)
    assert made.decides_space
    assert isinstance(made, UsesCostModels)
    (weight,) = made.params()
    assert weight.name == "latency_weight"
    assert isinstance(weight.domain, Real)
    assert weight.domain.log
    more = PolyMPCNet(workload, latency_weight=0.5, alpha_learning_rate={"real": [0.01, 1]})
    assert [p.name for p in more.params()] == ["alpha_learning_rate"]


def test_a_penalty_nobody_models(workload: Any) -> None:
    with pytest.raises(ConfigError, match=r"method\.penalty: .*'joules' .*latency_2pc"):
        PolyMPCNet(workload, penalty="joules").use_cost_models(
            Cost2PC(workload.sites()).cost_models()
        )


def test_no_cost_model_given(workload: Any, recorder: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError, match="use_cost_models"):
        PolyMPCNet(workload).produce(
            ReluPlacement(workload.sites()), {"latency_weight": 1.0}, SEARCH, recorder(), None
        )


@pytest.mark.parametrize("budget", [{}, {"finetune_epochs": 1.0}, {"epochs": 3.0}])
def test_a_ladder_that_never_searches(
    workload: Any, recorder: Callable[..., Any], budget: dict[str, float]
) -> None:
    with pytest.raises(ConfigError, match=r"rung 'x': polympcnet needs a budget of search_epochs"):
        method(workload).produce(
            ReluPlacement(workload.sites()), {}, Fidelity("x", 0, budget), recorder(), None
        )


def test_a_space_without_relaxed_form(workload: Any, recorder: Callable[..., Any]) -> None:
    space: Any = ParameterSpace([Param("x", Real(0, 1))])
    with pytest.raises(ConfigError, match=r"space: polympcnet needs .* relaxed form"):
        method(workload).produce(space, {"latency_weight": 1.0}, SEARCH, recorder(), None)


def test_no_workload() -> None:
    with pytest.raises(ConfigError, match="method polympcnet trains networks"):
        PolyMPCNet.from_config(PolyMPCNetConfig(), None)


def test_unknown_options_are_refused() -> None:
    with pytest.raises(ValidationError, match="lambda"):
        PolyMPCNetConfig(**{"lambda": 1.0})
