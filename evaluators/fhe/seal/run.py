"""Encrypted inferences by SEAL in a child process, from a packed network to decrypted outputs."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluators.fhe.backends import (
    Capabilities,
    EncryptedRun,
    Inference,
    Limits,
    StageTime,
    Task,
)
from evaluators.fhe.child_process import run_child
from evaluators.fhe.failures import BackendFailure
from evaluators.fhe.seal import program
from search.api.errors import EvaluationError
from spaces.ckks.params import CkksParams
from spaces.ckks.primes import NotEnoughPrimes, primes_of

if TYPE_CHECKING:
    from evaluators.fhe.packed import PackedNetwork

_JOB, _INPUTS, _REPORT = "job.json", "inputs.npy", "report.json"
CHILD = (sys.executable, "-m", "evaluators.fhe.seal.child")
"""What computes on ciphertexts: a program that is given a folder."""

# SEAL 4: its largest ring dimension and its largest prime for a modulus; it takes one special
# prime. Source: seal/util/defines.h (SEAL_POLY_MOD_DEGREE_MAX, SEAL_USER_MOD_BIT_COUNT_MAX).
CAPABILITIES = Capabilities(
    name="seal",
    log_n=(10, 17),
    prime_bits=(2, 60),
    special=1,
    rings=("standard",),
    sparse_secrets=False,
    bootstraps=False,
    pairs=True,
)


class Seal:
    """The default back end.

    Args:
        processes: how many share the images of one set of keys. With more than one, times of
            single inferences suffer from each other.
    """

    def __init__(self, *, processes: int = 1) -> None:
        self._processes = processes

    def capabilities(self) -> Capabilities:
        """What parameters it takes."""
        return CAPABILITIES

    def run(
        self,
        task: Task,
        inputs: np.ndarray,
        *,
        schedule: Sequence[Sequence[int]],
        limits: Limits,
        should_stop: Callable[[], bool] | None = None,
    ) -> EncryptedRun:
        """Encrypted inferences, see :class:`evaluators.fhe.backends.Backend`."""
        if task.packed is None:
            raise BackendFailure("unsupported", "SEAL runs packed networks (got none)")
        return run_encrypted(
            task.packed,
            task.params,
            inputs,
            schedule=schedule,
            limits=limits,
            processes=self._processes,
            should_stop=should_stop,
        )


def run_encrypted(
    packed: PackedNetwork,
    params: CkksParams,
    inputs: np.ndarray,
    *,
    repeats: int = 1,
    schedule: Sequence[Sequence[int]] | None = None,
    limits: Limits | None = None,
    processes: int = 1,
    levels: Mapping[str, program.Level] | None = None,
    keep: Path | None = None,
    should_stop: Callable[[], bool] | None = None,
    child: Sequence[str] = CHILD,
) -> EncryptedRun:
    """Run ``packed`` under ``params`` on encrypted ``inputs``.

    Args:
        packed: the network in slots; for as many slots as ``params`` give.
        params: chain, scale, ring dimension.
        inputs: ``[n, elements]``, float64.
        repeats: sets of fresh keys, each for all inputs, if there is no ``schedule``.
        schedule: for each set of fresh keys, rows of the inputs.
        limits: of the child.
        processes: how many share the images of one set of keys.
        levels: limbs and scales of every node; None for those that ``params`` imply.
        keep: folder to leave the program in (no keys are in it); None for a temporary one.
        should_stop: asked now and then; true ends the run.
        child: the program that computes; another one only to test what becomes of its failures.

    Raises:
        BackendFailure: there is no usable answer.
        EvaluationError: a stop was asked for.
    """
    lacking = CAPABILITIES.lacks(params)
    if lacking:
        raise BackendFailure("unsupported", f"SEAL has no {lacking}")
    if packed.slots != params.slots:
        raise BackendFailure(
            "slots", f"the network is packed for {packed.slots} slots (there are {params.slots})"
        )
    limits = limits or Limits()
    runs = [list(images) for images in schedule or [range(len(inputs))] * repeats]
    if not any(runs):
        raise EvaluationError("encrypted run: no inputs (expected at least one)")
    with _folder(keep) as folder:
        _write(folder, packed, params, levels, inputs)
        job = {
            "schedule": runs,
            "seconds": limits.seconds,
            "memory_mb": limits.memory_mb,
            "processes": processes,
        }
        (folder / _JOB).write_text(json.dumps(job), encoding="utf-8")
        ended = run_child(child, folder, limits, should_stop=should_stop)
        return _collect(folder, packed, runs, ended.peak_mb)


def data_primes(params: CkksParams) -> tuple[int, ...]:
    """The data primes of ``params``, that which is never dropped first.

    Raises:
        BackendFailure: there are not enough.
    """
    return _primes(params)[: params.chain.limbs]


def _primes(params: CkksParams) -> tuple[int, ...]:
    try:
        return primes_of(params.chain, params.log_n, params.ring)
    except NotEnoughPrimes as error:
        raise BackendFailure("no_primes", str(error)) from error


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="ckks-") as name:
        yield Path(name)


def _write(
    folder: Path,
    packed: PackedNetwork,
    params: CkksParams,
    levels: Mapping[str, program.Level] | None,
    inputs: np.ndarray,
) -> None:
    primes = _primes(params)
    data, special = primes[: params.chain.limbs], primes[params.chain.limbs :]
    if levels is None:
        from evaluators.fhe.levels import assign

        levels = assign(packed.graph, params, data)
    program.write(folder, packed, log_n=params.log_n, primes=data, special=special, levels=levels)
    rows = [packed.encode_input(np.asarray(row, dtype=np.float64)) for row in inputs]
    np.save(folder / _INPUTS, np.stack(rows).astype(np.float64, copy=False))


def _collect(
    folder: Path, packed: PackedNetwork, runs: Sequence[Sequence[int]], seen_mb: float
) -> EncryptedRun:
    """What the child left, read with suspicion.

    Raises:
        BackendFailure: something is missing, damaged or not a number.
    """
    try:
        report = json.loads((folder / _REPORT).read_text(encoding="utf-8"))
        inferences = tuple(
            inference
            for repeat, images in enumerate(runs)
            for inference in _read_repeat(folder, packed, repeat, images)
        )
        setup = tuple(_stage(data) for data in report["setup"])
        peak = max(seen_mb, float(report["peak_mb"]))
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise BackendFailure(
            "crash", f"the child's results cannot be read ({type(error).__name__}: {error})"
        ) from error
    for inference in inferences:
        if not np.isfinite(inference.output).all():
            raise BackendFailure(
                "imprecise", f"the output for input {inference.image} is not a finite number"
            )
    return EncryptedRun(inferences, setup, peak, {"repeats": len(runs)})


def _read_repeat(
    folder: Path, packed: PackedNetwork, repeat: int, images: Sequence[int]
) -> Iterator[Inference]:
    """Results under one set of keys, in the order of ``images``."""
    found: dict[int, Inference] = {}
    for file in sorted(folder.glob(f"part-{repeat}-*.json")):
        runs = json.loads(file.read_text(encoding="utf-8"))
        outputs = np.load(file.with_suffix(".npy"), allow_pickle=False)
        last = packed.layouts[packed.graph.nodes[-1].name]
        expected = (len(runs), last.ciphertexts, packed.slots)
        if outputs.shape != expected or outputs.dtype != np.float64:
            raise ValueError(f"outputs of shape {outputs.shape} (expected {expected})")
        for run, slots in zip(runs, outputs, strict=True):
            stages = tuple(_stage(data) for data in run["stages"])
            output = packed.decode_output(slots)
            found[run["image"]] = Inference(int(run["image"]), repeat, output, stages)
    for image in images:
        yield found[image]


def _stage(data: Mapping[str, Any]) -> StageTime:
    fields = ("stage", "kind", "place", "seconds", "cpu_seconds")
    return StageTime(**{name: data[name] for name in fields})
