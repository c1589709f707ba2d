"""A folder that runs every mode by itself: arrays, runner in C99, samples, Makefile."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluators.device.export.arrays import Source, source_of
from search.api.errors import EvaluationError

if TYPE_CHECKING:
    from torch import Tensor

    from search.workloads.eve.integer import IntegerFamily

RUNNER = ("runner.h", "runner.c", "main.c")
HEADER, ARRAYS, FACTS = "eve_model.h", "eve_model.c", "model.json"
SAMPLE, EXPECTED = "sample.txt", "expected_mode{mode}.txt"
IMAGES = 10
"""Samples that are written."""


def write_runnable(folder: Path, family: IntegerFamily, images: Tensor, data: Any = None) -> Source:
    """Write the folder, which is made; the same bytes for the same arguments.

    Args:
        folder: where to.
        family: the modes.
        images: normalised, ``[n, *input_shape]``, that become samples.
        data: whose ``mean`` and ``std`` are noted for whoever feeds the device.

    Raises:
        EvaluationError: the family does not fit the runner's tables.
    """
    source = source_of(family)
    folder.mkdir(parents=True, exist_ok=True)
    for name in RUNNER:
        _write(folder / name, Path(__file__).with_name(name).read_text(encoding="utf-8"))
    _write(folder / HEADER, source.header)
    _write(folder / ARRAYS, source.arrays)
    _write(folder / "Makefile", _MAKEFILE)
    inputs = family.quantise(images)
    _write(folder / SAMPLE, input_text(inputs))
    for mode in range(1, family.modes + 1):
        outputs = family.run(mode, inputs).flatten(1)
        _write(folder / EXPECTED.format(mode=mode), _lines(outputs))
    facts = _facts(family, source, data)
    _write(folder / FACTS, json.dumps(facts, indent=1) + "\n")
    _write(folder / "README.txt", _readme(family, source, len(images)))
    return source


def input_text(inputs: Tensor) -> str:
    """Integer images as the program reads them: a line each, channels innermost."""
    ordered = inputs.permute(0, 2, 3, 1) if inputs.dim() == 4 else inputs
    return _lines(ordered.flatten(1))


def build(folder: Path, flags: tuple[str, ...] = ("-O2",), compiler: str = "gcc") -> Path:
    """Compile a written folder; warnings are errors.

    Args:
        folder: of :func:`write_runnable`.
        flags: further flags of the compiler.
        compiler: its name.

    Returns:
        The program.

    Raises:
        EvaluationError: there is no such compiler, or it refuses.
    """
    import shutil
    import subprocess

    if shutil.which(compiler) is None:
        raise EvaluationError(f"no C compiler {compiler!r} on this machine")
    program = folder / "eve"
    strict = ("-std=c99", "-Wall", "-Wextra", "-Werror")
    files = (ARRAYS, "runner.c", "main.c")
    done = subprocess.run(
        [compiler, *strict, *flags, "-o", program.name, *files],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise EvaluationError(f"{compiler} refuses the exported program: {done.stderr[:2000]}")
    return program


def _facts(family: IntegerFamily, source: Source, data: Any) -> dict[str, Any]:
    layers = {
        site: {
            "levels": source.codings[site],
            "weight_fraction": layer.weight_fraction,
            "input_fraction": layer.input_fraction,
            "output_fraction": layer.output_fraction,
            "shift": 0 if site == family.raw else layer.shift,
            "largest_sum": layer.bound,
        }
        for site, layer in family.layers.items()
    }
    return {
        "modes": family.modes,
        "bits": family.bits,
        "sum_bits": family.sum_bits,
        "input_shape": list(family.input_shape),
        "input_fraction": family.input_fraction,
        "output_fraction": family.output_fraction,
        "mean": _numbers(getattr(data, "mean", None)),
        "std": _numbers(getattr(data, "std", None)),
        "bytes": source.sizes,
        "layers": layers,
    }


def _numbers(values: Any) -> list[float] | None:
    if values is None:
        return None
    flat = values.flatten().tolist() if hasattr(values, "flatten") else values
    return [float(value) for value in flat]


def _lines(rows: Tensor) -> str:
    return "".join(" ".join(map(str, row)) + "\n" for row in rows.tolist())


def _write(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")


def _readme(family: IntegerFamily, source: Source, images: int) -> str:
    sizes = ", ".join(f"{what} {number:,}" for what, number in source.sizes.items())
    codings = "".join(f"    {site:<24}{coding}\n" for site, coding in source.codings.items())
    wide = "" if family.sum_bits == 32 else _WIDE
    return _README.format(
        modes=family.modes,
        bits=family.bits,
        sum_bits=family.sum_bits,
        fraction=family.input_fraction,
        output=-family.output_fraction,
        images=images,
        sizes=sizes,
        codings=codings,
        wide=wide,
    )


_MAKEFILE = """\
CC = gcc
CFLAGS = -std=c99 -Wall -Wextra -Werror -O2

eve: eve_model.c runner.c main.c runner.h eve_model.h
\t$(CC) $(CFLAGS) -o $@ eve_model.c runner.c main.c

# Every mode on the samples, compared with the integer network in PyTorch.
check: eve
\t@for file in expected_mode*.txt; do \\
\t\tmode=$${file#expected_mode}; mode=$${mode%.txt}; \\
\t\t./eve $$mode < sample.txt | cmp - $$file && echo "mode $$mode: same" || exit 1; \\
\tdone

clean:
\trm -f eve

.PHONY: check clean
"""
_WIDE = """
Sums need 64 bits here: LEA, which adds in 32 bits, cannot compute these layers in one go. Export
with sum_bits: 32 for coarser weights that it can.
"""
_README = """\
{modes} nested networks in one set of weights, in {bits}-bit integers, and a program that runs any
of them.

    make check                every mode on {images} samples, compared bit for bit
    ./eve MODE < sample.txt   mode 1 is the sparsest, {modes} the densest

eve_model.[ch]  weights of the densest mode, once; levels, biases, shifts and schedules of the modes
runner.[ch]     the runner: C99, no heap, no floating point, <stdint.h> alone; link it into firmware
main.c          reads integers from standard input, for hosts
model.json      scales, mean and standard deviation of the data, bytes, layers
sample.txt      validation images as integers, channels innermost; expected_mode*.txt: the outputs.
                Remove them before you pass the folder on if your data is private

An input v of the network (normalised) is the integer nearest to v * 2^{fraction}, saturated to
{bits} bits. An output w stands for w * 2^{output}. Sums have {sum_bits} bits; for these
weights none can overflow, in any order. Shifts round to the nearest integer, halves up.
{wide}
Bytes of the arrays: {sizes}. Levels are coded by

{codings}
The runner computes tile by tile in the order of the schedule. A device that preserves results
between power cycles does so behind each `batch` of tiles; on a host nothing is preserved.
"""
