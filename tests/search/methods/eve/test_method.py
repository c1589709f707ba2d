from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from search.api.candidate import Candidate
from search.api.errors import ConfigError
from search.api.metric import Fidelity
from search.methods.eve.method import WEIGHTS, Eve
from search.workloads.eve.levels import compact, units_of
from search.workloads.image import ImageClassification
from search.workloads.nested import load_nested
from search.workloads.plan import network_of
from spaces.eve.space import EveSpace

POINT = {"keep": (0.7, 0.7, 0.7), "steps": (0.8, 0.6)}


def rung(**budget: float) -> Fidelity:
    return Fidelity("rung", 0, budget)


def produce(
    workload: Any, space: Any, ctx: Any, fidelity: Fidelity, warm: Any = None, **options: Any
) -> Candidate[Any]:
    return Eve(workload, **options).produce(space, POINT, fidelity, ctx, warm)


def test_a_rung_without_budget_trains_nothing(
    workload: Any, space: Any, recorder: Callable[..., Any]
) -> None:
    ctx = recorder()
    found = produce(workload, space, ctx, rung())
    assert found.weights is None
    assert found.kind == "eve"
    assert [m.payload.level for m in found.members] == [1, 2, 3]
    assert not list(ctx.workdir.iterdir())


def test_modes_are_members_in_one_file(
    workload: Any, space: Any, recorder: Callable[..., Any]
) -> None:
    ctx = recorder()
    found = produce(workload, space, ctx, rung(epochs=1))
    assert found.weights == ctx.workdir / WEIGHTS
    assert all(m.weights == found.weights for m in found.members)
    nested = load_nested(found.weights)
    assert list(nested.densities) == sorted(nested.densities)
    for name, units in units_of(found.payload).items():
        compact(nested.levels[name], units)  # refuses levels of other units
    x = workload.data.test.x[:16]
    outputs = []
    for member in found.members:
        network = network_of(workload, member.payload, member.weights)
        state = nested.member(member.payload.level)
        assert all(torch.equal(v, state[n]) for n, v in network.state_dict().items())
        with torch.no_grad():
            outputs.append(network(x))
    assert not torch.equal(outputs[0], outputs[2])
    assert ctx.notes["gradient_evaluations"] == 3 * (len(workload.data.train) // 128) * 128
    assert ctx.notes["level_code_bits"] > 0


def test_training_goes_on_from_the_rung_below(
    workload: Any, space: Any, recorder: Callable[..., Any]
) -> None:
    ctx = recorder()
    cheap = produce(workload, space, ctx, rung())
    first = produce(workload, space, ctx, rung(epochs=0.5), cheap)
    before = load_nested(first.weights)  # type: ignore[arg-type]
    second = produce(workload, space, ctx, rung(epochs=0.5), first)
    after = load_nested(second.weights)  # type: ignore[arg-type]
    assert second.payload == cheap.payload
    assert all(torch.equal(before.levels[n], v) for n, v in after.levels.items())
    moved = (after.shared["conv2.weight"] - before.shared["conv2.weight"]).abs().max()
    assert 0 < float(moved) < 0.5
    steps = round(0.5 * (len(workload.data.train) // 128))
    assert ctx.notes["gradient_evaluations"] == 2 * 3 * steps * 128


def test_importance_decides_which_units_stay(
    workload: Any, space: Any, recorder: Callable[..., Any]
) -> None:
    levels = [
        load_nested(
            produce(workload, space, recorder(kind), rung(epochs=0), importance=kind).weights  # type: ignore[arg-type]
        ).levels
        for kind in ("magnitude", "taylor")
    ]
    assert any(not torch.equal(levels[0][n], v) for n, v in levels[1].items())


def test_no_epochs_round_the_teacher(
    workload: Any, space: Any, recorder: Callable[..., Any]
) -> None:
    from search.methods.teacher import load_teacher

    ctx = recorder()
    found = load_nested(produce(workload, space, ctx, rung(epochs=0)).weights)  # type: ignore[arg-type]
    teacher = load_teacher(workload, ctx).network.state_dict()
    for name, level in found.levels.items():
        error = (found.shared[name] - teacher[name])[level > 0].abs().max()
        assert float(error) <= float(teacher[name].abs().max()) / 64


def test_networks_with_batch_norm_are_refused(recorder: Callable[..., Any]) -> None:
    workload = ImageClassification({"name": "lenet5", "batch_norm": True}, "fashion_mini")
    space = EveSpace(workload.sites(), profile=None)
    with pytest.raises(ConfigError, match=r"batch norm at bn1, bn2"):
        Eve(workload).check_space(space)


def test_other_spaces_are_refused(workload: Any, space: Any) -> None:
    from spaces.relu import ReluPlacement

    with pytest.raises(ConfigError, match="got space kind"):
        Eve(workload).check_space(ReluPlacement(workload.sites(), "pixel"))
    Eve(workload).check_space(space)
    with pytest.raises(ConfigError, match="no workload"):
        Eve(None)


def test_its_learning_rate_can_be_searched(workload: Any) -> None:
    method = Eve(workload, learning_rate={"real": [0.001, 0.1], "log": True})
    assert [p.name for p in method.params()] == ["learning_rate"]
    assert method.decides_space is False


def test_where_files_go() -> None:
    assert Path(WEIGHTS).suffix == ".safetensors"
