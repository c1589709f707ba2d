import json
import math
import pickle
from pathlib import Path
from typing import Any

import pytest

from evaluators.mpc.cost_2pc import TABLES, Cost2PC, Cost2PCConfig, tables_with
from evaluators.mpc.networks import NetworkConfig, find_network
from search.api.candidate import Candidate
from search.api.errors import ConfigError, EvaluationError
from search.api.metric import Fidelity
from search.api.network import Site
from search.api.protocols import HasCostModels
from spaces.relu import ArtefactRef, NonlinearityPlan, ReluPlacement, SiteChoice

SITES = (
    Site("conv", "conv", "conv", (1, 4, 4), (2, 4, 4), macs=288, weights=18),
    Site("bn", "norm", "batchnorm", (2, 4, 4), (2, 4, 4)),
    Site("act", "activation", "relu", (2, 4, 4), (2, 4, 4)),
    Site("pool", "pool", "maxpool", (2, 4, 4), (2, 2, 2)),
    Site("fc", "linear", "linear", (8,), (10,), macs=80, weights=80),
)
HERE = Fidelity("rung", 0)


class Network:
    def sites(self) -> tuple[Site, ...]:
        return SITES


def plan(activation: str, pool: str) -> Candidate[NonlinearityPlan]:
    space = ReluPlacement(SITES)
    return Candidate(space.kind, space.build({"activation": (activation,), "pool": (pool,)}))


def values(evaluator: Cost2PC, candidate: Candidate[NonlinearityPlan]) -> dict[str, float]:
    found = evaluator.evaluate(candidate, HERE, None)  # type: ignore[arg-type]
    assert [m.metric for m in found] == [m.name for m in evaluator.metrics]
    assert all((m.evidence, m.fidelity) == ("model", "rung") for m in found)
    assert [m.unit for m in found] == ["ms", "MB", "1", "J"]
    return {m.metric: m.value for m in found}


def test_polynomials_cost_less_than_comparisons() -> None:
    evaluator = Cost2PC.from_config(Cost2PCConfig(), Network())
    dear, cheap = values(evaluator, plan("relu", "max")), values(evaluator, plan("x2act", "avg"))
    assert all(cheap[name] < dear[name] for name in dear)
    assert dear["rounds_2pc"] == 2 + 4 + 7 + 2
    assert cheap["rounds_2pc"] == 2 + 2 + 0 + 2
    assert cheap["bytes_2pc"] == pytest.approx(8e-6 * (16 + 32 + 8))


def test_cost_models_are_those_it_scores_with_and_break_down_by_site() -> None:
    evaluator = Cost2PC(SITES)
    assert isinstance(evaluator, HasCostModels)
    assert evaluator.needs == frozenset()
    candidate = plan("relu", "max")
    usage = candidate.payload.usage(SITES)
    for name, model in evaluator.cost_models().items():
        by_site = model.breakdown(usage)
        assert list(by_site) == [s.name for s in SITES]
        assert math.fsum(by_site.values()) == pytest.approx(model.cost(usage))
        assert values(evaluator, candidate)[name] == model.cost(usage)


def test_constants_are_overridable_from_the_configuration() -> None:
    config = Cost2PCConfig(overrides={"startup": "1 ms", "boards": 1})
    slow = values(Cost2PC.from_config(config, Network()), plan("relu", "max"))
    fast = values(Cost2PC(SITES), plan("relu", "max"))
    assert slow["latency_2pc"] - fast["latency_2pc"] == pytest.approx(15 * 0.95)
    assert slow["energy_2pc"] == pytest.approx(16 * slow["latency_2pc"] / 1e3)


def test_a_table_of_ones_own(tmp_path: Path) -> None:
    text = (TABLES / "pasnet_fpga.toml").read_text().replace("value = 50\n", "value = 0\n")
    (tmp_path / "mine.toml").write_text(text)
    mine = Cost2PC(SITES, str(tmp_path / "mine.toml"))
    assert mine.table.name == "mine"
    assert values(mine, plan("relu", "max"))["latency_2pc"] < 0.05
    (tmp_path / "other.toml").write_text(text.replace("fpga_2pc", "fpga_3pc"))
    with pytest.raises(ConfigError, match=r"family: unknown family 'fpga_3pc' \(known: fpga_2pc"):
        Cost2PC(SITES, str(tmp_path / "other.toml"))


