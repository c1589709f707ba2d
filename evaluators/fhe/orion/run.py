"""Encrypted inferences by Orion in a child process of the interpreter that has it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

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
from evaluators.fhe.orion import child
from evaluators.fhe.orion.environment import need_orion
from evaluators.fhe.orion.export import Layers, layers_of
from search.api.errors import EvaluationError
from spaces.ckks.params import CkksParams

# Lattigo 6: rings from 2^4 on, primes of 1 to 60 bits (its checks allow 61 for special primes); as
# many special primes as others. Source: its parameter checks, as its error messages state them.
CAPABILITIES = Capabilities(
    name="orion",
    log_n=(10, 17),
    prime_bits=(14, 60),
    special=60,
    rings=("standard", "conjugate_invariant"),
    sparse_secrets=True,
    bootstraps=False,  # of this version: it ran out of memory whenever it was tried
)
_CHILD = Path(child.__file__)


@dataclass(frozen=True)
class Compiled:
    """What Orion's compiler says about a network, without keys.

    Args:
        input_level: of the fresh ciphertext.
        levels: our site -> levels of its operand and of its result.
        galois_keys: how many it needs.
        bootstraps: how many it inserts.
        seconds: wall-clock time of the compiler.
    """

    input_level: int
    levels: Mapping[str, tuple[int, int]]
    galois_keys: int
    bootstraps: int
    seconds: float


class Orion:
    """Orion's second line as a back end.

    Its layouts are its own: ``input_packing`` and ``layers`` of the parameters do not reach it.

    Args:
        embedding: ``hybrid`` (its default) or ``square``.
        python: interpreter that has it; None for the one that is found.
    """

    def __init__(
        self, *, embedding: Literal["hybrid", "square"] = "hybrid", python: Path | None = None
    ) -> None:
        self._embedding, self._python = embedding, python

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
        """Encrypted inferences, see :class:`evaluators.fhe.backends.Backend`.

        Notes of the run hold its ``input_level``, ``nodes`` with levels, ``cost`` and ``model_mb``.

        Raises:
            MissingExtra: Orion is not installed.
        """
        runs = [list(images) for images in schedule]
        if not any(runs):
            raise EvaluationError("encrypted run: no inputs (expected at least one)")
        outputs = int(np.prod(task.graph.nodes[-1].shape))
        with tempfile.TemporaryDirectory(prefix="orion-") as name:
            folder = Path(name)
            self._write(folder, _layers(task), task.params, inputs, limits, runs, outputs)
            ended = run_child(self._command(), folder, limits, should_stop=should_stop)
            return _collect(folder, runs, outputs, ended.peak_mb)

    def compile(self, task: Task, limits: Limits | None = None) -> Compiled:
        """Orion's own levels and keys for the network, without any key.

        Raises:
            BackendFailure, MissingExtra: as :meth:`run`.
        """
        limits = limits or Limits()
        layers = _layers(task)
        sample = np.random.default_rng(0).normal(size=(1, int(np.prod(layers.input_shape))))
        with tempfile.TemporaryDirectory(prefix="orion-") as name:
            folder = Path(name)
            self._write(folder, layers, task.params, sample, limits, [], 0)
            run_child(self._command(), folder, limits)
            return _compiled(layers, *_read(folder))

    def _command(self) -> list[str]:
        return [str(self._python or need_orion().python), "-I", str(_CHILD)]

    def _write(
        self,
        folder: Path,
        layers: Layers,
        params: CkksParams,
        inputs: np.ndarray,
        limits: Limits,
        runs: list[list[int]],
        outputs: int,
    ) -> None:
        lacking = CAPABILITIES.lacks(params)
        if lacking:
            raise BackendFailure("unsupported", f"Orion has no {lacking}")
        job = {
            "layers": layers.layers,
            "input_shape": layers.input_shape,
            "params": parameters(params),
            "config": {"embedding_method": self._embedding},
            "outputs": outputs,
            "schedule": runs,
            "compile_only": not runs,
            "seconds": limits.seconds,
            "memory_mb": limits.memory_mb,
        }
        (folder / child.JOB).write_text(json.dumps(job), encoding="utf-8")
        np.savez(folder / child.WEIGHTS, **layers.weights)  # type: ignore[arg-type]
        np.save(folder / child.INPUTS, np.asarray(inputs, dtype=np.float64))


def parameters(params: CkksParams) -> dict[str, Any]:
    """``params`` under Orion's names. A dense secret has two thirds of its entries not zero."""
    return {
        "logn": params.log_n,
        "logq": [params.chain.first, *params.chain.levels],
        "logp": list(params.chain.special),
        "log_default_scale": params.scale,
        "h": params.secret_weight or 2 * params.n // 3,
        "ring_type": params.ring,
    }


def _layers(task: Task) -> Layers:
    if task.network is None:
        raise BackendFailure("unsupported", "Orion compiles networks itself (got none)")
    return layers_of(task.network, task.graph.nodes[0].shape, task.params.activation)


def _read(folder: Path) -> tuple[dict[str, Any], np.ndarray]:
    """What the child left.

    Raises:
        BackendFailure: it is missing or damaged.
    """
    try:
        report = json.loads((folder / child.REPORT).read_text(encoding="utf-8"))
        return report, np.load(folder / child.OUTPUTS, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _damaged(error) from error


def _damaged(error: Exception) -> BackendFailure:
    words = f"the child's results cannot be read ({type(error).__name__}: {error})"
    return BackendFailure("crash", words)


def _collect(
    folder: Path, runs: Sequence[Sequence[int]], outputs: int, seen_mb: float
) -> EncryptedRun:
    report, values = _read(folder)
    expected = [(r, image) for r, images in enumerate(runs) for image in images]
    try:
        found = [(entry["repeat"], entry["image"]) for entry in report["inferences"]]
        if found != expected or values.shape != (len(expected), outputs):
            raise ValueError(f"{len(found)} inferences of shape {values.shape}")
        inferences = tuple(
            Inference(entry["image"], entry["repeat"], row, _stages(entry["stages"]))
            for entry, row in zip(report["inferences"], values, strict=True)
        )
        peak = max(seen_mb, float(report["peak_mb"]))
        run = EncryptedRun(inferences, _stages(report["setup"]), peak, report["notes"])
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(error) from error
    for inference in inferences:
        if not np.isfinite(inference.output).all():
            raise BackendFailure(
                "imprecise", f"the output for input {inference.image} is not a finite number"
            )
    return run


def _compiled(layers: Layers, report: Mapping[str, Any], _: np.ndarray) -> Compiled:
    notes = report["notes"]
    sites = {layer["name"]: layer.get("site") for layer in layers.layers}
    levels = {}
    for node in notes["nodes"]:
        site = sites.get(node["name"].removeprefix("body_"))
        if site is not None:
            levels[site] = (node["level"], node["level"] - node["depth"])
    cost = notes["cost"]
    seconds = sum(s["seconds"] for s in report["setup"] if s["stage"] == "compile")
    return Compiled(
        notes["input_level"], levels, cost["galois_key_count"], cost["bootstrap_count"], seconds
    )


def _stages(rows: Sequence[Mapping[str, Any]]) -> tuple[StageTime, ...]:
    fields = ("stage", "kind", "place", "seconds", "cpu_seconds")
    return tuple(StageTime(**{name: row[name] for name in fields}) for row in rows)
