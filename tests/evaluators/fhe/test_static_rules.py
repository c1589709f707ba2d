import dataclasses
from typing import Any

import numpy as np
import pytest

from evaluators.fhe import reference
from evaluators.fhe.failures import BackendFailure
from evaluators.fhe.graph import Graph, Polynomial
from evaluators.fhe.headroom import MARGIN, largest_coefficient
from evaluators.fhe.levels import assign, circuit_of, depth
from evaluators.fhe.packed import Term
from evaluators.fhe.packing import pack
from evaluators.fhe.static_rules import Facts, Logs, broken, facts_of, flaws, total_mb
from spaces.ckks.params import Chain, CkksParams
from spaces.ckks.primes import primes_of

PARAMS = CkksParams(11, Chain(40, (30,) * 9, (50,)), 30)


def facts(graph: Graph, params: CkksParams = PARAMS) -> Facts:
    return facts_of(pack(graph, params.slots, params))


def logs(params: CkksParams = PARAMS) -> Logs:
    primes = primes_of(params.chain, params.log_n)[: params.chain.limbs]
    return Logs(params.log_n, np.log2(np.array(primes, dtype=float))[None], np.array([len(primes)]),
                np.array([1]), np.array([float(params.scale)]))  # fmt: skip


def rules(found: list[Any]) -> list[tuple[str, float]]:
    return [(b.rule, float(b.excess[0])) for b in found if b.excess[0] > 0]


@pytest.fixture
def small(networks: Any) -> Graph:
    graph: Graph = networks.chain((1, 6, 6), ("fc", 16), ("square",), ("fc", 4))
    return graph


def with_ranges(graph: Graph, **ranges: float) -> Graph:
    return dataclasses.replace(graph, ranges=ranges)


@pytest.mark.parametrize("kind", ["chain", "residual"])
def test_facts_are_those_of_the_circuit(networks: Any, kind: str) -> None:
    graph = networks.residual() if kind == "residual" else networks.mlp()
    params = dataclasses.replace(PARAMS, chain=Chain(40, (30,) * depth(graph), (50,)))
    packed = pack(graph, params.slots, params)
    found, circuit = facts_of(packed), circuit_of(packed, params)
    assert found.depth == depth(graph)
    assert found.steps == len(circuit.rotations)
    assert found.relinearise == circuit.relinearise
    assert sorted(found.weights) == sorted(circuit.weights.values())
    counts = [c for s in circuit.stages for c in s.counts]
    assert found.rotations == sum(c.count for c in counts if c.operation == "rotate")
    assert found.diagonals == sum(c.count for c in counts if c.operation == "multiply_plain")
    assert found.inputs == sum(c.count for c in counts if c.operation == "encrypt")


def test_a_network_of_known_ranges_passes(small: Graph) -> None:
    assert rules(broken(facts(with_ranges(small, fc1=3.0, square2=9.0, fc3=20.0)), logs())) == []


def test_a_value_that_wraps_around_is_told_with_its_place(small: Graph) -> None:
    narrow = dataclasses.replace(PARAMS, chain=Chain(34, (30,) * 3, (50,)))
    found = broken(facts(with_ranges(small, fc3=20.0)), logs(narrow))
    ((rule, excess),) = rules(found)
    assert rule == "overflow"
    assert excess == pytest.approx(np.log2(20) + 30 + 1 - 34, abs=1e-3)
    (hit,) = [b for b in found if b.excess[0] > 0]
    assert "fc3: coefficients up to 20 at scale 2^30.00 need 35.3 bit" in hit.detail(0)
    assert "2 bit more in the first prime" in hit.detail(0)


def test_a_bias_counts_as_a_value_even_if_the_sum_is_small(small: Graph) -> None:
    nodes = list(small.nodes)
    last = nodes[-1]
    assert last.linear is not None
    biased = dataclasses.replace(last.linear, bias=np.full(4, 1e6))
    nodes[-1] = dataclasses.replace(last, linear=biased)
    graph = Graph(tuple(nodes), {"fc3": 1.0})
    found = facts(graph)
    assert found.output_range == 2 * found.biases["fc3"] > 1e3
    assert [r for r, _ in rules(broken(found, logs()))] == ["overflow"]


def test_given_inputs_it_is_coefficients_that_must_fit(small: Graph) -> None:
    x = np.random.default_rng(0).random((50, 36))
    graph = with_ranges(small, **reference.ranges(small, x))
    packed = pack(graph, PARAMS.slots, PARAMS)
    sound, tight = facts_of(packed), facts_of(packed, x, 10 * x)
    assert sound.fitting == graph.ranges["fc3"]
    assert tight.fitting == MARGIN * largest_coefficient(packed, x) < sound.fitting
    assert tight.extreme == largest_coefficient(packed, 10 * x) > 30 * tight.fitting
    assert (sound.extreme, facts_of(packed, x, x[:0]).extreme) == (0.0, 0.0)


def test_before_a_last_addition_values_may_wrap_around(networks: Any) -> None:
    graph = networks.residual()
    nodes = graph.nodes[: [n.name for n in graph.nodes].index("add1") + 1]
    large = Graph(nodes, {"a2": 1e9, "act0": 1e9, "add1": 1.0})
    enough = dataclasses.replace(PARAMS, chain=Chain(60, (30,) * depth(large), (60,)))
    assert facts(large).needed["a2"] == 1
    assert rules(broken(facts(large), logs(enough))) == []


def test_intermediate_values_are_judged_at_their_own_modulus(small: Graph) -> None:
    large = with_ranges(small, fc1=2.0**36, square2=2.0**10, fc3=1.0)
    assert rules(broken(facts(large), logs())) == []
    larger = with_ranges(small, fc1=2.0**80, square2=1.0, fc3=1.0)
    assert [r for r, _ in rules(broken(facts(larger), logs()))] == ["overflow"]


