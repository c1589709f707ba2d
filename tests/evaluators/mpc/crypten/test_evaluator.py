import contextlib
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from evaluators.mpc.crypten import party
from evaluators.mpc.crypten.evaluator import Crypten2PC, Crypten2PCConfig
from search import Study
from search.api.candidate import Candidate
from search.api.errors import ConfigError, EvaluationError, MissingExtra
from search.api.metric import Fidelity
from search.api.network import Site
from search.workloads.canonical import canonicalise
from search.workloads.data.splits import Split, Splits
from search.workloads.masked import MaskedActivation, mask_digest
from search.workloads.plan import apply_plan, save_weights
from search.workloads.sites import trace_sites
from spaces.plan import ArtefactRef, NonlinearityPlan, SiteChoice

SHAPE = (1, 6, 6)
FULL = Fidelity("full", 0)


def split(n: int, seed: int) -> Split:
    x = torch.randn(n, *SHAPE, generator=torch.Generator().manual_seed(seed))
    return Split(x, (x.sum(dim=(1, 2, 3)) > 0).long())


@dataclass
class Tiny:
    """A real network and real tensors."""

    name: str = "tiny"
    data: Splits = field(
        default_factory=lambda: Splits(
            split(4, 0), split(9, 1), split(4, 2), 2, SHAPE, "signs", "0" * 16, (0.0,), (1.0,)
        )
    )

    def build(self, seed: int) -> nn.Module:
        torch.manual_seed(seed)
        network = nn.Sequential(
            nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Conv2d(3, 3, 3), nn.ReLU(), nn.Flatten(),
            nn.Linear(12, 2),
        )  # fmt: skip
        return canonicalise(network, SHAPE)

    def sites(self) -> tuple[Site, ...]:
        return trace_sites(self.build(0), SHAPE)  # type: ignore[arg-type]


@dataclass
class Here:
    seed: int = 0
    workdir: Path = Path()
    device: str = "cpu"
    notes: dict[str, Any] = field(default_factory=dict)

    def report(self, step: int, **values: float) -> None: ...

    def note(self, name: str, value: object) -> None:
        self.notes[name] = value

    def should_stop(self) -> bool:
        return False


@pytest.fixture
def masked(tmp_path: Path) -> Candidate[NonlinearityPlan]:
    workload = Tiny()
    network = apply_plan(workload.build(3), {"1": "relu/poly2", "3": "x2act"}, workload.sites())
    module = network.get_submodule("1")
    assert isinstance(module, MaskedActivation)
    module.set_mask(torch.arange(48).view(3, 4, 4) % 3 == 0)
    mask = ArtefactRef("mask", mask_digest(module.get_buffer("mask")))
    plan = NonlinearityPlan(
        (SiteChoice("1", "relu/poly2", (mask,), kept=16), SiteChoice("3", "x2act"))
    )
    return Candidate("nonlinearity", plan, save_weights(network, tmp_path / "w.safetensors"))


@pytest.mark.crypten
def test_measures_a_candidate_with_a_mask(masked: Candidate[NonlinearityPlan]) -> None:
    evaluator = Crypten2PC.from_config(Crypten2PCConfig(images=7, repeats=2), Tiny())
    ctx = Here()
    found = {m.metric: m for m in evaluator.evaluate(masked, FULL, ctx)}
    assert set(found) == {metric.name for metric in evaluator.metrics}
    assert {m.evidence for m in found.values()} == {"measured"}
    sent = 16 * (36 + 27) + 464 * 16 + 16 * 32 + 16 * (48 + 81) + 16 * 12 + 16 * (12 + 24)
    assert found["measured_bytes_2pc"].value == pytest.approx(1e-6 * sent)
    assert found["measured_rounds_2pc"].value == 3 + 9 + 1 + 1
    assert 0 < found["measured_latency_2pc"].value < 5000
    assert found["measured_latency_2pc"].n == 2
    assert found["measured_latency_2pc"].std is not None
    assert 0 < found["output_error_2pc"].value < 1e-3
    assert found["agreement_2pc"].value == 100.0
    assert found["agreement_2pc"].n == 7
    assert ctx.notes["crypten_2pc_setup_s"] > 0


@pytest.mark.crypten
def test_a_played_link_is_simulated(masked: Candidate[NonlinearityPlan]) -> None:
    config = Crypten2PCConfig.model_validate(
        {"images": 1, "repeats": 1, "network": {"bandwidth": "unlimited", "round_trip": "20 ms"}}
    )
    found = Crypten2PC.from_config(config, Tiny()).evaluate(masked, FULL, Here())
    assert [m.evidence for m in found] == ["simulated", *["measured"] * 4]
    assert found[0].value >= 14 * 10


