import json
import pickle
import random
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.api.candidate import Candidate, to_plain
from search.api.domain import sample_point
from search.api.errors import ConfigError, InfeasibleCandidate
from search.api.network import Site
from search.api.protocols import HasUsage, Repairing, Space
from spaces.relu import NonlinearityPlan, ReluPlacement, ReluPlacementConfig

SITES = (
    Site("conv1", "conv", "conv", (3, 8, 8), (4, 8, 8), macs=6912, weights=108),
    Site("relu1", "activation", "relu", (4, 8, 8), (4, 8, 8)),
    Site("pool1", "pool", "maxpool", (4, 8, 8), (4, 4, 4)),
    Site("block.relu1", "activation", "relu", (4, 4, 4), (4, 4, 4)),
    Site("pool2", "pool", "avgpool", (4, 4, 4), (4, 2, 2)),
    Site("block.relu2", "activation", "relu", (4, 2, 2), (4, 2, 2)),
    Site("fc", "linear", "linear", (16,), (10,), macs=160, weights=160),
)
LEGAL = {"activation": ("relu", "x2act", "relu"), "pool": ("max",)}


class Network:
    """A workload as far as a space sees it."""

    def sites(self) -> tuple[Site, ...]:
        return SITES


def test_params_are_vectors_over_free_sites_in_execution_order() -> None:
    space: Space[NonlinearityPlan] = ReluPlacement(SITES)
    assert [(p.name, p.domain.length, p.domain.element.options) for p in space.params()] == [
        ("activation", 3, ("x2act", "relu")),
        ("pool", 1, ("avg", "max")),
    ]
    assert ReluPlacement(SITES).members("activation") == ("relu1", "block.relu1", "block.relu2")
    assert isinstance(space, Repairing)
    assert isinstance(space, HasUsage)


def test_an_original_average_pool_is_not_a_choice() -> None:
    assert ReluPlacement(SITES).members("pool") == ("pool1",)


def test_a_group_without_sites_has_no_parameter() -> None:
    assert [p.name for p in ReluPlacement(SITES[:2]).params()] == ["activation"]


def test_build_gives_a_plan_with_every_choice_in_order() -> None:
    plan = ReluPlacement(SITES).build(LEGAL)
    assert list(plan.as_mapping().items()) == [
        ("relu1", "relu"),
        ("pool1", "max"),
        ("block.relu1", "x2act"),
        ("block.relu2", "relu"),
    ]


def test_plan_goes_through_json_and_pickle_and_back_to_its_point() -> None:
    space = ReluPlacement(SITES)
    plan = space.build(LEGAL)
    assert space.decode(json.loads(json.dumps(to_plain(plan)))) == plan
    assert pickle.loads(pickle.dumps(space)).build(LEGAL) == plan
    assert space.point(plan) == LEGAL


@pytest.mark.parametrize("data", [None, {}, {"choices": [{"site": "a"}]}, {"choices": [1]},
                                  {"choices": [{"site": 1, "operator": "relu"}]}])  # fmt: skip
def test_decode_refuses_other_data(data: object) -> None:
    with pytest.raises(ConfigError, match="not a nonlinearity plan"):
        ReluPlacement(SITES).decode(data)


