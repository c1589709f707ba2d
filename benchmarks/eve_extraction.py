"""Instructions that taking a mode out of shared weights costs at run time, counted by callgrind.

Each family (levels by magnitude, whole units) is exported to C and compiled with -O2. Per mode and
image, within eve_run alone:

- ``shared``: the mode out of the shared weights, levels compared while weights stream by;
- ``alone``: the same mode as a model of its own, with the same schedule, that stores nothing else;
- ``unpruned``: the same network with every weight, the same in all modes.

One JSON line for each family and mode; ``overhead_percent`` is shared over alone less 1. The last
line of a family has the bytes of its arrays (from the compiler's object file) against the sum of
the models of their own. Run: ``python benchmarks/eve_extraction.py [--smoke]``.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import torch

from evaluators.device.export.runnable import build, write_runnable
from search.workloads.eve.integer import IntegerFamily
from search.workloads.eve.integer_quantise import quantise_family
from search.workloads.image import ImageClassification
from search.workloads.nested import NestedWeights, levels_of, private_state, shared_weights
from spaces.eve.family import Execution

MODES = 3
BLOCK = 16
PATTERNS = 8
KEPT = {"pattern": (2 / 9, 4 / 9, 6 / 9), "filter": (0.25, 0.5, 0.75), "block": (0.1, 0.25, 0.5)}
CASES = (
    ("tiny_cnn", "pattern", 8), ("tiny_cnn", "pattern", 16), ("tiny_cnn", "filter", 8),
    ("lenet5", "pattern", 8), ("tiny_cnn", "weight", 8),
)  # fmt: skip


def field(weight: torch.Tensor, unit: str) -> torch.Tensor:
    """Levels of whole units, the largest first."""
    size = weight.detach().abs()
    if unit == "weight":
        counts = [max(1, round(size.numel() * k)) for k in KEPT["block"]]
        order = size.flatten().argsort(descending=True)
        return levels_of(order, counts).view(size.shape)
    if weight.dim() == 2:
        rows = torch.nn.functional.pad(size, (0, -size.shape[1] % BLOCK))
        energy = rows.view(len(size), -1, BLOCK).sum(2)
        counts = [max(1, round(energy.numel() * k)) for k in KEPT["block"]]
        levels = levels_of(energy.flatten().argsort(descending=True), counts).view(energy.shape)
        return levels.repeat_interleave(BLOCK, dim=1)[:, : size.shape[1]].clone()
    if unit == "filter":
        counts = [max(1, round(len(size) * k)) for k in KEPT["filter"]]
        order = size.flatten(1).sum(1).argsort(descending=True)
        return levels_of(order, counts).view(-1, 1, 1, 1).expand(size.shape).clone()
    energy = size.sum(1).flatten(1)  # one pattern for each of a few groups of filters
    positions = energy.shape[1]
    counts = [max(1, round(positions * k)) for k in KEPT["pattern"]]
    rows = torch.empty(energy.shape, dtype=torch.uint8)
    for group in torch.arange(len(energy)).chunk(PATTERNS):
        order = energy[group].sum(0).argsort(descending=True)
        rows[group] = levels_of(order, counts)
    return rows.view(len(size), 1, *size.shape[2:]).expand(size.shape).clone()


def families(network: str, unit: str, bits: int) -> tuple[IntegerFamily, IntegerFamily, object]:
    """The nested family, the unpruned network as one, and the data."""
    workload = ImageClassification(network=network, data="fashion_mini")
    net = workload.build(0)
    shared = {n: w.detach() for n, w in shared_weights(net).items()}
    levels = {n: field(w, unit) for n, w in shared.items()}
    whole = {n: torch.ones_like(v) for n, v in levels.items()}
    tiles = {n.removesuffix(".weight"): Execution(7, 7, 8, BLOCK, "reuse_O") for n in shared}
    made = []
    for field_ in (levels, whole):
        own = (private_state(net),) * MODES
        nested = NestedWeights((0.2, 0.4, 0.6), shared, field_, {}, own)
        images = workload.data.train.x[:32]
        made.append(quantise_family(net, nested, images, bits=bits, tiles=(tiles,) * MODES))
    return made[0], made[1], workload.data


def instructions(program: Path, mode: int, images: int) -> float:
    """Instructions of eve_run per image."""
    command = [
        "valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null",
        "--toggle-collect=eve_run", str(program), str(mode),
    ]  # fmt: skip
    with open(program.with_name("sample.txt"), encoding="utf-8") as sample:
        done = subprocess.run(command, stdin=sample, capture_output=True, text=True, check=True)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if found is None:
        raise SystemExit(f"callgrind said no number of instructions: {done.stderr[-500:]}")
    return int(found[1]) / images


def array_bytes(folder: Path) -> int:
    """Bytes of constants in the object file of the arrays."""
    subprocess.run(
        ["gcc", "-std=c99", "-O2", "-fno-pie", "-c", "eve_model.c"], cwd=folder, check=True
    )
    text = subprocess.run(
        ["size", "-A", "eve_model.o"], cwd=folder, check=True, capture_output=True, text=True
    ).stdout
    return sum(int(n) for n in re.findall(r"^\.(?:rodata|data)\S*\s+(\d+)", text, re.MULTILINE))


def compiled(family: IntegerFamily, images: torch.Tensor, folder: Path) -> Path:
    write_runnable(folder, family, images)
    return build(folder)


def run(network: str, unit: str, bits: int, images: int, modes: tuple[int, ...]) -> None:
    family, unpruned, data = families(network, unit, bits)
    sample = data.validation.x[:images]  # type: ignore[attr-defined]
    facts = {"network": network, "structure": unit, "bits": bits, "images": images}
    with tempfile.TemporaryDirectory(prefix="eve-") as place:
        root = Path(place)
        shared = compiled(family, sample, root / "shared")
        whole = compiled(unpruned.only(1), sample, root / "unpruned")
        most = instructions(whole, 1, images)
        separate = 0
        for mode in modes:
            alone = compiled(family.only(mode), sample, root / f"alone{mode}")
            separate += array_bytes(alone.parent)
            a, b = instructions(shared, mode, images), instructions(alone, 1, images)
            line = {
                **facts, "mode": mode, "shared": round(a), "alone": round(b),
                "unpruned": round(most), "overhead_percent": round(100 * (a / b - 1), 3),
                "speedup_over_unpruned": round(most / a, 3),
                "unit": "instructions per image", "evidence": "measured",
            }  # fmt: skip
            print(json.dumps(line), flush=True)
        if len(modes) < MODES:
            return
        together = array_bytes(shared.parent)
        line = {
            **facts, "bytes": together, "bytes_separate": separate,
            "bytes_unpruned": array_bytes(whole.parent), "share": round(together / separate, 4),
            "levels": json.loads((shared.parent / "model.json").read_text())["bytes"]["levels"],
            "host": platform.machine(), "evidence": "measured",
        }  # fmt: skip
        print(json.dumps(line), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="one small family, one image")
    options = parser.parse_args()
    torch.set_num_threads(1)
    missing = [name for name in ("valgrind", "gcc", "size") if shutil.which(name) is None]
    if missing:
        print(f"nothing measured: {', '.join(missing)} not on this machine (apt install valgrind)")
        return
    if options.smoke:
        run("tiny_cnn", "pattern", 8, 1, (1,))
        return
    for network, unit, bits in CASES:
        run(network, unit, bits, 1, (1, 2, 3))


if __name__ == "__main__":
    main()
