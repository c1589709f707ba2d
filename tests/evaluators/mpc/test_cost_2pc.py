import math
from pathlib import Path

import pytest

from evaluators.mpc.cost_2pc import TABLES, Cost2PC, Cost2PCConfig
from search.api.candidate import Candidate
from search.api.errors import ConfigError, EvaluationError
from search.api.metric import Fidelity
from search.api.network import Site
from search.api.protocols import HasCostModels
from spaces.relu import NonlinearityPlan, ReluPlacement, SiteChoice

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
