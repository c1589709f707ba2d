"""Run a program under SPU between two processes of this machine, and say what it took.

The processes talk over loopback, in a private network of their own where the system allows it. They
are watched, limited in time, and reaped in every case.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from evaluators.lowered.program import Program
from evaluators.mpc.spu import party
from evaluators.mpc.spu.environment import need_spu
from search.api.errors import ConfigError, EvaluationError

PROTOCOLS: Mapping[str, tuple[str, str, int]] = MappingProxyType(
    {
        "semi2k": ("SEMI2K", "FM64", 18),
        "cheetah_fm64": ("CHEETAH", "FM64", 18),
        "cheetah_fm32": ("CHEETAH", "FM32", 8),
    }
)
"""Our name -> SPU's protocol and ring, and its usual number of bits behind the point."""

_NAMES = {"prepare": "that compiles", "0": "with the weights", "1": "with the images"}
_POLL_S = 0.02
_PRIVATE_PORTS = (19601, 19602)  # nobody else is in a private network


@dataclass(frozen=True)
class SpuRun:
    """What a run gave; times and traffic are per inference of one sample.

    The online phase begins with shares of input and weights and ends with shares of the output.

    Args:
        outputs: ``[n, classes]``, opened.
        repeats: seconds of each timed inference, of the slower party.
        bytes: payload of both directions together, as the kernel counts it on the parties' own
            connections; mean over the timed inferences, since Cheetah makes its triples in blocks.
        setup_seconds: connecting, base transfers, keys: the first inference less a usual one.
        setup_bytes: the same of bytes.
        interface_bytes: of the loopback interface, headers included; None where other programs
            use it too.
    """

    outputs: Tensor
    repeats: tuple[float, ...]
    bytes: float
    setup_seconds: float
    setup_bytes: float
    interface_bytes: float | None

    @property
    def seconds(self) -> float:
        """Median of ``repeats``."""
        return statistics.median(self.repeats)


def run_spu(
    program: Program,
    inputs: Tensor,
    *,
    protocol: str = "semi2k",
    repeats: int = 3,
    timeout_s: float = 600.0,
    threads: int = 1,
    should_stop: Callable[[], bool] | None = None,
    started: Callable[[str, int], None] | None = None,
) -> SpuRun:
    """Run ``program`` on ``inputs`` under ``protocol``.

    Args:
        program: see :func:`evaluators.lowered.lower.lower`.
        inputs: ``[n, *program.input_shape]``, on any device.
        protocol: one of :data:`PROTOCOLS`.
        repeats: timed inferences of one sample each, at least ``n - 1``; an untimed one is first.
        timeout_s: seconds for everything.
        threads: of each party.
        should_stop: asked now and then; true ends the run.
        started: told the role (``prepare``, ``0``, ``1``) and id of each process.

    Raises:
        MissingExtra: SPU is not installed.
        ConfigError: the protocol is unknown.
        EvaluationError: a process died, the time was up, or a stop was asked for.
    """
    if protocol not in PROTOCOLS:
        raise ConfigError(f"unknown protocol {protocol!r} (expected {', '.join(PROTOCOLS)})")
    if tuple(inputs.shape[1:]) != program.input_shape or not len(inputs):
        raise EvaluationError(
            f"SPU run: inputs of shape {tuple(inputs.shape)} "
            f"(expected at least one sample of shape {program.input_shape})"
        )
    python = need_spu()
    apart = private_networks(python)
    watch = _Watch(time.monotonic() + timeout_s, timeout_s, should_stop)
    name, field, bits = PROTOCOLS[protocol]
    with tempfile.TemporaryDirectory(prefix="spu-") as place, contextlib.ExitStack() as stack:
        folder = Path(place)
        job = {
            "protocol": name,
            "field": field,
            "fraction_bits": bits,
            "threads": threads,
            "ports": _PRIVATE_PORTS if apart else _free_ports(),
            "private_network": apart,
            "timeout_s": timeout_s,
            "inferences": max(1, repeats, len(inputs) - 1),
        }
        _write(folder, program, inputs, job)

        def start(role: str, *before: str) -> subprocess.Popen[bytes]:
            process = stack.enter_context(_process([*before, str(python)], role, folder))
            if started:
                started(role, process.pid)
            return process

        watch.until_done({"prepare": start("prepare")}, folder)
        first = start("0", *(_UNSHARE if apart else ()))
        watch.until(lambda: (folder / f"0.{party.READY}").exists(), {"0": first}, folder)
        enter = ("nsenter", "-t", str(first.pid), "-U", "-n", "--preserve-credentials")
        watch.until_done({"0": first, "1": start("1", *(enter if apart else ()))}, folder)
        return _collect(folder, apart=apart)