def test_fixed_sites_leave_the_search_and_stay_in_the_plan() -> None:
    space = ReluPlacement(SITES, fixed={"block.*": "identity", "pool1": "avg"})
    assert [p.name for p in space.params()] == ["activation"]
    plan = space.build({"activation": ("relu",)}).as_mapping()
    assert plan == {
        "relu1": "relu", "pool1": "avg", "block.relu1": "identity", "block.relu2": "identity"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"granularity": "row"},
            r"space\.granularity: unknown value 'row' \(known: layer, channel",
        ),
        ({"activations": ["rleu"]}, r"space\.activations\[0\].*Did you mean 'relu'"),
        ({"activations": []}, "one or more different operators"),
        ({"activations": ["relu", "relu"]}, "one or more different operators"),
        ({"pools": ["maxpool"]}, r"space\.pools\[0\].*known: max, avg"),
        ({"fixed": {"relu2": "relu"}}, "no activation or max pool is called so.*Did you mean"),
        ({"fixed": {"relu1": "max"}}, "'max' cannot stand at 'relu1'"),
        ({"fixed": {"relu1": "relu", "*1": "x2act"}}, "cannot stand|fixed twice"),
        ({"fixed": {"relu1": "relu", "rel*": "x2act"}}, "'relu1' is fixed twice"),
        ({"fixed": {"*relu*": "relu", "pool1": "max"}}, "nothing to choose"),
        ({"max_relus": 100, "fixed": {"relu1": "relu"}}, "no plan is legal.*256"),
        ({"max_relus": 100, "activations": ["relu"]}, "no plan is legal.*336"),
        ({"max_relus": -1}, "no plan is legal"),
    ],
)
def test_wrong_options_say_where_and_what(options: dict[str, object], message: str) -> None:
    config = ReluPlacementConfig(**options)
    with pytest.raises(ConfigError, match=message):
        ReluPlacement.from_config(config, Network())


def test_without_a_network_the_message_says_what_to_add() -> None:
    with pytest.raises(ConfigError, match=r"workload: .*Add a `workload:` section"):
        ReluPlacement.from_config(ReluPlacementConfig(), None)


@pytest.mark.parametrize(
    "point",
    [
        {"activation": ("relu",) * 3},
        {"activation": ("relu",) * 2, "pool": ("max",)},
        {"activation": ("relu", "relu", "gelu"), "pool": ("max",)},
        {"activation": ["relu"] * 3, "pool": ("max",)},
        {"activation": "relu", "pool": ("max",)},
        {"activation": ("relu",) * 3, "pool": ("relu",)},
        {},
    ],
)
def test_values_outside_the_domain_are_violations(point: dict[str, object]) -> None:
    space = ReluPlacement(SITES)
    assert {v.rule for v in space.check(point)} == {"domain"}
    with pytest.raises(InfeasibleCandidate):
        space.build(point)


def test_names_of_other_owners_are_ignored() -> None:
    assert not ReluPlacement(SITES).check({**LEGAL, "lambda": 0.1})


def test_relu_budget_counts_elements_of_free_and_fixed_sites() -> None:
    space = ReluPlacement(SITES, max_relus=300, fixed={"relu1": "relu"})
    (violation,) = space.check({"activation": ("relu", "relu"), "pool": ("max",)})
    assert (violation.rule, violation.excess, violation.unit) == ("max_relus", 36.0, "1")
    assert "got 336" in violation.detail
    assert not space.check({"activation": ("x2act", "relu"), "pool": ("max",)})


def test_repair_drops_the_smallest_layer_that_is_enough() -> None:
    everything = {"activation": ("relu",) * 3, "pool": ("max",)}
    assert ReluPlacement(SITES, max_relus=330).repair(everything)["activation"] == (
        "relu", "relu", "x2act"
    )  # fmt: skip
    assert ReluPlacement(SITES, max_relus=280).repair(everything)["activation"] == (
        "relu", "x2act", "relu"
    )  # fmt: skip
    # No single layer is enough: the largest goes first.
    assert ReluPlacement(SITES, max_relus=70).repair(everything)["activation"] == (
        "x2act", "relu", "x2act"
    )  # fmt: skip


def test_repair_replaces_illegal_entries_and_keeps_foreign_names() -> None:
    point = {"activation": ("relu", "gelu", "relu"), "pool": ("max",), "rate": 0.5}
    assert ReluPlacement(SITES).repair(point) == {
        "activation": ("relu", "x2act", "relu"), "pool": ("max",), "rate": 0.5
    }  # fmt: skip


