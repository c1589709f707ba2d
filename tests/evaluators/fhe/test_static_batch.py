import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from evaluators.fhe.packing import pack
from evaluators.fhe.static import report
from evaluators.fhe.static_batch import ParamArrays, static_batch
from evaluators.fhe.static_rules import Facts, facts_of
from search.api.errors import ConfigError
from spaces.ckks.libraries import LATTIGO
from spaces.ckks.params import Chain, CkksParams
from spaces.ckks.rules import Demands, violations
from spaces.ckks.security import Security

GOOD = CkksParams(13, Chain(31, (26,) * 5, (45,)), 26)


def drawn_pairs(rng: random.Random) -> CkksParams:
    """Around the border, for two squares that share a prime with the map behind each."""
    scale, weights = rng.randint(16, 32), rng.randint(5, 36)
    first, pair = scale + rng.randint(4, 12), min(60, scale + weights)
    special = min(60, max(first, pair) + rng.randint(-1, 8))
    chain = Chain(first, (pair, pair, scale + rng.randint(-2, 2)), (special,))
    weight_bits = weights if rng.random() < 0.5 else 0  # with them scales rise beyond 60 bits
    return CkksParams(13, chain, scale, drops="paired", weight_bits=weight_bits)


def drawn(
    rng: random.Random, log_n: int, depth: int = 5, special: tuple[int, ...] = (1,)
) -> CkksParams:
    """Around the border: most rules hold, some do not."""
    scale = rng.randint(12, 30)
    wild = rng.random() < 0.3
    levels = tuple(
        max(2, scale + (rng.randint(-12, 12) if wild else 0))
        for _ in range(depth + rng.choice((-1, 0, 0, 1)))
    )
    first = max(2, scale + rng.randint(-2, 12))
    return CkksParams(
        log_n,
        Chain(
            first,
            levels,
            tuple(rng.randint(first - 1, first + 15) for _ in range(rng.choice(special))),
        ),
        scale,
        secret_weight=rng.choice([None, None, None, 192, 5000]) if wild else None,
    )


@pytest.fixture(scope="module")
def known(networks: Any) -> dict[str, Facts]:
    graphs = {"mlp": (networks.mlp(), 13), "residual": (networks.residual(), 11)}
    made = {}
    for name, (graph, log_n) in graphs.items():
        params = CkksParams(log_n, GOOD.chain, GOOD.scale)
        made[name] = facts_of(pack(graph, params.slots, params))
    return made


@pytest.mark.parametrize(
    ("name", "log_n", "demands", "limit"),
    [
        ("mlp", 13, Demands(), None),
        ("mlp", 13, Demands(library=LATTIGO, security=Security(table="legacy_2018")), 126.0),
        ("mlp", 13, Demands(security=Security(allow_insecure=True)), 126.0),
        ("residual", 11, Demands(security=Security(allow_insecure=True)), None),
    ],
)
def test_verdicts_are_those_of_single_configurations(
    known: dict[str, Facts], name: str, log_n: int, demands: Demands, limit: float | None
) -> None:
    rng = random.Random(name)
    sets = [drawn(rng, log_n, known[name].depth, (0, 1, 1, 1, 2)) for _ in range(400)]
    found = static_batch(known[name], ParamArrays.of(sets), demands, limit)
    singles = [report(known[name], p, demands, limit) for p in sets]
    for i, single in enumerate(singles):
        together = {rule for rule, hit in found.broken.items() if hit[i]}
        assert together == {v.rule for v in single.violations}, sets[i]
        assert found.feasible[i] == (not single.violations)
        if sets[i].chain.special:
            assert found.key_mb[i] == pytest.approx(single.figures["key_mb"])
        assert found.log_qp[i] == single.figures["log_qp"]
        if not np.isnan(found.slack[i]):
            assert found.slack[i] == single.figures["security_slack"]
    assert found.plaintext_mb == singles[0].figures["plaintext_mb"]
    assert found.upload_mb == singles[0].figures["upload_mb"]
    assert 0 < found.feasible.sum() < len(sets)


