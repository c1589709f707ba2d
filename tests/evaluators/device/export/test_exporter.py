from __future__ import annotations

import json
import random
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from evaluators.device.export.exporter import EveExport, options_of
from evaluators.device.integer_family import IntegerOptions
from search.api.candidate import Candidate
from search.api.errors import ConfigError
from search.workloads.image import ImageClassification
from search.workloads.nested import (
    NestedWeights,
    levels_of,
    private_state,
    save_nested,
    shared_weights,
)
from spaces.eve.family import Execution, LayerMode, ModeFamily, ModePlan

SITES = (("conv1", "filter"), ("conv2", "filter"), ("classifier", "block"))
COUNTS = {"conv1": (2, 4), "conv2": (3, 5), "classifier": (20, 40)}
BLOCK = 5


@pytest.fixture(scope="module")
def workload() -> ImageClassification:
    return ImageClassification(network={"name": "tiny_cnn", "widths": [4, 5]}, data="fashion_mini")


@pytest.fixture(scope="module")
def weights(workload: ImageClassification, tmp_path_factory: Any) -> Path:
    network = workload.build(0)
    torch.manual_seed(0)
    shared = {n: w.detach().clone() for n, w in shared_weights(network).items()}
    levels = {}
    for site, unit in SITES:
        value = shared[f"{site}.weight"]
        units = len(value) if unit == "filter" else len(value) * -(-value.shape[1] // BLOCK)
        level = levels_of(torch.randperm(units), COUNTS[site])
        if unit == "filter":
            spread = level.view(-1, 1, 1, 1).expand(value.shape)
        else:
            spread = level.view(len(value), -1).repeat_interleave(BLOCK, 1)[:, : value.shape[1]]
        levels[f"{site}.weight"] = spread.clone()
    own = private_state(network)
    nested = NestedWeights((0.5, 1.0), shared, levels, {}, (own, own))
    return save_nested(nested, tmp_path_factory.mktemp("weights") / "w.safetensors")


def payload(workload: ImageClassification, bits: int = 8) -> dict[str, Any]:
    rng = random.Random(0)
    members = []
    for mode in (1, 2):
        layers = []
        for site, unit in SITES:
            channels = BLOCK if unit == "block" else rng.randint(1, 4)
            shape = Execution(3, 5, 2, channels, rng.choice(("reuse_I", "reuse_W")), 2)
            layers.append(LayerMode(site, unit, COUNTS[site][mode - 1], 50, shape))
        members.append(ModePlan(mode, tuple(layers), bits))
    plain: dict[str, Any] = json.loads(json.dumps(asdict(ModeFamily(tuple(members)))))
    return plain


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc on this machine")
def test_a_family_is_exported_and_checks_itself(
    workload: ImageClassification, weights: Path, tmp_path: Path
) -> None:
    candidate: Candidate[Any] = Candidate("eve", payload(workload), weights)
    found = EveExport().export(candidate, workload, {}, tmp_path)
    assert set(found.files) == {"device"}
    assert not found.left_out
    assert "make check" in found.usage
    facts = json.loads((tmp_path / "device" / "model.json").read_text())
    assert facts["layers"]["classifier"]["levels"] == "block"
    done = subprocess.run(
        ["make", "check"], cwd=tmp_path / "device", capture_output=True, text=True
    )
    assert done.stdout.endswith("mode 1: same\nmode 2: same\n")
    lines = (tmp_path / "device" / "sample.txt").read_text().splitlines()
    assert len(lines) == 10


def test_what_cannot_be_written_is_told(
    workload: ImageClassification, weights: Path, tmp_path: Path
) -> None:
    without: Candidate[Any] = Candidate("eve", payload(workload), None)
    assert "no weights" in EveExport().export(without, workload, {}, tmp_path).left_out["device"]
    there: Candidate[Any] = Candidate("eve", payload(workload), weights)
    assert "no network" in EveExport().export(there, None, {}, tmp_path).left_out["device"]
    one = payload(workload)
    one["members"] = one["members"][:1]
    other: Candidate[Any] = Candidate("eve", one, weights)
    left = EveExport().export(other, workload, {}, tmp_path).left_out["device"]
    assert "2 modes (expected 1)" in left
    with pytest.raises(ConfigError, match="not a family"):
        EveExport().export(Candidate("eve", {}, weights), workload, {}, tmp_path)


def test_the_network_of_a_mode(workload: ImageClassification, weights: Path) -> None:
    made = payload(workload)
    sparse = EveExport().network(workload, made["members"][0], weights)
    dense = EveExport().network(workload, made["members"][1], weights)
    counts = [int((n.get_parameter("conv2.weight") != 0).sum()) for n in (sparse, dense)]
    assert counts == [3 * 4 * 9, 5 * 4 * 9]
    assert not sparse.training
    with pytest.raises(ConfigError, match="family of modes"):
        EveExport().network(workload, made, weights)


def test_integers_are_those_the_study_measured() -> None:
    inner = {"name": "integer_accuracy", "sum_bits": 32, "calibration_images": 7, "images": 3}
    spec = {
        "ladder": [
            {"evaluators": [{"name": "integer_accuracy"}]},
            {"evaluators": ["accuracy", {"name": "members", "of": [inner]}]},
        ]
    }
    assert options_of(spec) == IntegerOptions(sum_bits=32, calibration_images=7)
    assert options_of({}) == IntegerOptions()