def test_protocols_on_networks() -> None:
    config = Cost2PCConfig(protocol="crypten", network="wan", calibration="none")
    wan = Cost2PC.from_config(config, Network())
    lan = Cost2PC(SITES, protocol="crypten", calibration="none")
    mine = NetworkConfig(bandwidth="400 Mbit/s", round_trip="40 ms")
    own = Cost2PC.from_config(config.model_copy(update={"network": mine}), Network())
    dear = plan("relu", "max")
    found = values(wan, dear)
    assert found["rounds_2pc"] == 1 + 9 + 46 + 1
    assert found["bytes_2pc"] == pytest.approx(
        1e-6 * (16 * (16 + 18) + 32 * 464 + 8 * 5920 + 16 * (8 + 80))
    )
    assert values(own, dear) == found
    assert wan.network == find_network("wan")
    assert lan.network == find_network("lan")
    slower = 57 * (20 - 0.15) + found["bytes_2pc"] * (8e3 / 400 - 8e3 / 3000)
    assert found["latency_2pc"] - values(lan, dear)["latency_2pc"] == pytest.approx(slower)


def test_options_of_protocols_come_from_the_configuration() -> None:
    config = Cost2PCConfig.model_validate(
        {"protocol": "gc_ring", "layers": "nonlinear", "overrides": {"ring_bits": 64},
         "network": {"bandwidth": "1 GB/s", "round_trip": "1 ms"}, "maxpool": "tree"}
    )  # fmt: skip
    made = Cost2PC.from_config(config, Network())
    assert made.cost_models()["rounds_2pc"].cost(
        plan("relu", "max").payload.usage(SITES)
    ) == 2 + 4  # fmt: skip
    assert made.table.value("ring_bits", "bit") == 64
    assert "linear layers left out" in made.metrics[0].source


def test_a_masked_layer_keeps_its_rounds_and_its_width() -> None:
    made = Cost2PC(SITES, protocol="crypten")
    masked = ("relu/poly2", (ArtefactRef("mask", "0" * 64),), 8)
    pool = SiteChoice("pool", "avg")
    found = {
        bits: values(
            made, Candidate("k", NonlinearityPlan((SiteChoice("act", *masked, bits), pool)))
        )
        for bits in (None, 16)
    }
    none = values(made, plan("x2act", "avg"))
    assert found[None]["rounds_2pc"] == none["rounds_2pc"] + 9
    assert found[None]["bytes_2pc"] == pytest.approx(none["bytes_2pc"] + 8e-6 * (464 - 16))
    assert found[16]["rounds_2pc"] == none["rounds_2pc"] + 7
    assert found[16]["bytes_2pc"] == pytest.approx(none["bytes_2pc"] + 8e-6 * (120 - 16))


def test_measured_times_are_used_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIPHER_SEARCH_CACHE", str(tmp_path))
    before = Cost2PC(SITES, protocol="crypten", network="loopback")
    assert before.calibration == "shipped with the table"
    data = {"schema": 1, "backend": "crypten", "host": {"name": "box"}, "date": "2026-01-31",
            "cpu_seconds": {"relu": {"call": 100.0}}}  # fmt: skip
    (tmp_path / "calibration").mkdir()
    (tmp_path / "calibration" / "2pc-crypten.json").write_text(json.dumps(data))
    after = Cost2PC(SITES, protocol="crypten", network="loopback")
    assert after.calibration == "measured on box, 2026-01-31, for relu"
    assert "CPU times measured on box" in after.metrics[0].source
    assert values(after, plan("relu", "avg"))["latency_2pc"] > 100e3
    none = Cost2PC(SITES, protocol="crypten", network="loopback", calibration="none")
    dear = plan("relu", "max")
    assert values(none, dear) == values(before, dear) != values(after, dear)


