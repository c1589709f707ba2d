"""The exported C program gives the outputs of the integer network in PyTorch, bit for bit."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from evaluators.device.export.runnable import build, input_text, write_runnable
from search.api.errors import EvaluationError
from search.workloads.eve.integer import IntegerFamily
from search.workloads.image import ImageClassification

needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc on this machine")
Random = Callable[..., tuple[IntegerFamily, Tensor]]
SANITISED = ("-O0", "-fsanitize=undefined,address", "-fno-sanitize-recover=all")
UNITS = {
    "lenet5": {
        "conv1": ("pattern", 0), "conv2": ("pattern", 0), "linear3": ("block", 16),
        "linear4": ("block", 10), "classifier": ("filter", 0),
    },
    "tiny_cnn": {
        "conv1": ("filter", 0), "conv2": ("pattern", 0), "conv3": ("filter", 0),
        "classifier": ("block", 7),
    },
}  # fmt: skip


def outputs(program: Path, mode: int, inputs: Tensor) -> Tensor:
    done = subprocess.run(
        [str(program), str(mode)], input=input_text(inputs), capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    return torch.tensor([[int(v) for v in line.split()] for line in done.stdout.splitlines()])


def agree(program: Path, family: IntegerFamily, images: Tensor) -> None:
    inputs = family.quantise(images)
    for mode in range(1, family.modes + 1):
        found = outputs(program, mode, inputs)
        assert torch.equal(found, family.run(mode, inputs).flatten(1))


@needs_gcc
@pytest.mark.parametrize(("seed", "bits"), [(s, 8 if s % 2 else 16) for s in range(1, 7)])
def test_random_families_agree(seed: int, bits: int, random_family: Random, tmp_path: Path) -> None:
    """Odd tiles, every order, padding, strides, pools, every coding, 1 to 4 modes."""
    family, images = random_family(seed, bits, 32 if seed == 2 else None)
    write_runnable(tmp_path, family, images[:2])
    agree(build(tmp_path, ("-O0",)), family, images)


@needs_gcc
@pytest.mark.parametrize(("seed", "bits"), [(3, 16)])
def test_nothing_undefined_happens(
    seed: int, bits: int, random_family: Random, tmp_path: Path
) -> None:
    family, images = random_family(seed, bits)
    write_runnable(tmp_path, family, images[:2])
    try:
        program = build(tmp_path, SANITISED)
    except EvaluationError as error:
        pytest.skip(f"gcc cannot sanitise here: {error}")
    agree(program, family, images)


@needs_gcc
@pytest.mark.parametrize(("network", "bits"), [("tiny_cnn", 16), ("lenet5", 8)])
def test_networks_on_real_images(
    network: str, bits: int, family_of: Callable[..., IntegerFamily], tmp_path: Path
) -> None:
    workload = ImageClassification(network=network, data="fashion_mini")
    images = workload.data.train.x[:64]
    family = family_of(workload.build(0), images, UNITS[network], bits=bits)
    source = write_runnable(tmp_path, family, images[:3], workload.data)
    assert "weight" not in source.codings.values()
    agree(build(tmp_path), family, workload.data.validation.x[:20])
    facts = json.loads((tmp_path / "model.json").read_text())
    assert facts["mean"] == pytest.approx(list(workload.data.mean))
    assert facts["modes"] == 3


@needs_gcc
def test_the_makefile_checks_every_mode(random_family: Random, tmp_path: Path) -> None:
    family, images = random_family(5, 8)
    write_runnable(tmp_path, family, images[:4])
    done = subprocess.run(["make", "check"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(": same") == family.modes
    expected = tmp_path / "expected_mode1.txt"
    expected.write_text(expected.read_text().replace("1", "2"))
    assert subprocess.run(["make", "check"], cwd=tmp_path, capture_output=True).returncode != 0


@needs_gcc
def test_the_program_refuses_what_it_cannot_run(random_family: Random, tmp_path: Path) -> None:
    family, images = random_family(2, 8)
    write_runnable(tmp_path, family, images[:1])
    program = build(tmp_path, ("-O0",))
    for words, text, told in (
        (["9"], "", "MODE 1"), ([], "", "usage"), (["1"], "1 2", "whole number"),
        (["1"], "99999", "does not fit"),
    ):  # fmt: skip
        done = subprocess.run([str(program), *words], input=text, capture_output=True, text=True)
        assert done.returncode != 0
        assert told in done.stderr


def test_the_same_family_gives_the_same_bytes(random_family: Random, tmp_path: Path) -> None:
    for name in ("a", "b"):
        family, images = random_family(3, 8)
        write_runnable(tmp_path / name, family, images[:2])
    first, second = (
        {f.name: f.read_bytes() for f in (tmp_path / name).iterdir()} for name in ("a", "b")
    )
    assert first == second
    files = {"eve_model.c", "eve_model.h", "runner.c", "runner.h", "main.c", "Makefile",
            "README.txt", "model.json", "sample.txt", "expected_mode1.txt"}  # fmt: skip
    assert files <= set(first)


def test_channels_stand_innermost_in_inputs() -> None:
    image = torch.arange(8).view(1, 2, 2, 2)
    assert input_text(image) == "0 4 1 5 2 6 3 7\n"
    assert input_text(torch.tensor([[3, -1]])) == "3 -1\n"


def test_a_missing_compiler_is_told(random_family: Random, tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="no C compiler 'no-such-cc'"):
        build(tmp_path, compiler="no-such-cc")


@needs_gcc
def test_what_the_compiler_says_is_passed_on(random_family: Random, tmp_path: Path) -> None:
    family, images = random_family(2, 8)
    write_runnable(tmp_path, family, images[:1])
    (tmp_path / "main.c").write_text("int main(void) { return x; }\n")
    with pytest.raises(EvaluationError, match="(?s)gcc refuses.*undeclared"):
        build(tmp_path)


def test_the_readme_says_where_lea_cannot_add(random_family: Random, tmp_path: Path) -> Any:
    narrow, images = random_family(1, 8)
    write_runnable(tmp_path / "8", narrow, images[:1])
    assert "LEA" not in (tmp_path / "8" / "README.txt").read_text()
    wide, images = random_family(1, 16)
    assert wide.sum_bits == 64
    write_runnable(tmp_path / "16", wide, images[:1])
    assert "LEA" in (tmp_path / "16" / "README.txt").read_text()
