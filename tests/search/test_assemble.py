"""From names to objects: metrics, units and parameters are checked before any trial."""

from __future__ import annotations

from typing import Any

import pytest

from evaluators.mpc.cost_2pc import Cost2PC
from search.api.domain import Param, Real, Vector
from search.api.errors import ConfigError, MissingExtra
from search.assemble import assemble, resolve_device
from search.config import parse_spec
from search.methods.direct import Direct

DATA: dict[str, Any] = {
    "study": {"name": "t"},
    "workload": {"network": "lenet5", "data": "fashion_mini"},
    "space": "relu_placement",
    "objectives": ["latency_2pc", "relu_count"],
    "ladder": [{"rung": "static", "evaluators": ["cost_2pc", "relu_count"]}],
}


def assembled(**changes: Any) -> Any:
    data = {**DATA, **changes}
    data["workload"] = {"name": "image_classification", **DATA["workload"]}
    return assemble(parse_spec(data))


def test_a_study_of_names_has_sites_params_and_metrics() -> None:
    components = assembled()
    assert {s.kind for s in components.sites()} >= {"conv", "activation", "pool", "linear"}
    assert [p.name for p in components.params()] == ["activation", "pool"]
    assert {"latency_2pc", "bytes_2pc", "relu_count"} <= set(components.metrics())


@pytest.mark.parametrize(
    ("changes", "path", "words"),
    [
        ({"objectives": ["accuracy"]}, "objectives[0]", "not measured at the top rung"),
        ({"constraints": ["latency_2pc <= 5 MB"]}, "constraints[0]", "expected one of"),
        ({"constraints": ["latency_2pc <= 5"]}, "constraints[0]", "no unit"),
        ({"constraints": ["energy <= 5 J"]}, "constraints[0]", "not measured"),
        ({"params": {"depth": 3}}, "params.depth", "unknown parameter"),
        ({"params": {"pool": "max"}}, "params.pool", "got 'max'"),
    ],
)
def test_what_does_not_fit_is_named(changes: Any, path: str, words: str) -> None:
    with pytest.raises(ConfigError) as error:
        assembled(**changes).params()
    assert error.value.path == path
    assert words in str(error.value)


def test_a_method_may_refuse_a_space_before_any_trial() -> None:
    with pytest.raises(ConfigError, match=r"got 150 %; the network has \d+ ReLU") as caught:
        assembled(
            space={
                "name": "relu_placement",
                "granularity": "pixel",
                "activations": ["relu", "poly2"],
            },
            method={"name": "random_masks", "relu_budget": 150},
        )
    assert caught.value.path == "method.relu_budget"


def test_what_is_not_installed_has_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: Any) -> None:
        raise MissingExtra("CrypTen is not installed")

    monkeypatch.setattr(Cost2PC, "from_config", absent)
    with pytest.raises(MissingExtra, match="is not installed") as caught:
        assembled()
    assert caught.value.path == "ladder[0].evaluators[0]"


def test_gates_may_use_metrics_of_lower_rungs_only() -> None:
    ladder = [
        {"rung": "a", "evaluators": ["relu_count"], "gates": ["latency_2pc <= 5 ms"]},
        {"rung": "b", "evaluators": ["cost_2pc", "relu_count"]},
    ]
    with pytest.raises(ConfigError) as error:
        assembled(ladder=ladder)
    assert error.value.path == "ladder[0].gates[0]"
    ladder[0]["gates"], ladder[1]["gates"] = [], ["relu_count <= 50 1"]
    assert assembled(ladder=ladder)


def test_an_explicit_device_is_kept() -> None:
    assert resolve_device("cuda:1") == "cuda:1"
    assert resolve_device("auto") in ("cpu", "cuda")


def test_a_list_cannot_be_fixed() -> None:
    from search.assemble import parse_override
    from spaces.parameters import ParameterSpace

    space = ParameterSpace([Param("keep", Vector(Real(0.1, 1.0), 2))])
    with pytest.raises(ConfigError, match="params.keep: a list cannot be fixed here"):
        parse_override("keep", [0.5, 0.5], Direct(), space)
