"""Encrypted inference by CKKS. Needs numpy and tenseal, nothing else.

    python infer.py image.npy       # an input, or several: [n, ...]
    python infer.py --sample        # the samples that lie here, compared with the cleartext network

An input has the network's shape and is normalised as its training data; --normalise does that.
Client and server are one process here: keys are made anew each time, and never written unless
--keep-keys says where to. `answer` tells which part of them is whose.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from evaluators.fhe.seal.engine import Clock, EngineError, Keys, Scheme, encode_weights
from evaluators.fhe.seal.machine import Machine
from evaluators.fhe.seal.program import Program

MODEL, PROGRAM, SAMPLES, SLOTS = "model.json", "program", "samples.npz", "slots.npz"
FLOOR_BITS = 4.0
"""Precision below which an answer is none."""


class Inference:
    """The network of a folder with fresh keys.

    Args:
        folder: with the program and where its inputs and outputs stand.
    """

    def __init__(self, folder: Path) -> None:
        self._program = program = Program.read(folder / PROGRAM)
        with np.load(folder / SLOTS) as slots:
            self._inputs, self._outputs = slots["inputs"], slots["outputs"]
        self.setup = Clock()
        with self.setup.stage("encode_weights", "encode_weights", "setup"):
            scheme = Scheme(program.log_n, program.primes, program.special)
            weights = encode_weights(scheme, program)
        with self.setup.stage("keys", "keys", "setup"):
            self.keys = Keys(scheme, program.rotations, program.relinearise)
        self._machine = Machine(scheme, program, weights, self.keys)

    def answer(self, x: np.ndarray, clock: Clock) -> np.ndarray:
        """The outputs ``[outputs]`` for ``x`` ``[elements]``."""
        program = self._program
        with clock.stage("encrypt", "encrypt", "client"):  # client: has the secret key
            slots = np.append(x, 0.0)[self._inputs]
            sent = [
                self.keys.encrypt(row, program.input_limbs, program.input_scale) for row in slots
            ]
        received = self._machine.run(sent, clock)  # server: Galois and relinearisation keys alone
        with clock.stage("decrypt", "decrypt", "client"):
            values = np.stack([self.keys.decrypt(cipher) for cipher in received])
            return np.asarray(values.reshape(-1)[self._outputs])


def main(arguments: Sequence[str] | None = None, folder: Path = Path(__file__).parent) -> int:
    """Run from the command line; 0 if all went well."""
    options = _options(arguments)
    try:
        if options.sample is None:  # what is wrong with it is told before keys are made
            image = _read(options.image, folder, options.normalise)
        inference = Inference(folder)
        if options.keep_keys is not None:
            inference.keys.save(options.keep_keys)
        setup = ", ".join(f"{s['stage']} {s['seconds']:.2f} s" for s in inference.setup.stages)
        print(f"setup: {setup}")
        if options.sample is not None:
            return _samples(inference, folder / SAMPLES, options.sample)
        for number, row in enumerate(image):
            output = _one(inference, number, row)
            print(f"  outputs: {' '.join(f'{value:.5g}' for value in output)}")
    except (EngineError, OSError, ValueError) as error:
        print(f"infer.py: {error}", file=sys.stderr)
        return 2
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Encrypted inference by CKKS.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("image", nargs="?", type=Path, help="input as .npy")
    what.add_argument(
        "--sample", nargs="?", type=int, const=0, metavar="N", help="samples: the first N, or all"
    )
    parser.add_argument("--normalise", action="store_true", help="subtract mean, divide by std")
    parser.add_argument("--keep-keys", type=Path, metavar="DIR", help="write the keys into DIR")
    return parser.parse_args(arguments)


def _samples(inference: Inference, file: Path, count: int) -> int:
    with np.load(file) as samples:
        inputs, expected = samples["inputs"], samples["outputs"]
        labels = samples.get("labels")
    count = min(count, len(inputs)) if count > 0 else len(inputs)
    found = np.stack([_one(inference, i, inputs[i]) for i in range(count)])
    expected = expected[:count]
    same = int((found.argmax(axis=1) == expected.argmax(axis=1)).sum())
    error = np.abs(found - expected)
    mean, worst = _bits(float(error.mean())), _bits(float(error.max()))
    print(f"agreement: {same} of {count} classes as in the clear")
    print(f"precision: {mean:.1f} bits on average, {worst:.1f} at worst")
    if labels is not None:
        right = int((found.argmax(axis=1) == labels[:count]).sum())
        print(f"labels: {right} of {count} right")
    if mean < FLOOR_BITS:
        print(f"infer.py: imprecise (expected at least {FLOOR_BITS:g} bits)", file=sys.stderr)
        return 1
    return 0


def _read(file: Path, folder: Path, normalise: bool) -> np.ndarray:
    """Inputs ``[n, elements]`` of a file.

    Raises:
        OSError, ValueError: it cannot be read, or does not hold inputs of this network.
    """
    model = _model(folder)
    x = np.asarray(np.load(file, allow_pickle=False), dtype=np.float64)
    shape = tuple(model["input_shape"])
    if not x.size or x.shape not in (shape, x.shape[:1] + shape):
        expected = ", ".join(map(str, shape))
        raise ValueError(
            f"{file}: shape {list(x.shape)} (expected [{expected}] or [n, {expected}])"
        )
    if not np.isfinite(x).all():
        raise ValueError(f"{file}: holds values that are not finite")
    x = x.reshape(-1, *shape)
    return (_normalised(x, model) if normalise else x).reshape(len(x), -1)


def _model(folder: Path) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads((folder / MODEL).read_text(encoding="utf-8"))
    return found


def _normalised(x: np.ndarray, model: Mapping[str, Any]) -> np.ndarray:
    if model.get("mean") is None:
        raise ValueError("--normalise: mean and standard deviation are not known")
    each = (-1, *[1] * (x.ndim - 2))
    mean, std = (np.asarray(model[name]).reshape(each) for name in ("mean", "std"))
    return np.asarray((x - mean) / std)


def _one(inference: Inference, number: int, x: np.ndarray) -> np.ndarray:
    clock, began = Clock(), perf_counter()
    output = inference.answer(x, clock)
    total = perf_counter() - began
    server = sum(stage["seconds"] for stage in clock.stages if stage["place"] == "server")
    print(
        f"{number}: class {int(output.argmax())}, {1e3 * total:.0f} ms "
        f"({1e3 * server:.0f} ms of it the server's)"
    )
    return output


def _bits(error: float) -> float:
    return -math.log2(max(error, 2.0**-53)) if math.isfinite(error) else -math.inf


if __name__ == "__main__":
    sys.exit(main())
