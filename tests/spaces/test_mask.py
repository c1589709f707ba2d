import json
import pickle
import random
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluators.mpc.cost_2pc import Cost2PC
from search.api.candidate import Candidate, to_plain
from search.api.domain import Real, Vector, sample_point
from search.api.errors import ConfigError, EvaluationError, InfeasibleCandidate
from search.api.metric import Fidelity
from search.api.network import Site
from search.api.protocols import Decodes, HasUsage, Repairing, Space
from spaces.mask import Densities, MaskDensity, MaskDensityConfig
from spaces.masking import Maskable, SiteMask
from spaces.plan import NonlinearityPlan

SITES = (
    Site("conv1", "conv", "conv", (3, 8, 8), (4, 8, 8), macs=6912, weights=108),
    Site("relu1", "activation", "relu", (4, 8, 8), (4, 8, 8)),
    Site("pool1", "pool", "maxpool", (4, 8, 8), (4, 4, 4)),
    Site("block.relu1", "activation", "relu", (4, 4, 4), (4, 4, 4)),
    Site("pool2", "pool", "avgpool", (4, 4, 4), (4, 2, 2)),
    Site("block.relu2", "activation", "relu", (4, 2, 2), (4, 2, 2)),
    Site("fc", "linear", "linear", (16,), (10,), macs=160, weights=160),
)
TOTAL = 256 + 64 + 16
HALF = {"density": (0.5, 0.0, 1.0)}


class Network:
    """A workload as far as a space sees it."""

    def sites(self) -> tuple[Site, ...]:
        return SITES


def relus(space: MaskDensity, payload: Densities | NonlinearityPlan) -> float:
    return sum(w.elements for w in space.usage(payload) if w.operator == "relu")


def test_one_vector_over_the_free_activations() -> None:
    space: Space[Densities] = MaskDensity(SITES, fixed={"block.relu1": "relu"})
    (param,) = space.params()
    assert (param.name, param.domain) == ("density", Vector(Real(0.0, 1.0), 2))
    assert MaskDensity(SITES).members("density") == ("relu1", "block.relu1", "block.relu2")
    for protocol in (Repairing, HasUsage, Decodes, Maskable):
        assert isinstance(space, protocol)


def test_build_gives_counts_and_plain_operators_at_the_ends() -> None:
    made = MaskDensity(SITES).build(HALF)
    assert [(c.site, c.operator, c.kept, c.mask) for c in made.choices] == [
        ("relu1", "relu/x2act", 128, None),
        ("pool1", "avg", None, None),
        ("block.relu1", "x2act", None, None),
        ("block.relu2", "relu", None, None),
    ]
    assert made.kept(SITES) == {"relu1": 128, "block.relu1": 0, "block.relu2": 16}


def test_channels_come_whole() -> None:
    made = MaskDensity(SITES, "channel").build({"density": (0.3, 0.4, 0.1)})
    assert made.kept(SITES) == {"relu1": 64, "block.relu1": 32, "block.relu2": 0}


def test_counts_cost_what_a_plan_with_such_masks_costs() -> None:
    space = MaskDensity(SITES, activations=("relu", "poly2"))
    made = space.build(HALF)
    masks = {n: SiteMask(k, "00") for n, k in made.kept(SITES).items()}
    assert list(space.usage(made)) == list(space.usage(space.masking.plan(masks)))
    assert list(made.usage(SITES)) == list(space.usage(made))
    assert relus(space, made) == 128 + 16


def test_counts_of_another_network_are_refused() -> None:
    with pytest.raises(EvaluationError, match="not in the network"):
        MaskDensity(SITES).build(HALF).usage(SITES[:2])


def test_only_a_layer_that_is_off_saves_rounds() -> None:
    space = MaskDensity(SITES, activations=("relu", "identity"))
    cost = Cost2PC(SITES, protocol="crypten", network="wan", calibration="none")
    found = {}
    for value in (0.0, 0.1, 1.0):
        candidate = Candidate(space.kind, space.build({"density": (0.5, value, 0.5)}))
        measured = cost.evaluate(candidate, Fidelity("cost", 0, {}), None)  # type: ignore[arg-type]
        found[value] = {m.metric: m.value for m in measured}
    assert found[0.1]["rounds_2pc"] == found[1.0]["rounds_2pc"] > found[0.0]["rounds_2pc"]
    assert found[0.1]["bytes_2pc"] < found[1.0]["bytes_2pc"]