def test_faint_squares_and_weights_are_scale_mismatches(small: Graph) -> None:
    wide = dataclasses.replace(PARAMS, chain=Chain(60, (45,) * 3, (60,)), scale=25)
    assert {r for r, _ in rules(broken(facts(small), logs(wide)))} == {"scale_mismatch"}
    tight = dataclasses.replace(PARAMS, chain=Chain(60, (25,) * 3, (60,)), scale=45)
    assert {r for r, _ in rules(broken(facts(small), logs(tight)))} == {"scale_mismatch"}


def test_scales_of_a_residual_network_are_those_assigned(networks: Any) -> None:
    graph = networks.residual()
    for scale, bits in ((30, 30), (30, 32), (30, 29)):
        levels = tuple(bits + i % 2 for i in range(depth(graph)))
        params = CkksParams(11, Chain(45, levels, (50,)), scale)
        primes = primes_of(params.chain, 11)
        try:
            assign(graph, params, primes[: params.chain.limbs])
            agreed = True
        except BackendFailure as failure:
            agreed = failure.kind != "scale_mismatch"
        found = [b for b in broken(facts(graph), logs(params)) if "no linear map" in b.detail(0)]
        assert all(b.excess[0] <= 0 for b in found) == agreed


def test_polynomials_must_cover_their_inputs(networks: Any) -> None:
    graph = networks.chain((1, 4, 4), ("fc", 8), ("polynomial", 3), ("fc", 4))
    inside = with_ranges(graph, fc1=1.0, polynomial2=1.0, fc3=1.0)
    assert rules(broken(facts(inside), logs())) == []
    found = broken(facts(with_ranges(graph, fc1=6.0)), logs())
    assert rules(found) == [("imprecise", 5.0)]
    assert "polynomial2: values reach 6 times the interval" in found[0].detail(0)
    assert "Nearest: 6 times the margin" in found[0].detail(0)
    # A little outside, the polynomial still goes on as it came.
    assert rules(broken(facts(with_ranges(graph, fc1=1.1)), logs())) == []
    endless = broken(facts(with_ranges(graph, fc1=1e200)), logs())
    assert ("imprecise", 1e200) in rules(endless)


def test_terms_of_a_series_amplify_noise_outside_its_interval(networks: Any) -> None:
    graph = networks.chain((1, 4, 4), ("fc", 8), ("polynomial", 15), ("fc", 4))
    tame = Polynomial((0.5, 0.5, *(1e-13,) * 14))  # as flat as a line at 3 times its interval
    nodes = tuple(
        dataclasses.replace(n, polynomial=tame) if n.kind == "polynomial" else n
        for n in graph.nodes
    )
    for scale, refused in ((24, True), (40, False)):
        params = CkksParams(11, Chain(scale + 10, (scale,) * 9, (60,)), scale)
        found = broken(facts(Graph(nodes, {"fc1": 2.5})), logs(params))
        assert rules(found) == ([("imprecise", pytest.approx(4 - (scale - 12 - 17.1), abs=0.2))]
                                if refused else [])  # fmt: skip
        (told,) = [b for b in found if "amplify noise by 17 bit" in b.detail(0)]
        assert "2.5 times the interval" in told.detail(0)
        assert rules(broken(facts(Graph(nodes, {"fc1": 1.0})), logs(params))) == []


def test_rotations_before_rescaling_are_not_faint(small: Graph) -> None:
    packed = pack(small, PARAMS.slots, PARAMS)
    for linear in packed.linears.values():
        assert not linear.early
    ways = {}
    for fold_first in (False, True):
        linears = {
            name: dataclasses.replace(
                li, fold_first=fold_first, folds=(16, 32), terms=(Term(0, 0, 0, 4),)
            )
            for name, li in packed.linears.items()
        }
        ways[fold_first] = facts_of(dataclasses.replace(packed, linears=linears)).faint_rotations
    assert ways == {False: True, True: False}
    baby = dataclasses.replace(packed.linears["fc3"], terms=(Term(0, 0, 4, 0),), fold_first=True)
    rotated = dataclasses.replace(packed, linears={**packed.linears, "fc3": baby})
    assert facts_of(rotated).faint_rotations


def test_weights_that_are_not_finite_are_told(small: Graph) -> None:
    nodes = list(small.nodes)
    assert nodes[1].linear is not None
    matrix = nodes[1].linear.matrix.copy()
    matrix.data[0] = np.nan
    nodes[1] = dataclasses.replace(
        nodes[1], linear=dataclasses.replace(nodes[1].linear, matrix=matrix)
    )
    base = facts(small)
    bad = dataclasses.replace(base, flaws=tuple(flaws(Graph(tuple(nodes), {}))))
    assert rules(broken(bad, logs())) == [("unsupported", 1.0)]


def test_memory_beyond_the_limit(small: Graph) -> None:
    found = facts(small)
    keys, plain, upload = total_mb(found, logs())
    assert keys[0] == pytest.approx(found.keys * 2 * 10 * 11 * 2048 * 8 / 1e6)
    assert upload == found.inputs * 4 * 2048 * 8 / 1e6
    total = float(keys[0]) + plain
    assert rules(broken(found, logs(), total + 0.1)) == []
    ((rule, excess),) = rules(broken(found, logs(), total - 2.0))
    assert (rule, pytest.approx(excess)) == ("memory", 2.0)


def test_a_chain_that_is_too_short_has_no_scales_to_judge(small: Graph) -> None:
    short = dataclasses.replace(PARAMS, chain=Chain(31, (30,), (50,)))
    assert rules(broken(facts(with_ranges(small, fc3=1e9)), logs(short))) == []