def test_fpga_on_another_network() -> None:
    candidate = plan("relu", "max")
    assert values(Cost2PC(SITES, network="fast_lan"), candidate) == pytest.approx(
        values(Cost2PC(SITES), candidate)
    )
    wan = Cost2PC(SITES, network="wan")
    by_hand = Cost2PC(SITES, overrides={"bandwidth": "400 Mbit/s", "startup": "20 ms"})
    assert values(wan, candidate) == pytest.approx(values(by_hand, candidate))
    assert wan.calibration == "none: the table has no CPU times"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"table": "crypten", "protocol": "crypten"}, "protocol: give table or protocol, not both"),
        ({"protocol": "cripten"}, "protocol: unknown protocol 'cripten'.*Did you mean 'crypten'"),
        ({"protocol": "my.toml"}, "protocol: a table of one's own is given as `table`"),
        ({"protocol": "crypten", "network": "van"}, "network: unknown network 'van'"),
        ({"protocol": "crypten", "overrides": {"parties": -2}}, "overrides.parties: .* 0 or more"),
        ({"protocol": "crypten", "overrides": {"relu_hops": 3}}, "unknown constant of table"),
        ({"protocol": "crypten", "calibration": "no.json"}, "no.json: .*cannot read the calib"),
        ({"calibration": "mine.json"}, "models an FPGA: calibration, maxpool and layers do not"),
        ({"layers": "nonlinear"}, "models an FPGA"),
        ({"network": "loopback"}, "needs a finite bandwidth"),
        ({"network": "wan", "overrides": {"startup": "1 ms"}}, "startup is set by the network"),
        ({"protocol": "gc_ring"}, r"conv: operator 'conv' has no cost in table 'gc_ring' .*Tables "
                                  r"that have it: aby3, .*crypten, .*pasnet_fpga"),
    ],
)  # fmt: skip
def test_what_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Cost2PC(SITES, **options)


def test_an_operator_of_a_plan_that_the_protocol_lacks() -> None:
    made = Cost2PC(SITES, protocol="gc_ring", layers="nonlinear")
    message = r"act: operator 'x2act' has no cost in table 'gc_ring' .*Tables that have it: aby3"
    with pytest.raises(EvaluationError, match=message):
        made.evaluate(plan("x2act", "avg"), HERE, None)  # type: ignore[arg-type]


def test_tables_with_an_operator() -> None:
    assert "gc_field" in tables_with("relu")
    assert "cryptflow2_field" not in tables_with("poly3")
    assert "pasnet_fpga" in tables_with("poly3")
    assert tables_with("sigmoid") == "Tables that have it: none."


def test_models_cross_processes() -> None:
    models = pickle.loads(pickle.dumps(Cost2PC(SITES, protocol="semi2k").cost_models()))
    usage = plan("relu", "max").payload.usage(SITES)
    assert models["bytes_2pc"].cost(usage) > 0


def test_unknown_table() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'pasnet_fpga'"):
        Cost2PC(SITES, "pasnet_fgpa")


def test_a_network_the_table_cannot_cost_is_refused_at_the_start() -> None:
    gate = Site("se.gate", "other", "sigmoid", (4,), (4,))
    with pytest.raises(ConfigError, match=r"se\.gate: operator 'sigmoid' has no cost in table"):
        Cost2PC((*SITES, gate))


def test_an_original_activation_matters_only_if_it_stays() -> None:
    sites = (*SITES, Site("act2", "activation", "gelu", (10,), (10,)))
    evaluator = Cost2PC(sites)
    chosen = [SiteChoice("act", "relu"), SiteChoice("pool", "max")]
    replaced = NonlinearityPlan((*chosen, SiteChoice("act2", "x2act")))
    evaluator.evaluate(Candidate("k", replaced), HERE, None)  # type: ignore[arg-type]
    with pytest.raises(EvaluationError, match="act2: operator 'gelu' has no cost"):
        evaluator.evaluate(Candidate("k", NonlinearityPlan(tuple(chosen))), HERE, None)  # type: ignore[arg-type]


def test_without_a_network() -> None:
    with pytest.raises(ConfigError, match="cost_2pc needs a network"):
        Cost2PC.from_config(Cost2PCConfig(), None)
