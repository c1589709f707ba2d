import dataclasses
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from evaluators.fhe.packing import pack
from evaluators.fhe.static import CkksStatic, CkksStaticConfig, report
from search import registry
from search.api.candidate import Candidate
from search.api.errors import ConfigError, EvaluationError, InfeasibleCandidate
from search.api.metric import Fidelity
from search.workloads.image import ImageClassification
from search.workloads.square import Square
from spaces.ckks.options import SecurityOptions
from spaces.ckks.params import Chain, CkksParams, LayerPacking
from spaces.ckks.rules import Demands
from spaces.ckks.security import Security

GOOD = CkksParams(13, Chain(36, (26,) * 5, (45,)), 26)
RUNG = Fidelity("static", 0)


class Trial:
    """A context as far as the static rung asks."""

    seed, device = 0, "cpu"

    def __init__(self, workdir: Path) -> None:
        self.workdir, self.notes = workdir, {}

    def note(self, name: str, value: object) -> None:
        self.notes[name] = value


def test_the_numbers_of_the_mlp(networks: Any) -> None:
    graph = networks.mlp()
    packed = pack(graph, GOOD.slots, GOOD)
    found = report(packed, GOOD)
    assert found.violations == ()
    assert found.warnings == ("the special prime has 45 bits, the first one 36: with 10 bits more "
                              "than the first, SEAL's key switching costs no precision (take 48; "
                              "it costs no time)",)  # fmt: skip
    figures = found.figures
    assert (figures["levels"], figures["log_qp"], figures["security_slack"]) == (5, 211, 3)
    assert figures["rotations"] == sum(li.rotations for li in packed.linears.values())
    assert figures["diagonals"] == sum(len(li.terms) for li in packed.linears.values())
    assert figures["upload_mb"] == 6 * 8192 * 8 / 1e6
    steps = {k for li in packed.linears.values() for _, k in li.babies | li.giants}
    steps |= {k for li in packed.linears.values() for k in li.folds}
    assert figures["key_mb"] == (len(steps) + 1) * 2 * 6 * 7 * 8192 * 8 / 1e6


def test_every_reason_is_told(networks: Any) -> None:
    graph = dataclasses.replace(networks.mlp(), ranges={"fc5": 500.0})
    bad = CkksParams(13, Chain(60, (55,) * 5, (20,)), 55)
    found = report(pack(graph, bad.slots, bad), bad, memory_limit_mb=50.0)
    assert [v.rule for v in found.violations] == ["insecure", "overflow", "imprecise", "memory"]
    short = dataclasses.replace(bad, chain=Chain(60, (55,) * 3, (60,)))
    rules = [v.rule for v in report(pack(graph, bad.slots, bad), short).violations]
    assert rules == ["insecure", "depth", "overflow"]


def test_an_uncovered_secret_has_no_slack(networks: Any) -> None:
    sparse = dataclasses.replace(GOOD, secret_weight=192)
    loose = Demands(security=Security(allow_insecure=True))
    found = report(pack(networks.mlp(), 4096, GOOD), sparse, loose)
    assert found.figures["security_slack"] == -211


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[ImageClassification, Path]:
    from safetensors.torch import save_model

    workload = ImageClassification(network="ckks_mlp", data="fashion_mini")
    file = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    save_model(workload.build(0), str(file))
    return workload, file


def test_the_evaluator_measures_what_it_declares(
    trained: tuple[ImageClassification, Path], tmp_path: Path
) -> None:
    workload, weights = trained
    evaluator, ctx = CkksStatic(workload), Trial(tmp_path)
    found = evaluator.evaluate(Candidate("ckks", GOOD, weights), RUNG, ctx)  # type: ignore[arg-type]
    assert [m.metric for m in found] == [m.name for m in evaluator.metrics]
    assert all(m.unit == d.unit for m, d in zip(found, evaluator.metrics, strict=True))
    evidence = {m.metric: m.evidence for m in found}
    assert (evidence["levels"], evidence["key_mb"]) == ("bound", "model")
    assert ctx.notes["ckks_warnings"]


def test_an_infeasible_candidate_carries_all_reasons(
    trained: tuple[ImageClassification, Path], tmp_path: Path
) -> None:
    workload, weights = trained
    evaluator = CkksStatic.from_config(CkksStaticConfig(memory_mb=1.0), workload)
    bad = CkksParams(13, Chain(50, (50,) * 4, (60,)), 50)
    with pytest.raises(InfeasibleCandidate) as caught:
        evaluator.evaluate(Candidate("ckks", bad, weights), RUNG, Trial(tmp_path))  # type: ignore[arg-type]
    assert [v.rule for v in caught.value.violations] == ["insecure", "depth", "overflow", "memory"]


