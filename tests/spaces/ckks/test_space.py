import json
import pickle
import random
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search import registry
from search.api.candidate import Candidate, to_plain
from search.api.domain import active_params, sample_point
from search.api.errors import ConfigError, InfeasibleCandidate
from search.api.network import Site
from search.api.protocols import Decodes, Repairing, Space, Synthesises
from search.workloads.image import ImageClassification
from spaces.ckks.layers import Layers
from spaces.ckks.options import CkksConfig
from spaces.ckks.params import CkksParams
from spaces.ckks.primes import primes_of
from spaces.ckks.security import Security
from spaces.ckks.space import CkksSpace

LEGAL = {"log_n": 13, "scale": 26, "headroom": 5, "special_gap": 12, "input_packing": "plain"}
NET = Layers(
    (
        Site("fc1", "linear", "linear", (8,), (8,)),
        Site("r1", "activation", "relu", (8,), (8,)),
        Site("fc2", "linear", "linear", (8,), (2,)),
    )
)


def space(layers: Layers | None = None, **options: Any) -> CkksSpace:
    if layers is None:
        options = {"depth": 5, **options}
    return CkksSpace(layers, CkksConfig(**options))


WIDE = {
    "library": "lattigo", "secret_weight": (0, 192), "ring": ("standard", "conjugate_invariant"),
    "embedding": ("fold", "square"), "baby": (0, 4), "level_offset": (-2, 2),
    "offset_per_level": True, "activation": ("square", "polynomial", "sign_relu"),
    "degree": (3, 7, 8), "spare_levels": (0, 1), "special_primes": (1, 2),
}  # fmt: skip
SPACES = {
    "chain": space(),
    "network": space(NET),
    "wide": space(NET, **WIDE),
    "sites": space(NET, **{**WIDE, "per_site": True}),
    "strict": space(security={"bits": 256}, scale=(20, 45), log_n=(13, 14, 15, 16)),
}


def test_it_does_what_the_protocols_ask() -> None:
    found: Space[CkksParams] = space()
    assert isinstance(found, Repairing)
    assert isinstance(found, Decodes)
    assert isinstance(found, Synthesises)
    assert found.kind == "ckks"
    assert registry.load("space", "ckks") is CkksSpace


def test_a_legal_point_is_built_stored_and_read_back() -> None:
    params = space().build(LEGAL)
    assert params.chain.log_qp == 31 + 5 * 26 + 43
    assert space().decode(json.loads(json.dumps(to_plain(params)))) == params
    assert pickle.loads(pickle.dumps(space())).build(LEGAL) == params
    assert Candidate("ckks", params).digest == Candidate("ckks", space().build(LEGAL)).digest


def test_an_illegal_point_says_each_rule_and_cannot_be_built() -> None:
    bad = {**LEGAL, "log_n": 12, "scale": 50}
    assert [v.rule for v in space().check(bad)] == ["insecure"]
    assert "got 365 bit; at most 106" in space().check(bad)[0].detail
    with pytest.raises(InfeasibleCandidate, match="insecure"):
        space().build(bad)
    assert {v.rule for v in space().check({**LEGAL, "scale": 99})} == {"domain"}


def test_an_insecure_point_passes_only_with_the_word() -> None:
    bad = {**LEGAL, "log_n": 12}
    loose = space(security={"allow_insecure": True})
    assert space().check(bad)
    assert not loose.check(bad)
    assert "never use this" in loose.warnings(bad)[0]
    assert space(security={"table": "legacy_2018"}).check({**LEGAL, "log_n": 12})


def test_a_chain_of_given_length_may_be_too_short() -> None:
    found = space(NET, levels=4, degree=(3, 15))
    legal = {**LEGAL, "rescaling": "last"}
    assert not found.check({**legal, "degree": 3})
    (violation,) = found.check({**legal, "degree": 15})
    assert (violation.rule, violation.excess) == ("depth", 2)
    with pytest.raises(ConfigError, match="got 4; the network needs 5, 1 more"):
        space(levels=4)


def test_depth_follows_the_activations() -> None:
    found = space(NET, degree=(7, 15))
    assert [found.depth({**LEGAL, "degree": d}) for d in (7, 15)] == [5, 6]


def test_other_names_are_ignored() -> None:
    assert not space().check({**LEGAL, "lr": 0.1})


def test_repair_moves_no_further_than_needed() -> None:
    assert space().repair(LEGAL) == LEGAL
    one_off = {**LEGAL, "scale": 28}  # 220 of 214 bits
    assert space().check(one_off)
    repaired = space().repair(one_off)
    changed = [name for name in LEGAL if repaired[name] != one_off[name]]
    assert len(changed) == 1
    assert space().repair({**LEGAL, "scale": 99})["scale"] in range(22, 51)


@pytest.mark.parametrize("name", SPACES)
@given(seed=st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_repaired_points_are_legal_secure_and_have_their_primes(name: str, seed: int) -> None:
    found = SPACES[name]
    point = sample_point(found.params(), random.Random(seed))
    repaired = found.repair(point)
    assert not found.check(repaired)
    assert found.repair(repaired) == repaired
    assert found.repair(point) == repaired
    active = {p.name: p for p in active_params(found.params(), repaired)}
    assert set(repaired) == set(active)
    assert all(p.domain.contains(repaired[n]) for n, p in active.items())
    params = found.build(repaired)
    slack = found.demands.security.slack(params)
    assert slack is not None
    assert slack >= 0
    assert len(primes_of(params.chain, params.log_n, params.ring)) == params.chain.limbs + len(
        params.chain.special
    )
    assert found.decode(to_plain(params)) == params


@given(seed=st.integers(0, 10**6))
@settings(max_examples=100, deadline=None)
def test_no_insecure_point_passes(seed: int) -> None:
    found = SPACES["chain"]
    point = sample_point(found.params(), random.Random(seed))
    if not found.check(point):
        assert (Security().slack(found.build(point)) or 0) >= 0
    else:
        assert all(v.excess > 0 for v in found.check(point))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": None}, "space.depth: ckks needs a network or its depth"),
        ({"bootstrap": True}, "space.bootstrap: seal cannot refresh"),
        ({"log_n": (10,)}, "no configuration is legal.*at most 26"),
        ({"depth": 200}, "no configuration is legal"),
    ],
)
def test_options_under_which_nothing_can_work_are_refused(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        CkksSpace(None, CkksConfig(**{"depth": 5, **options}))


def test_from_a_workload_with_and_without_links() -> None:
    workload = ImageClassification(network="mlp", data="fashion_mini")
    found = CkksSpace.from_config(CkksConfig(degree=(7,)), workload)
    assert found.layers is not None
    assert found.layers.linears == ("linear1", "linear2", "classifier")
    assert found.depth({}) == 9

    class Plain:
        def sites(self) -> tuple[Site, ...]:
            return NET.sites

    assert CkksSpace.from_config(CkksConfig(), Plain()).depth({"degree": 7}) == 5
    assert CkksSpace.from_config(CkksConfig(depth=3), None).depth({}) == 3
    with pytest.raises(ConfigError, match="max pool"):
        CkksSpace.from_config(
            CkksConfig(), ImageClassification(network="lenet5", data="fashion_mini")
        )


def test_it_loads_neither_torch_nor_numpy() -> None:
    code = (
        "import sys, spaces.ckks.space as s; from spaces.ckks.options import CkksConfig;"
        "f = s.CkksSpace(None, CkksConfig(depth=5)); f.synthesise((), ());"
        "print(sorted({'torch', 'numpy', 'scipy', 'tenseal'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