def test_relaxed_usage_takes_many_plans_at_once() -> None:
    kept = {"relu1": np.array([1.0, 2.0]), "block.relu1": np.array([3.0, 4.0]),
            "block.relu2": np.array([5.0, 6.0])}  # fmt: skip
    works = MaskDensity(SITES).relaxed_usage(kept)
    assert [w.elements.tolist() for w in works if w.operator == "relu"] == [
        [1.0, 2.0], [3.0, 4.0], [5.0, 6.0]
    ]  # fmt: skip


def test_counts_and_plans_go_through_json_and_back() -> None:
    space = MaskDensity(SITES)
    made = space.build(HALF)
    assert space.decode(json.loads(json.dumps(to_plain(made)))) == made
    plan = space.masking.plan({n: SiteMask(k, "ab") for n, k in made.kept(SITES).items()})
    assert space.decode(json.loads(json.dumps(to_plain(plan)))) == plan
    assert pickle.loads(pickle.dumps(space)).build(HALF) == made
    assert space.build(space.point(made)) == made


@pytest.mark.parametrize(
    "data", [None, {}, {"granularity": "pixel"}, {"granularity": "row", "choices": []}]
)
def test_decode_refuses_other_data(data: object) -> None:
    with pytest.raises(ConfigError, match="not a nonlinearity plan|not densities"):
        MaskDensity(SITES).decode(data)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"granularity": "layer"}, r"space\.granularity: unknown value 'layer' \(known: pixel, ch"),
        ({"activations": ["relu"]}, r"space\.activations: masks need `relu` and one"),
        ({"activations": ["relu", "poly1", "poly2"]}, r"masks need `relu` and one.*poly1, poly2"),
        ({"activations": ["rleu"]}, r"Did you mean 'relu'"),
        ({"fixed": {"relu2": "relu"}}, "no activation or max pool is called so"),
        ({"fixed": {"*relu*": "relu"}}, "one operator that replaces it|nothing to choose"),
        ({"fixed": {"relu1": "relu"}, "relu_budget": 5}, r"space\.relu_budget: .*256 ReLU elem"),
    ],
)
def test_wrong_options_say_where_and_what(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MaskDensity.from_config(MaskDensityConfig(**options), Network())


@pytest.mark.parametrize("percent", [-1.0, 101.0])
def test_a_budget_must_be_a_share(percent: float) -> None:
    with pytest.raises(ConfigError, match=r"space\.relu_budget: got"):
        MaskDensity(SITES, relu_budget=percent)
    with pytest.raises(ValueError, match="relu_budget"):
        MaskDensityConfig(relu_budget=percent)


def test_values_that_switch_off_must_leave_some() -> None:
    with pytest.raises(ConfigError, match=r"space\.off_below: expected a number from 0 to below 1"):
        MaskDensity(SITES, off_below=1.0)


def test_without_a_network_the_message_says_what_to_add() -> None:
    with pytest.raises(ConfigError, match=r"workload: .*Add a `workload:` section"):
        MaskDensity.from_config(MaskDensityConfig(), None)


@pytest.mark.parametrize(
    "density", [None, (), (0.5, 0.5), (0.5, 0.5, 1.1), (0.5, "half", 0.5), 0.5, (-0.1, 0.0, 0.0),
                (0.5, float("nan"), 0.5)],
)  # fmt: skip
def test_values_outside_the_domain_are_violations(density: object) -> None:
    point = {} if density is None else {"density": density}
    space = MaskDensity(SITES)
    assert {v.rule for v in space.check(point)} == {"domain"}  # type: ignore[arg-type]
    with pytest.raises(InfeasibleCandidate, match="density: got"):
        space.build(point)  # type: ignore[arg-type]


def test_the_budget_is_checked_in_elements() -> None:
    space = MaskDensity(SITES, relu_budget=25)
    assert space.budget == 84
    (violation,) = space.check(HALF)
    assert (violation.rule, violation.excess, violation.unit) == ("relu_budget", 60.0, "1")
    assert "got 144 ReLU elements; at most 84 allowed" in violation.detail
    assert not space.check({"density": (0.25, 0.25, 0.25)})


def test_fixed_relus_count() -> None:
    space = MaskDensity(SITES, fixed={"block.relu1": "relu"}, relu_budget=25)
    (violation,) = space.check({"density": (0.5, 0.0)})
    assert violation.excess == 64 + 128 - 84
    assert relus(space, space.build(space.repair({"density": (0.5, 1.0)}))) == 84


def test_repair_scales_all_layers_alike_and_keeps_foreign_names() -> None:
    space = MaskDensity(SITES, relu_budget=25)
    legal = space.repair({"density": (1.0, 1.0, 1.0), "rate": 0.5})
    assert legal["rate"] == 0.5
    assert space.build(legal).kept(SITES) == {"relu1": 64, "block.relu1": 16, "block.relu2": 4}
    legal = space.repair({"density": (0.9, 0.0, 0.9)})
    assert space.build(legal).kept(SITES)["block.relu1"] == 0


def test_repair_moves_into_the_domain() -> None:
    assert MaskDensity(SITES).repair({"density": (-1, 0.5, 2.0)})["density"] == (0.0, 0.5, 1.0)


@pytest.mark.parametrize("density", [None, (0.5,), (0.5, "half", 0.5), (0.5, float("nan"), 0.5)])
def test_repair_gives_up_on_what_is_no_vector_of_numbers(density: object) -> None:
    point = {} if density is None else {"density": density}
    with pytest.raises(InfeasibleCandidate, match="density"):
        MaskDensity(SITES).repair(point)  # type: ignore[arg-type]


def test_layers_can_be_off_altogether() -> None:
    space = MaskDensity(SITES, off_below=0.5)
    kept = space.build({"density": (0.5, 0.75, 1.0)}).kept(SITES)
    assert kept == {"relu1": 0, "block.relu1": 32, "block.relu2": 16}
    rng = random.Random(0)
    off = sum(
        n == 0
        for _ in range(200)
        for n in space.build(sample_point(space.params(), rng)).kept(SITES).values()
    )
    assert 0.4 < off / 600 < 0.6


SPACES = st.builds(
    MaskDensity,
    st.just(SITES),
    st.sampled_from(["pixel", "channel"]),
    fixed=st.sampled_from([{}, {"block.relu2": "relu"}, {"relu1": "x2act"}]),
    relu_budget=st.one_of(st.none(), st.floats(5, 100)),
    off_below=st.sampled_from([0.0, 0.3]),
)


@settings(max_examples=200)
@given(SPACES, st.integers(0, 2**32))
def test_repair_is_legal_exact_idempotent_and_keeps_what_is_legal(
    space: MaskDensity, seed: int
) -> None:
    point = sample_point(space.params(), random.Random(seed))
    legal = space.repair(point)
    assert not space.check(legal)
    assert space.repair(legal) == legal
    if not space.check(point):
        assert legal == point
    else:
        assert space.budget is not None
        missing = space.budget - relus(space, space.build(legal))
        units = [space.masking.unit_elements(s) for s in space.masking.free]
        assert 0 <= missing < max(units)
    made = space.build(legal)
    assert space.build(space.point(made)) == made
    digest = Candidate(space.kind, made).digest
    again = space.decode(json.loads(json.dumps(to_plain(made))))
    assert Candidate(space.kind, again).digest == digest


@given(SPACES, st.lists(st.floats(-0.5, 1.5), min_size=2, max_size=4).map(tuple))
def test_check_is_empty_exactly_when_build_succeeds(
    space: MaskDensity, density: tuple[float, ...]
) -> None:
    try:
        space.build({"density": density})
    except InfeasibleCandidate:
        assert space.check({"density": density})
    else:
        assert not space.check({"density": density})


def test_densities_need_every_free_site() -> None:
    with pytest.raises(InfeasibleCandidate, match=r"block\.relu1: got None of 64 elements"):
        MaskDensity(SITES).densities({"relu1": 3})
    with pytest.raises(InfeasibleCandidate, match="relu1: got 300 of 256"):
        MaskDensity(SITES).densities({"relu1": 300, "block.relu1": 0, "block.relu2": 0})


def test_loads_without_torch() -> None:
    code = "import sys, spaces.mask; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