def test_layouts_are_searched_once_for_all_chains(
    trained: tuple[ImageClassification, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import evaluators.fhe.static as module

    calls: list[object] = []
    original = module.pack
    monkeypatch.setattr(module, "pack", lambda *a: calls.append(1) or original(*a))
    workload, weights = trained
    evaluator = CkksStatic(workload)
    for scale in (24, 25, 26):
        params = dataclasses.replace(GOOD, scale=scale)
        evaluator.evaluate(Candidate("ckks", params, weights), RUNG, Trial(tmp_path))  # type: ignore[arg-type]
    assert len(calls) == 1


def test_weights_and_a_workload_are_needed(
    trained: tuple[ImageClassification, Path], tmp_path: Path
) -> None:
    with pytest.raises(EvaluationError, match="ckks_static needs trained weights"):
        CkksStatic(trained[0]).evaluate(Candidate("ckks", GOOD), RUNG, Trial(tmp_path))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="ckks_static needs a network"):
        CkksStatic(None)
    assert registry.load("evaluator", "ckks_static") is CkksStatic


def test_extreme_inputs_that_wrap_around_are_a_warning_or_forbidden(
    trained: tuple[ImageClassification, Path], tmp_path: Path
) -> None:
    workload, weights = trained
    ctx = Trial(tmp_path)
    narrow = dataclasses.replace(GOOD, chain=Chain(28, (26,) * 5, (45,)))
    candidate: Candidate[CkksParams] = Candidate("ckks", narrow, weights)
    evaluator = CkksStatic(workload)
    evaluator.evaluate(candidate, RUNG, ctx)  # type: ignore[arg-type]
    facts = evaluator._laid_out[0][2]
    assert 0 < facts.output_range < facts.graph.ranges["classifier"]
    wrapping = dataclasses.replace(facts, extreme=8.5)
    (word,) = [w for w in report(wrapping, narrow).warnings if "extreme" in w]
    assert "coefficients reach 8.5, and 2 fit" in word
    assert "3 bit more in the first prime" in word
    boundless = dataclasses.replace(facts, extreme=float("inf"))
    assert any("reach inf" in w for w in report(boundless, narrow).warnings)
    strict = CkksStatic(workload, CkksStaticConfig(cover_extremes=True))
    strict.evaluate(candidate, RUNG, ctx)  # type: ignore[arg-type]
    assert strict._laid_out[0][2].fitting == max(facts.fitting, facts.extreme)


def static_error(network: nn.Module, tmp_path: Path, params: CkksParams = GOOD) -> str:
    """What a user reads of ``network`` at the static rung."""
    from search.workloads.plan import save_weights

    workload = ImageClassification(network=lambda: network, data="digits")
    file = tmp_path / "bad.safetensors"
    save_weights(workload.build(0), file)
    loose = CkksStatic(workload, CkksStaticConfig(security=SecurityOptions(allow_insecure=True)))
    try:
        loose.evaluate(Candidate("ckks", params, file), RUNG, Trial(tmp_path))  # type: ignore[arg-type]
    except EvaluationError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (nn.Softmax(dim=-1), "2: Softmax has no secure form (known: Conv2d, Linear"),
        (nn.LayerNorm(16), "2: LayerNorm has no secure form (known: Conv2d, Linear"),
        (nn.GroupNorm(2, 16), "2: GroupNorm has no secure form (known: Conv2d, Linear"),
    ],
)
def test_a_layer_without_an_encrypted_form_is_named_with_its_site(
    layer: nn.Module, words: str, tmp_path: Path
) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), layer, nn.Linear(16, 10))
    assert words in static_error(network, tmp_path)


def test_a_max_pool_is_named_with_its_site(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 10))
    assert "1: " in static_error(network, tmp_path)


def test_weights_that_are_no_numbers_are_named_with_their_layer(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.Linear(16, 10))
    network[1].weight.data[0, 0] = float("nan")
    assert "NaN" in static_error(network, tmp_path)


def test_tensors_larger_than_the_slots_take_several_ciphertexts(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), Square(), nn.Flatten(),
                            nn.Linear(1024, 10))  # fmt: skip
    small = CkksParams(10, Chain(34, (26,) * 5, (45,)), 26)
    assert static_error(network, tmp_path, small) == ""
    square = dataclasses.replace(small, layers=(LayerPacking("0", "square"),))
    said = static_error(network, tmp_path, square)
    assert said == "" or "slots" in said


def test_a_polynomial_that_does_not_cover_its_range_is_infeasible(networks: Any) -> None:
    graph = networks.chain((1, 4, 4), ("fc", 8), ("polynomial", 7), ("fc", 4))
    wide = dataclasses.replace(graph, ranges={"fc1": 4.0})
    found = report(pack(wide, GOOD.slots, GOOD), GOOD).violations
    assert {v.rule for v in found} == {"imprecise"}
    assert all("polynomial2: values reach 4 times the interval" in v.detail for v in found)