def test_verdicts_on_pairs_are_those_of_single_configurations(networks: Any) -> None:
    rng = random.Random(3)
    sets = [drawn_pairs(rng) for _ in range(200)]
    packed = pack(networks.mlp(), sets[0].slots, sets[0])
    facts = facts_of(packed, drops="paired")
    found = static_batch(facts, ParamArrays.of(sets))
    assert facts.depth == 3
    for i, params in enumerate(sets):
        single = {v.rule for v in report(facts, params).violations}
        assert {rule for rule, hit in found.broken.items() if hit[i]} == single, params
    faint = [p.chain.levels[0] - p.scale < 7 and not p.weight_bits for p in sets]
    assert found.broken["scale_mismatch"][faint].all()
    assert 0 < found.feasible.sum() < len(sets)
    with pytest.raises(ConfigError, match="facts about other drops .got paired; expected each"):
        static_batch(facts, ParamArrays.of([GOOD]))
    with pytest.raises(ConfigError, match="one kind of drops"):
        ParamArrays.of([GOOD, sets[0]])


def test_a_risen_scale_must_leave_room_for_the_last_bias(networks: Any) -> None:
    """2^31 rises to 2^34, then to 2^40; the library refuses to encode a bias at 2^40 in 41 bits."""
    sets = [
        CkksParams(14, Chain(first, (60, 60, 31), (60,)), 31, drops="paired", weight_bits=32)
        for first in (41, 42)
    ]
    packed = pack(networks.mlp(), sets[0].slots, sets[0])
    facts = replace(facts_of(packed, drops="paired"), fitting=0.1, biases={})
    assert static_batch(facts, ParamArrays.of(sets)).feasible.tolist() == [False, True]


def test_a_spare_prime_may_have_any_size(networks: Any) -> None:
    """Inputs are encrypted below it, so nothing is ever rescaled by it."""
    depth = 5
    params = CkksParams(13, Chain(32, (24,) * depth + (17,), (44,)), 24)
    packed = pack(networks.mlp(), params.slots, params)
    assert not [v for v in report(packed, params).violations if v.rule == "scale_mismatch"]
    words = [{v.rule for v in violations(params, Demands(depth=d))} for d in (depth, depth + 1)]
    assert words == [set(), {"scale_mismatch"}]


def test_weights_that_repeat_may_be_fainter(known: dict[str, Facts]) -> None:
    """Of period p they have 2p coefficients to round, whatever the ring."""
    periods = known["mlp"].periods
    assert set(periods) == {n.name for n in known["mlp"].graph.nodes if n.linear is not None}
    params = CkksParams(13, Chain(46, (25,) * 5, (60,)), 39)  # leaves 2 * 25 - 39 = 11 bits
    words = {}
    for period in (64, 4096):
        facts = replace(known["mlp"], periods=dict.fromkeys(periods, period))
        words[period] = {v.rule for v in report(facts, params).violations}
    assert "scale_mismatch" not in words[64]
    assert words[4096] == words[64] | {"scale_mismatch"}


def test_a_packed_network_may_be_given_itself(networks: Any) -> None:
    graph = networks.chain((1, 4, 4), ("fc", 4))
    params = CkksParams(11, Chain(25, (20,), (30,)), 20)
    packed = pack(graph, params.slots, params)
    demands = Demands(security=Security(allow_insecure=True))
    assert static_batch(packed, ParamArrays.of([params]), demands).feasible.all()
    assert not static_batch(packed, ParamArrays.of([params])).feasible.any()


def test_arrays_must_fit_together() -> None:
    with pytest.raises(ConfigError, match="one ring"):
        ParamArrays.of([GOOD, CkksParams(14, GOOD.chain, 26)])
    with pytest.raises(ConfigError, match="one ring"):
        ParamArrays.of([])
    with pytest.raises(ConfigError, match="without bootstrapping"):
        ParamArrays.of([CkksParams(14, GOOD.chain, 26, bootstraps=("fc1",))])
    one = ParamArrays.of([GOOD])
    with pytest.raises(ConfigError, match=r"one length expected \(got lengths \[1, 2\]\)"):
        ParamArrays(13, one.first, one.levels, one.special, np.array([1, 2]), one.secret_weight)
    assert len(one) == 1