def test_repair_gives_up_on_another_shape() -> None:
    with pytest.raises(InfeasibleCandidate, match="activation"):
        ReluPlacement(SITES).repair({"activation": ("relu",), "pool": ("max",)})


def test_usage_covers_the_whole_network() -> None:
    space = ReluPlacement(SITES)
    usage = space.usage(space.build(LEGAL))
    assert [(w.site, w.operator, w.calls, w.elements) for w in usage] == [
        ("conv1", "conv", 1.0, 192.0),
        ("relu1", "relu", 1.0, 256.0),
        ("pool1", "maxpool", 1.0, 256.0),
        ("block.relu1", "x2act", 1.0, 64.0),
        ("pool2", "avgpool", 1.0, 64.0),
        ("block.relu2", "relu", 1.0, 16.0),
        ("fc", "linear", 1.0, 16.0),
    ]


def test_relaxed_usage_shares_out_free_sites_and_adds_the_rest_whole() -> None:
    space = ReluPlacement(SITES, fixed={"block.*": "x2act"})
    usage = space.relaxed_usage(
        {"relu1": {"relu": 0.25, "x2act": 0.75}, "pool1": {"max": 0.5, "avg": 0.5}}
    )
    assert [(w.site, w.operator, w.calls, w.elements) for w in usage] == [
        ("conv1", "conv", 1.0, 192.0),
        ("relu1", "relu", 0.25, 64.0),
        ("relu1", "x2act", 0.75, 192.0),
        ("pool1", "maxpool", 0.5, 128.0),
        ("pool1", "avgpool", 0.5, 128.0),
        ("block.relu1", "x2act", 1.0, 64.0),
        ("pool2", "avgpool", 1.0, 64.0),
        ("block.relu2", "x2act", 1.0, 16.0),
        ("fc", "linear", 1.0, 16.0),
    ]


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({}, "no entry for site 'relu1'"),
        ({"relu1": {"relu": 1.0}, "fc": {"relu": 1.0}}, "'fc' is not a free site"),
        ({"relu1": {"gelu": 1.0}}, "'gelu' may not stand at 'relu1'"),
    ],
)
def test_relaxed_usage_refuses_wrong_names(
    shares: dict[str, dict[str, float]], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        ReluPlacement(SITES[:2] + SITES[6:]).relaxed_usage(shares)


ENTRIES = st.lists(st.sampled_from(["relu", "x2act", "gelu"]), min_size=2, max_size=4).map(tuple)


@given(ENTRIES, st.lists(st.sampled_from(["max", "avg"]), max_size=2).map(tuple),
       st.integers(0, 340))  # fmt: skip
def test_check_is_empty_exactly_when_build_succeeds(
    activation: tuple[str, ...], pool: tuple[str, ...], budget: int
) -> None:
    space = ReluPlacement(SITES, max_relus=budget)
    point = {"activation": activation, "pool": pool}
    try:
        space.build(point)
    except InfeasibleCandidate:
        assert space.check(point)
    else:
        assert not space.check(point)


@settings(max_examples=50)
@given(st.integers(0, 2**32), st.integers(0, 400))
def test_repair_is_legal_idempotent_and_digests_are_stable(seed: int, budget: int) -> None:
    space = ReluPlacement(SITES, max_relus=budget)
    point = sample_point(space.params(), random.Random(seed))
    legal = space.repair(point)
    assert not space.check(legal)
    assert space.repair(legal) == legal
    if not space.check(point):
        assert legal == point
    digest = Candidate(space.kind, space.build(legal)).digest
    again = space.decode(json.loads(json.dumps(to_plain(space.build(dict(legal))))))
    assert Candidate(space.kind, again).digest == digest


def test_spaces_and_cost_models_load_without_torch() -> None:
    code = (
        "import sys, spaces.relu, spaces.parameters, evaluators.mpc.cost_2pc, evaluators.counts, "
        "evaluators.accuracy, evaluators.function; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