_UNSHARE = ("unshare", "--user", "--map-root-user", "--net")


@functools.cache
def private_networks(python: Path) -> bool:
    """Whether processes here may have a network of their own, started by ``python``."""
    if not (shutil.which("unshare") and shutil.which("nsenter")):
        return False
    command = [*_UNSHARE, str(python), "-I", party.__file__, "probe", ".", str(os.getpid())]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def exported(program: Program) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
    """``program`` for an interpreter without torch: JSON data and arrays."""
    steps = [
        {
            "operator": step.operator,
            "inputs": list(step.inputs),
            "output": step.output,
            "attributes": dict(step.attributes),
            "shapes": sorted(step.shapes),
        }
        for step in program.steps
    ]
    arrays = {f"private/{n}": t.numpy() for n, t in program.private.items()}
    for name, tensor in program.public.items():
        arrays[f"{'public' if tensor.is_floating_point() else 'index'}/{name}"] = tensor.numpy()
    return {"steps": steps, "output": program.output}, arrays


def _write(folder: Path, program: Program, inputs: Tensor, job: Mapping[str, Any]) -> None:
    structure, arrays = exported(program)
    (folder / party.JOB).write_text(json.dumps({**job, **structure}), encoding="utf-8")
    np.savez(folder / party.ARRAYS, x=inputs.detach().float().cpu().numpy(), **arrays)  # type: ignore[arg-type]


def _free_ports() -> tuple[int, ...]:
    """Two ports that are free now; a party says so if one is taken a moment later."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in _PRIVATE_PORTS]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return tuple(one.getsockname()[1] for one in sockets)


@contextlib.contextmanager
def _process(before: Sequence[str], role: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process with ``role``; whatever happens inside, it is not left afterwards."""
    with (folder / f"{role}.log").open("wb") as log:
        process = subprocess.Popen(
            [*before, "-I", party.__file__, role, str(folder), str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is ours to handle
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


@dataclass(frozen=True)
class _Watch:
    """Waits for processes, and says what went wrong with one."""

    deadline: float
    timeout_s: float
    should_stop: Callable[[], bool] | None

    def until_done(self, processes: Mapping[str, subprocess.Popen[bytes]], folder: Path) -> None:
        """Return when all have ended well.

        Raises:
            EvaluationError: one has not.
        """
        self.until(lambda: all(p.poll() == 0 for p in processes.values()), processes, folder)

    def until(
        self,
        done: Callable[[], bool],
        processes: Mapping[str, subprocess.Popen[bytes]],
        folder: Path,
    ) -> None:
        """Return when ``done()``.

        Raises:
            EvaluationError: a process failed before, the time is up, or a stop is asked for.
        """
        while not done():
            for role, process in processes.items():
                if process.poll():
                    raise EvaluationError(_obituary(role, process.returncode, folder))
            if time.monotonic() > self.deadline:
                raise EvaluationError(
                    f"SPU run: not done after {self.timeout_s:g} s. Raise timeout_s, or take a "
                    "smaller network, fewer images or semi2k: Cheetah needs seconds per layer"
                )
            if self.should_stop is not None and self.should_stop():
                raise EvaluationError("SPU run: stopped, as the study was asked to")
            time.sleep(_POLL_S)


def _obituary(role: str, code: int, folder: Path) -> str:
    said, log = folder / f"{role}.{party.ERROR}", folder / f"{role}.log"
    text = (said if said.exists() else log).read_text("utf-8", "replace")
    lines = [line for line in text.splitlines() if line.strip() and "] [info] [" not in line]
    how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
    why = f": {lines[-1].strip()}" if lines else ""
    return f"SPU run: the process {_NAMES[role]} {how}{why}"


def _collect(folder: Path, *, apart: bool) -> SpuRun:
    reports = [
        json.loads((folder / f"{rank}.{party.REPORT}").read_text(encoding="utf-8"))
        for rank in (0, 1)
    ]
    pairs = list(zip(*(report["runs"] for report in reports), strict=True))
    sent = statistics.mean(sum(run["received"] for run in pair) for pair in pairs)
    total = sum(report["setup"]["received"] for report in reports)
    return SpuRun(
        outputs=torch.from_numpy(np.load(folder / party.OUTPUTS)),
        repeats=tuple(max(run["seconds"] for run in pair) for pair in pairs),
        bytes=sent,
        setup_seconds=max(report["setup_seconds"] for report in reports),
        setup_bytes=max(0.0, total - sent),
        # Both parties read the same counter.
        interface_bytes=statistics.mean(pair[0]["interface"] for pair in pairs) if apart else None,
    )
