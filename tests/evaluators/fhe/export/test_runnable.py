from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from evaluators.fhe import reference
from evaluators.fhe.export.runnable import IMAGES, write_runnable
from evaluators.fhe.packed import PackedNetwork
from spaces.ckks.params import CkksParams
from spaces.ckks.primes import primes_of


@pytest.fixture(scope="module")
def workload() -> Any:
    images = torch.rand(30, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    split = SimpleNamespace(x=images, y=torch.arange(30) % 4)
    return SimpleNamespace(
        data=SimpleNamespace(validation=split, mean=torch.tensor([0.5]), std=torch.tensor([0.25]))
    )


@pytest.fixture
def folder(packed: PackedNetwork, params: CkksParams, workload: Any, tmp_path: Path) -> Path:
    write_runnable(tmp_path, packed, params, workload)
    return tmp_path


def test_what_lies_in_the_folder(folder: Path) -> None:
    assert {file.name for file in folder.iterdir()} == {
        "README.txt", "infer.py", "ckks_engine", "program", "slots.npz", "samples.npz",
        "model.json",
    }  # fmt: skip
    suffixes = {file.suffix for file in folder.rglob("*") if file.is_file()}
    assert suffixes == {".txt", ".py", ".npz", ".npy", ".json"}
    text = (folder / "README.txt").read_text()
    assert "Ring dimension 8192, 4 primes and one for key switching" in text


def test_no_array_needs_pickle(folder: Path) -> None:
    for file in [*folder.rglob("*.npy"), *folder.rglob("*.npz")]:
        found = np.load(file, allow_pickle=False)
        for array in found.values() if file.suffix == ".npz" else [found]:
            assert array.dtype != object


def test_slots_move_numbers_as_the_packing_does(
    folder: Path, packed: PackedNetwork, workload: Any
) -> None:
    slots = np.load(folder / "slots.npz")
    x = workload.data.validation.x[0].numpy().reshape(-1).astype(np.float64)
    np.testing.assert_array_equal(np.append(x, 0.0)[slots["inputs"]], packed.encode_input(x))
    last = packed.layouts[packed.graph.nodes[-1].name]
    values = np.random.default_rng(0).random((last.ciphertexts, packed.slots))
    expected = packed.decode_output(values)
    np.testing.assert_array_equal(values.reshape(-1)[slots["outputs"]], expected)


def test_samples_have_the_outputs_of_the_cleartext_network(
    folder: Path, packed: PackedNetwork, workload: Any
) -> None:
    samples = np.load(folder / "samples.npz")
    assert len(samples["inputs"]) == IMAGES
    np.testing.assert_array_equal(
        samples["outputs"], reference.run(packed.graph, samples["inputs"])
    )
    np.testing.assert_array_equal(samples["labels"], np.arange(IMAGES) % 4)


def test_the_program_has_the_exact_primes(folder: Path, params: CkksParams) -> None:
    program = json.loads((folder / "program/program.json").read_text())
    assert (*program["primes"], *program["special"]) == primes_of(params.chain, 13)
    model = json.loads((folder / "model.json").read_text())
    assert model == {"input_shape": [1, 4, 4], "outputs": 4, "mean": [0.5], "std": [0.25]}


def test_data_without_labels_and_normalisation(
    packed: PackedNetwork, params: CkksParams, tmp_path: Path
) -> None:
    split = SimpleNamespace(x=torch.zeros(2, 1, 4, 4))
    workload = SimpleNamespace(data=SimpleNamespace(validation=split))
    write_runnable(tmp_path, packed, params, workload)
    assert "labels" not in np.load(tmp_path / "samples.npz")
    assert json.loads((tmp_path / "model.json").read_text())["mean"] is None