@pytest.mark.crypten
def test_time_out_is_an_error_of_this_candidate(masked: Candidate[NonlinearityPlan]) -> None:
    with pytest.raises(EvaluationError, match=r"not done after 0.01 s"):
        Crypten2PC(Tiny(), timeout_s=0.01).evaluate(masked, FULL, Here())


def test_what_cannot_be_run(masked: Candidate[NonlinearityPlan]) -> None:
    evaluator = Crypten2PC(Tiny())
    plan = masked.payload
    with pytest.raises(EvaluationError, match="needs trained weights"):
        evaluator.evaluate(Candidate("nonlinearity", plan), FULL, Here())
    narrow = NonlinearityPlan((SiteChoice("1", "relu", relu_bits=8), SiteChoice("3", "relu")))
    with pytest.raises(EvaluationError, match=r"1: CrypTen compares in its whole ring"):
        evaluator.evaluate(Candidate("nonlinearity", narrow, masked.weights), FULL, Here())
    with pytest.raises(EvaluationError, match="payload of type str"):
        evaluator.evaluate(Candidate("text", "plan", masked.weights), FULL, Here())
    with pytest.raises(ConfigError, match="got no workload"):
        Crypten2PC(None)


def test_without_crypten_the_command_is_named(
    masked: Candidate[NonlinearityPlan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "crypten", None)
    with pytest.raises(MissingExtra, match="search doctor --install crypten"):
        Crypten2PC.from_config(Crypten2PCConfig(), Tiny())
    with pytest.raises(MissingExtra, match="search doctor --install crypten"):
        Crypten2PC(Tiny()).evaluate(masked, FULL, Here())


@pytest.mark.crypten
def test_a_network_without_a_secure_form_names_the_site(tmp_path: Path) -> None:
    class Smooth(Tiny):
        def build(self, seed: int) -> nn.Module:
            torch.manual_seed(seed)
            network = nn.Sequential(nn.Flatten(), nn.Linear(36, 2), nn.Tanh())
            return canonicalise(network, SHAPE)

    workload = Smooth()
    weights = save_weights(workload.build(0), tmp_path / "w.safetensors")
    with pytest.raises(EvaluationError, match="2: Tanh has no secure form"):
        Crypten2PC(workload).evaluate(
            Candidate("nonlinearity", NonlinearityPlan(()), weights), FULL, Here()
        )


@pytest.mark.crypten
@pytest.mark.slow
def test_a_killed_party_fails_its_trial_and_the_study_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole study with the rung on top; the parties of the first trial to reach it are killed."""
    monkeypatch.setenv("CIPHER_SEARCH_CACHE", str(tmp_path / "cache"))
    config = tmp_path / "study.yaml"
    config.write_text(CONFIG)
    study = Study.from_yaml(config, overrides=[f"study.directory={tmp_path / 'runs'}"])
    stop, killed = threading.Event(), list[int]()

    def kill_the_first() -> None:
        while not stop.is_set() and not killed:
            for entry in Path("/proc").iterdir():
                with contextlib.suppress(OSError):
                    mine = (
                        entry.name.isdigit()
                        and str(os.getpid())
                        == ((entry / "stat").read_text().rpartition(")")[2].split()[1])
                    )
                    if mine and party.__name__.encode() in (entry / "cmdline").read_bytes():
                        os.kill(int(entry.name), signal.SIGKILL)
                        killed.append(int(entry.name))
                        break
            time.sleep(0.02)

    killer = threading.Thread(target=kill_the_first)
    killer.start()
    study.run()
    stop.set()
    killer.join()
    trials = study.trials()
    assert [trial.status for trial in trials] == ["failed", "complete"]
    assert trials[0].outcome is not None
    assert "was killed by signal 9" in trials[0].outcome.error
    measured = trials[1].measurement("measured_rounds_2pc")
    assert measured is not None
    assert measured.value > 0


CONFIG = """
study: {name: measured, seed: 1}
workload:
  name: image_classification
  network: {name: resnet_mini, width: 4, large_blocks: 1}
  data: {name: fashion_mini, train: 64, validation: 32, test: 32}
  teacher: {epochs: 1}
space: relu_placement
method: finetune
searcher: random
runner: inline
objectives: [accuracy, measured_latency_2pc]
ladder:
  - rung: measured
    budget: {finetune_epochs: 1}
    evaluators: [accuracy, {name: crypten_2pc, images: 2, repeats: 1}]
budget: {trials: 2}
"""
