"""A folder that runs encrypted inference by itself: packed weights, samples, engine, script."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluators.fhe import reference
from evaluators.fhe.export.infer import MODEL, PROGRAM, SAMPLES, SLOTS
from evaluators.fhe.export.sources import copies
from evaluators.fhe.levels import assign
from evaluators.fhe.seal import program
from spaces.ckks.primes import primes_of

if TYPE_CHECKING:
    from evaluators.fhe.packed import PackedNetwork
    from spaces.ckks.params import CkksParams

IMAGES = 10
"""Samples that are written."""
_SCRIPT = "evaluators.fhe.export.infer"
_MB = 1e6


def write_runnable(
    folder: Path, packed: PackedNetwork, params: CkksParams, workload: Any
) -> program.Program:
    """Write the folder, which is made.

    Args:
        folder: where to.
        packed: the network in slots.
        params: its configuration.
        workload: whose first validation images become samples.

    Raises:
        BackendFailure: the chain is too short, or scales do not agree.
    """
    primes = primes_of(params.chain, params.log_n, params.ring)
    data, special = primes[: params.chain.limbs], primes[params.chain.limbs :]
    levels = assign(packed.graph, params, data)
    (folder / PROGRAM).mkdir(parents=True, exist_ok=True)
    made = program.write(
        folder / PROGRAM,
        packed,
        log_n=params.log_n,
        primes=data,
        special=special,
        levels=levels,
    )
    _write_slots(folder / SLOTS, packed)
    images = workload.data.validation
    _write_samples(folder / SAMPLES, packed, images)
    model = {
        "input_shape": list(packed.graph.nodes[0].shape),
        "outputs": int(np.prod(packed.graph.nodes[-1].shape)),
        **_normalisation(workload.data),
    }
    (folder / MODEL).write_text(json.dumps(model, indent=1) + "\n", encoding="utf-8")
    for name, text in copies(_SCRIPT).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    weights = sum(f.stat().st_size for f in (folder / PROGRAM).iterdir()) / _MB
    readme = _README.format(
        weights=f"{weights:.1f}",
        images=len(images.x[:IMAGES]),
        n=params.n,
        primes=len(data),
        keys=len(made.rotations),
    )
    (folder / "README.txt").write_text(readme, encoding="utf-8")
    return made


def _write_slots(file: Path, packed: PackedNetwork) -> None:
    """Which element stands in which slot (-1: none), and where the outputs are."""
    elements = int(np.prod(packed.graph.nodes[0].shape))
    last = packed.layouts[packed.graph.nodes[-1].name]
    # Encoding and decoding only move numbers, so those of numbered elements tell how.
    inputs = packed.encode_input(np.arange(1.0, elements + 1)) - 1
    slots = np.arange(float(last.ciphertexts * packed.slots))
    outputs = packed.decode_output(slots.reshape(last.ciphertexts, packed.slots))
    np.savez_compressed(file, inputs=inputs.astype(np.int64), outputs=outputs.astype(np.int64))


def _write_samples(file: Path, packed: PackedNetwork, images: Any) -> None:
    x = images.x[:IMAGES]
    inputs = x.reshape(len(x), -1).double().cpu().numpy()
    arrays = {"inputs": inputs, "outputs": reference.run(packed.graph, inputs)}
    if getattr(images, "y", None) is not None:
        arrays["labels"] = np.asarray(images.y[:IMAGES].cpu())
    np.savez_compressed(file, **arrays)


def _normalisation(data: Any) -> dict[str, list[float] | None]:
    return {name: _numbers(getattr(data, name, None)) for name in ("mean", "std")}


def _numbers(values: Any) -> list[float] | None:
    if values is None:
        return None
    flat = values.flatten().tolist() if hasattr(values, "flatten") else values
    return [float(value) for value in flat]


_README = """\
Encrypted inference by CKKS (Microsoft SEAL through TenSEAL), ready to run.

    pip install numpy tenseal
    python infer.py --sample          {images} samples, compared with the cleartext network
    python infer.py image.npy         an input of your own, normalised (--normalise does it)

infer.py      the script: class, latency, agreement
ckks_engine/  the engine, as source: numpy and tenseal alone
program/      the network in slots: diagonals, biases, steps, primes ({weights} MB)
slots.npz     which input element stands in which slot, and where the outputs are
samples.npz   validation images with the outputs of the cleartext network and their labels:
              remove the file before you pass the folder on if your data is private
model.json    shape of inputs, mean and standard deviation

Ring dimension {n}, {primes} primes and one for key switching, {keys} Galois keys. Keys are made
at each start and never written, unless --keep-keys DIR says so: secret.key then must stay with the
client. Client and server are one process here; Inference.answer in infer.py shows the border.
"""
