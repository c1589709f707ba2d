"""The process that computes on ciphertexts: reads a program, writes what came out.

Started as ``python -m evaluators.fhe.seal.child FOLDER``. Keys are made here and never leave.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from evaluators.fhe.backends import Limits
from evaluators.fhe.child_process import (
    FAILED,
    STAGES,
    end_with_parent,
    kind_of,
    limit_self,
    own_peak_mb,
    tell_failure,
)
from evaluators.fhe.seal import engine
from evaluators.fhe.seal.machine import Machine
from evaluators.fhe.seal.program import Program

JOB, INPUTS, REPORT = "job.json", "inputs.npy", "report.json"


@dataclass(frozen=True)
class Job:
    """What to do with a program.

    Args:
        schedule: for each set of fresh keys, rows of the inputs.
        seconds, memory_mb: limits of this process.
        processes: how many share the images of one set of keys.
    """

    schedule: Sequence[Sequence[int]]
    seconds: float
    memory_mb: float
    processes: int = 1


def part(repeat: int, worker: int) -> str:
    """Stem of the files with the results of one worker under one set of keys."""
    return f"part-{repeat}-{worker}"


def main(folder: Path) -> None:
    """Run the job in ``folder``; a failure is written down, and the exit code says so."""
    end_with_parent()
    try:
        _Child(folder).run()
    except engine.EngineError as error:
        tell_failure(folder, error.kind, error.detail)
    except MemoryError:
        tell_failure(folder, "memory", "the process may not have more memory")
    except Exception as error:  # noqa: BLE001 - the library's errors have no common class
        tell_failure(folder, kind_of(str(error)), f"{type(error).__name__}: {error}")


class _Child:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._job = Job(**json.loads((folder / JOB).read_text(encoding="utf-8")))
        self._stages = os.open(folder / STAGES, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        files = sum(file.stat().st_size for file in folder.glob("*.npy"))
        limit_self(Limits(self._job.seconds, self._job.memory_mb), extra_mb=files / 1e6)

    def run(self) -> None:
        clock = engine.Clock(self._tell)
        program = Program.read(self._folder)
        inputs = np.load(self._folder / INPUTS, mmap_mode="r")
        scheme = engine.Scheme(program.log_n, program.primes, program.special)
        with clock.stage("encode_weights", "encode_weights", "setup"):
            weights = engine.encode_weights(scheme, program)
        for repeat, images in enumerate(self._job.schedule):
            with clock.stage("keys", "keys", "setup"):
                keys = engine.Keys(scheme, program.rotations, program.relinearise)
            work = _Work(self._folder, scheme, program, weights, keys, self._tell)
            began = perf_counter()
            self._share(work, repeat, images, inputs)
            clock.stages[-1]["images_seconds"] = perf_counter() - began
            del keys, work  # the next set takes their memory
        report = {"setup": clock.stages, "peak_mb": own_peak_mb()}
        _write_json(self._folder / REPORT, report)

    def _share(self, work: _Work, repeat: int, images: Sequence[int], inputs: np.ndarray) -> None:
        count = max(1, min(self._job.processes, len(images)))
        if count == 1:
            work.infer(repeat, 0, images, inputs)
            return
        workers = [self._fork(work, repeat, w, images[w::count], inputs) for w in range(count)]
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in workers]
        bad = next((code for code in codes if code), 0)
        if bad < 0:
            os.kill(os.getpid(), -bad)  # the same end, for whoever watches
        if bad:
            os._exit(bad)

    def _fork(
        self, work: _Work, repeat: int, worker: int, images: Sequence[int], inputs: np.ndarray
    ) -> int:
        parent = os.getpid()
        pid = os.fork()
        if pid:
            return pid
        end_with_parent(parent)
        try:
            work.infer(repeat, worker, images, inputs)
        except engine.EngineError as error:
            tell_failure(self._folder, error.kind, error.detail)
        except Exception as error:  # noqa: BLE001 - as in main; this process must not go on
            kind = "memory" if isinstance(error, MemoryError) else kind_of(str(error))
            tell_failure(self._folder, kind, f"{type(error).__name__}: {error}")
        os._exit(0)

    def _tell(self, stage: str) -> None:
        os.write(self._stages, f"{stage}\n".encode())


class _Work:
    """Inferences under one set of keys."""

    def __init__(
        self,
        folder: Path,
        scheme: engine.Scheme,
        program: Program,
        weights: dict[str, engine.Weights],
        keys: engine.Keys,
        tell: Any,
    ) -> None:
        self._folder, self._program, self._keys, self._tell = folder, program, keys, tell
        self._machine = Machine(scheme, program, weights, keys)

    def infer(self, repeat: int, worker: int, images: Sequence[int], inputs: np.ndarray) -> None:
        """Encrypt, compute and decrypt row after row; write outputs and times."""
        outputs, runs = [], []
        for image in images:
            clock = engine.Clock(self._tell)
            outputs.append(self._one(inputs[image], clock))
            runs.append({"image": image, "stages": clock.stages})
        stem = self._folder / part(repeat, worker)
        np.save(stem.with_suffix(".npy"), np.stack(outputs))
        _write_json(stem.with_suffix(".json"), runs)

    def _one(self, packed: np.ndarray, clock: engine.Clock) -> np.ndarray:
        """Slots of the output ``[ciphertexts, slots]`` for ``packed`` ``[ciphertexts, slots]``."""
        program, keys = self._program, self._keys
        with clock.stage("encrypt", "encrypt", "client"):
            rows = [keys.encrypt(row, program.input_limbs, program.input_scale) for row in packed]
        rows = self._machine.run(rows, clock)
        with clock.stage("decrypt", "decrypt", "client"):
            return np.stack([keys.decrypt(row) for row in rows])


def _write_json(file: Path, data: Any) -> None:
    scratch = file.with_name(file.name + ".new")
    scratch.write_text(json.dumps(data), encoding="utf-8")
    os.replace(scratch, file)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(FAILED)
    main(Path(sys.argv[1]))
    sys.stdout.flush()
    os._exit(0)  # nothing is left to do, and the library's end takes time
