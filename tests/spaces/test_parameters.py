import json
import pickle
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.api.candidate import Candidate, to_plain
from search.api.domain import sample_point
from search.api.errors import ConfigError, InfeasibleCandidate
from search.api.protocols import Repairing, Space
from spaces.parameters import Parameters, ParameterSpace, ParameterSpaceConfig

YAML = {
    "params": {
        "x": {"real": [0.1, 10.0], "log": True, "unit": "ms"},
        "n": {"integer": [1, 9], "step": 2},
        "bits": {"ordinal": [4, 8, 16]},
        "act": {"choice": ["relu", "x2act"]},
        "mask": {"vector": {"choice": [0, 1]}, "length": 16},
        "scale": {"real": [0, 1], "when": {"act": ["x2act"]}},
    },
    "known": ["sum(mask) <= 5", "n * x <= 20"],
}
LEGAL = {"x": 1.0, "n": 3, "bits": 8, "act": "relu", "mask": (0,) * 16}


def space() -> ParameterSpace:
    return ParameterSpace.from_config(ParameterSpaceConfig(**YAML), None)


def test_it_is_a_space_that_repairs() -> None:
    made: Space[Parameters] = space()
    assert isinstance(made, Repairing)
    assert [p.name for p in made.params()] == list(YAML["params"])


def test_payload_is_a_frozen_mapping_of_active_parameters() -> None:
    payload = space().build({**LEGAL, "foreign": 1})
    assert dict(payload) == LEGAL
    assert hash(payload) == hash(Parameters(LEGAL))
    assert payload == LEGAL
    assert pickle.loads(pickle.dumps(payload)) == payload
    with pytest.raises(TypeError):
        payload["x"] = 2.0  # type: ignore[index]


def test_integers_given_for_real_parameters_are_the_same_candidate() -> None:
    one = Candidate("parameters", space().build({**LEGAL, "x": 1}))
    assert one.digest == Candidate("parameters", space().build(LEGAL)).digest


def test_payload_goes_through_json() -> None:
    payload = space().build(LEGAL)
    assert space().decode(json.loads(json.dumps(to_plain(payload)))) == payload


@pytest.mark.parametrize("data", [None, [1], {"x": None}, {"x": 99.0}])
def test_decode_refuses_other_data(data: object) -> None:
    with pytest.raises(ConfigError):
        space().decode(data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": 11.0}, r"x: got 11\.0; expected a number in \[0\.1, 10\]"),
        ({"n": 2}, "n: got 2; expected an integer in"),
        ({"act": "x2act"}, "scale: got nothing"),
        ({"scale": 0.5}, r"scale: inactive here \(act in \['x2act'\]\); leave it out"),
        ({"mask": (0,) * 15}, "mask: got"),
    ],
)
def test_violations_say_got_and_expected(change: dict[str, object], message: str) -> None:
    with pytest.raises(InfeasibleCandidate, match=message):
        space().build({**LEGAL, **change})


def test_a_broken_rule_is_a_violation_with_its_text() -> None:
    (violation,) = space().check({**LEGAL, "mask": (1,) * 8 + (0,) * 8})
    assert (violation.rule, violation.excess) == ("sum(mask) <= 5", 3.0)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"params": {}}, r"space\.params: at least one parameter"),
        ({"params": {"x": {"reel": [0, 1]}}}, r"space\.params\.x: no domain.*Did you mean 'real'"),
        ({"params": {"x": {"real": [0, 1]}}, "known": ["y <= 1"]}, r"space\.known\[0\]: .*'y'"),
    ],
)
def test_wrong_options_say_where(config: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ParameterSpace.from_config(ParameterSpaceConfig(**config), None)


def test_conditions_are_checked_for_python_users_too() -> None:
    from search.api.domain import Param, Real

    with pytest.raises(ConfigError, match="unknown parameter 'act'"):
        ParameterSpace([Param("x", Real(0, 1), when={"act": ("relu",)})])
    with pytest.raises(ConfigError, match="at least one"):
        ParameterSpace([])


def test_a_space_with_rules_crosses_processes() -> None:
    again = pickle.loads(pickle.dumps(space()))
    assert again.check({**LEGAL, "mask": (1,) * 16})[0].excess == 11.0


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_check_empty_iff_build_succeeds_and_repair_is_legal(seed: int) -> None:
    made = space()
    point = sample_point(made.params(), random.Random(seed))
    if made.check(point):
        with pytest.raises(InfeasibleCandidate):
            made.build(point)
    else:
        made.build(point)
        assert made.repair(point) == point
    legal = made.repair(point)
    assert not made.check(legal)
    assert made.repair(point) == legal
    digest = Candidate(made.kind, made.build(legal)).digest
    assert Candidate(made.kind, made.build(dict(reversed(legal.items())))).digest == digest
