from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from evaluators.accuracy import Accuracy
from evaluators.fixed_point import FixedPoint, FixedPointConfig
from search.api.candidate import Candidate
from search.api.errors import ConfigError, EvaluationError
from search.api.metric import Fidelity
from search.api.protocols import HasTestSplit
from search.workloads.image import ImageClassification
from search.workloads.masked import MaskedActivation, mask_digest
from search.workloads.plan import apply_plan, save_weights
from spaces.plan import ArtefactRef, NonlinearityPlan, SiteChoice

HERE = SimpleNamespace(seed=3, workdir=Path(), device="cpu")
FIDELITY = Fidelity("top", 1)


@pytest.fixture(scope="module")
def workload() -> ImageClassification:
    return ImageClassification("resnet_tiny", {"name": "digits", "train": 600})


@pytest.fixture(scope="module")
def trained(workload: ImageClassification) -> nn.Module:
    from search.methods.trainer import Recipe, train

    network = workload.build(0)
    train(network, workload.data.train, Recipe(3, 0.01, 32, optimizer="adam"), seed=0)
    return network


def candidate(
    workload: ImageClassification, network: nn.Module, folder: Path, relu_bits: int | None = None
) -> Candidate[NonlinearityPlan]:
    choices = tuple(
        SiteChoice(s.name, "relu", relu_bits=relu_bits)
        for s in workload.sites()
        if s.kind == "activation"
    )
    weights = save_weights(network, folder / "w.safetensors")
    return Candidate("relu_placement", NonlinearityPlan(choices), weights)


def values(found: object) -> dict[str, float]:
    return {m.metric: m.value for m in found}


def test_sixteen_fraction_bits_keep_the_accuracy(
    workload: ImageClassification, trained: nn.Module, tmp_path: Path
) -> None:
    made = candidate(workload, trained, tmp_path)
    evaluator = FixedPoint.from_config(FixedPointConfig(), workload)
    found = evaluator.evaluate(made, FIDELITY, HERE)
    (plain,) = Accuracy(workload).evaluate(made, FIDELITY, HERE)
    assert plain.value > 60
    assert values(found)["accuracy_fixed"] == pytest.approx(plain.value, abs=0.5)
    assert values(found)["overflow_share"] == 0
    assert 0 < values(found)["output_error_fixed"] < 0.02
    assert [m.metric for m in found] == [m.name for m in evaluator.metrics]
    assert {(m.evidence, m.split, m.n) for m in found} == {("simulated", "validation", 297)}
    assert found[0].low is not None
    assert evaluator.needs == {"weights", "data"}
    again = evaluator.evaluate(made, FIDELITY, HERE)
    assert again == found


def test_coarse_numbers_and_small_rings_cost_accuracy(
    workload: ImageClassification, trained: nn.Module
) -> None:
    fine = FixedPoint(workload).run(trained, "validation")
    coarse = FixedPoint(workload, fraction_bits=2).run(trained, "validation")
    small = FixedPoint(workload, ring_bits=20, truncation="exact").run(trained, "validation")
    assert coarse.correct < fine.correct - 30
    assert coarse.output_error > 100 * fine.output_error
    assert small.overflow_share > 0.01
    assert small.correct < fine.correct - 30


def test_the_test_split_is_measured_apart(
    workload: ImageClassification, trained: nn.Module, tmp_path: Path
) -> None:
    evaluator = FixedPoint(workload, images=50)
    assert isinstance(evaluator, HasTestSplit)
    made = candidate(workload, trained, tmp_path)
    once = evaluator.evaluate_test(made, FIDELITY, HERE)
    assert {(m.split, m.n) for m in once} == {("test", 50)}


def test_fewer_bits_of_a_comparison_by_plan_or_for_all(
    workload: ImageClassification, trained: nn.Module, tmp_path: Path
) -> None:
    def error(made: Candidate[NonlinearityPlan], **options: int) -> float:
        found = FixedPoint(workload, **options).evaluate(made, FIDELITY, HERE)
        return values(found)["output_error_fixed"]

    plain = candidate(workload, trained, tmp_path)
    full, few = error(plain), error(plain, relu_bits=5)
    assert few > 10 * full
    assert error(plain, relu_bits=12) < few
    assert error(candidate(workload, trained, tmp_path, relu_bits=5)) == few
    assert error(candidate(workload, trained, tmp_path, relu_bits=64), relu_bits=5) == full


def test_masked_sites(workload: ImageClassification, trained: nn.Module, tmp_path: Path) -> None:
    network = workload.build(0)
    sites = [s for s in workload.sites() if s.kind == "activation"]
    apply_plan(network, {s.name: "relu/identity" for s in sites}, workload.sites())
    network.load_state_dict(trained.state_dict(), strict=False)
    choices = []
    for site in sites:
        module = network.get_submodule(site.name)
        assert isinstance(module, MaskedActivation)
        module.set_mask(torch.rand(site.input_shape, generator=torch.manual_seed(1)) < 0.5)
        mask = module.get_buffer("mask")
        ref = ArtefactRef("mask", mask_digest(mask))
        choices.append(SiteChoice(site.name, "relu/identity", (ref,), kept=int(mask.sum())))
    weights = save_weights(network, tmp_path / "w.safetensors")
    made = Candidate("relu_placement", NonlinearityPlan(tuple(choices)), weights)
    found = values(FixedPoint(workload).evaluate(made, FIDELITY, HERE))
    (plain,) = Accuracy(workload).evaluate(made, FIDELITY, HERE)
    assert found["accuracy_fixed"] == pytest.approx(plain.value, abs=1.0)
    assert 0 < found["output_error_fixed"] < 0.05


def test_what_cannot_be_measured_says_why(
    workload: ImageClassification, trained: nn.Module, tmp_path: Path
) -> None:
    made = candidate(workload, trained, tmp_path)
    evaluator = FixedPoint(workload)
    for wrong, message in (
        (replace(made, weights=None), "fixed_point needs trained weights"),
        (Candidate(made.kind, {"x": 1}, made.weights), "payload of type dict"),
        (replace(made, weights=tmp_path / "none"), "no such file"),
    ):
        with pytest.raises(EvaluationError, match=message):
            evaluator.evaluate(wrong, FIDELITY, HERE)
    with pytest.raises(ConfigError, match="fixed_point needs a network and data"):
        FixedPoint.from_config(FixedPointConfig(), None)
    with pytest.raises(ConfigError, match="30 fraction bits leave no room in a ring of 24 bits"):
        FixedPoint(workload, ring_bits=24, fraction_bits=30)
    broken = workload.build(0).eval()
    with torch.no_grad():
        next(iter(broken.parameters())).fill_(float("nan"))
    with pytest.raises(EvaluationError, match="diverged"):
        evaluator.run(broken, "validation")
