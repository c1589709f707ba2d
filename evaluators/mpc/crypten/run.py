"""Run a program between two processes of this machine, and say what it took.

The processes talk over loopback only. They are watched, limited in time, and reaped in every case:
when one dies, when the time is up, when the caller is interrupted, and when the caller is killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from evaluators.lowered.program import Program
from evaluators.mpc.crypten import party
from evaluators.mpc.crypten.link import is_slowed
from evaluators.mpc.crypten.shim import need_crypten
from evaluators.mpc.networks import Network
from search.api.errors import EvaluationError

_POLL_S = 0.02
_RANK_PREFIX = re.compile(r"^\[rank\d+\]:\s*")
_LOOPBACK = "127.0.0.1"
_NAMES = ("with the weights", "with the images")


@dataclass(frozen=True)
class SiteTraffic:
    """What one step of a program took, per inference.

    Args:
        site, operator: which step.
        bytes: sent in both directions together.
        rounds: sequential messages.
        seconds: median over repeats of the parties' mean.
    """

    site: str
    operator: str
    bytes: int
    rounds: int
    seconds: float


@dataclass(frozen=True)
class TwoPartyRun:
    """What a run of a program gave; times and traffic are per inference of one sample.

    The online phase begins with shares of input and weights and ends with shares of the output:
    opening the output (one message of 16 bytes per class) is not part of it.

    Args:
        outputs: ``[n, classes]``, opened.
        seconds: median over repeats of the online phase of the slower party.
        repeats: seconds of each repeat.
        setup_seconds: sharing the weights and the first, untimed inference.
        triples_seconds: making the products of random numbers a dealer would bring beforehand.
        bytes: of both directions together.
        rounds: sequential messages.
        sites: in execution order.
        wire_bytes: the same bytes as the kernel counts them; None where it does not.
        shaped: whether a slower link was played.
    """

    outputs: Tensor
    seconds: float
    repeats: tuple[float, ...]
    setup_seconds: float
    triples_seconds: float
    bytes: int
    rounds: int
    sites: tuple[SiteTraffic, ...]
    wire_bytes: int | None
    shaped: bool


def run_two_party(
    program: Program,
    inputs: Tensor,
    *,
    threads: int = 1,
    fraction_bits: int = 16,
    repeats: int = 3,
    batch: int = 16,
    timeout_s: float = 300.0,
    network: Network | None = None,
    port: int | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> TwoPartyRun:
    """Run ``program`` on ``inputs`` between two processes.

    Args:
        program: see :func:`evaluators.lowered.lower.lower`.
        inputs: ``[n, *program.input_shape]``, on any device.
        threads: of each party.
        fraction_bits: bits behind the point. More make outputs more exact, and a truncation that
            goes wrong likelier: by 2^(2 fraction_bits - 64) times the value, per element.
        repeats: timed inferences, each of one sample.
        batch: samples at once in the untimed inferences of the others.
        timeout_s: seconds for everything.
        network: a slower link to play; None for loopback as it is.
        port: where the parties meet; None to let the kernel choose, which cannot fail.
        should_stop: asked now and then; true ends the run.

    Raises:
        MissingExtra: CrypTen is not installed.
        EvaluationError: a party died, the time was up, the port is taken, or a stop was asked for.
    """
    runs = run_many(
        [(program, inputs)],
        threads=threads,
        fraction_bits=fraction_bits,
        repeats=repeats,
        batch=batch,
        timeout_s=timeout_s,
        network=network,
        port=port,
        should_stop=should_stop,
    )
    return runs[0]


def run_many(
    jobs: Sequence[tuple[Program, Tensor]],
    *,
    threads: int = 1,
    fraction_bits: int = 16,
    repeats: int = 3,
    batch: int = 16,
    timeout_s: float = 300.0,
    network: Network | None = None,
    port: int | None = None,
    should_stop: Callable[[], bool] | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[TwoPartyRun]:
    """Several programs, one after the other, with one pair of processes.

    Args:
        jobs: programs with their inputs.
        threads: of each party.
        fraction_bits: bits behind the point. More make outputs more exact, and a truncation that
            goes wrong likelier: by 2^(2 fraction_bits - 64) times the value, per element.
        repeats: timed inferences of each program.
        batch: samples at once in the untimed inferences.
        timeout_s: seconds for all programs together.
        network: a slower link to play.
        port: where the parties meet.
        should_stop: asked now and then; true ends the run.
        progress: told how many programs are done.

    Raises:
        MissingExtra, EvaluationError: as for :func:`run_two_party`.
    """
    need_crypten()
    with tempfile.TemporaryDirectory(prefix="two-party-") as name:
        folder = Path(name)
        names = _write(folder, jobs, repeats, batch)
        job = {
            "threads": threads,
            "fraction_bits": fraction_bits,
            "rendezvous": _meeting_place(folder, port),
            "interface": _loopback_name(),
            "network": asdict(network) if network else None,
            "programs": names,
        }
        (folder / party.JOB).write_text(json.dumps(job), encoding="utf-8")
        watch = _Watch(folder, [entry["name"] for entry in names], should_stop, progress)
        with _parties(folder, threads) as processes:
            watch.until_done(processes, timeout_s)
        return [
            _collect(folder / entry["name"], program, shaped=is_slowed(network))
            for entry, (program, _) in zip(names, jobs, strict=True)
        ]


def _write(
    folder: Path, jobs: Sequence[tuple[Program, Tensor]], repeats: int, batch: int
) -> list[dict[str, Any]]:
    from safetensors.torch import save_file

    names = []
    for number, (program, inputs) in enumerate(jobs):
        if tuple(inputs.shape[1:]) != program.input_shape or not len(inputs):
            raise EvaluationError(
                f"two-party run: inputs of shape {tuple(inputs.shape)} "
                f"(expected at least one sample of shape {program.input_shape})"
            )
        place = folder / str(number)
        program.write(place)
        save_file({"x": inputs.detach().float().cpu().contiguous()}, place / party.INPUTS)
        names.append({"name": str(number), "repeats": repeats, "batch": batch})
    return names


def _meeting_place(folder: Path, port: int | None) -> str:
    """Where the parties find each other: a file, unless a port is asked for.

    A free port found here could be taken by the time a party binds it; a file of one's own cannot.
    The connections themselves get their ports from the kernel.
    """
    if port is None:
        return f"file://{folder / 'rendezvous'}"
    with socket.socket() as probe:
        try:
            probe.bind((_LOOPBACK, port))
        except OSError as error:
            raise EvaluationError(
                f"two-party run: port {port} is taken ({error.strerror}). Choose another one, or "
                "none: then no fixed port is needed"
            ) from error
    return f"tcp://{_LOOPBACK}:{port}"


def _loopback_name() -> str:
    names = [name for _, name in socket.if_nameindex()]
    return next((name for name in ("lo", "lo0") if name in names), names[0])


@contextlib.contextmanager
def _parties(folder: Path, threads: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Both processes; whatever happens inside, none is left afterwards."""
    count = str(threads)
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for rank in (party.MODEL, party.CLIENT):
            with (folder / f"{rank}.log").open("wb") as log:
                processes.append(
                    subprocess.Popen(
                        [sys.executable, "-m", party.__name__, str(folder), str(rank)],
                        stdin=subprocess.PIPE,  # its end tells the party that we are gone
                        stdout=log,
                        stderr=log,
                        env=environment,
                        start_new_session=True,  # Ctrl-C is ours to handle
                    )
                )
        yield processes
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
        for process in processes:
            process.wait()
            if process.stdin:
                process.stdin.close()


class _Watch:
    """Waits for both parties, and says what went wrong with one."""

    def __init__(
        self,
        folder: Path,
        names: Sequence[str],
        should_stop: Callable[[], bool] | None,
        progress: Callable[[int], None] | None,
    ) -> None:
        self._folder, self._names = folder, names
        self._should_stop, self._progress = should_stop, progress
        self._told = 0

    def until_done(self, processes: Sequence[subprocess.Popen[bytes]], timeout_s: float) -> None:
        """Return when both have ended well.

        Raises:
            EvaluationError: one has not.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            codes = [process.poll() for process in processes]
            self._tell()
            if any(codes):
                raise EvaluationError(self._obituary(codes))
            if all(code == 0 for code in codes):
                return
            if time.monotonic() > deadline:
                raise EvaluationError(
                    f"two-party run: not done after {timeout_s:g} s. Raise timeout_s, or take a "
                    "smaller network or fewer images"
                )
            if self._should_stop is not None and self._should_stop():
                raise EvaluationError("two-party run: stopped, as the study was asked to")
            time.sleep(_POLL_S)

    def _tell(self) -> None:
        if self._progress is None:
            return
        done = self._told
        while done < len(self._names) and self._report(done).exists():
            done += 1
        if done != self._told:
            self._told = done
            self._progress(done)

    def _report(self, number: int) -> Path:
        return self._folder / self._names[number] / f"{party.CLIENT}.{party.REPORT}"

    def _obituary(self, codes: Sequence[int | None]) -> str:
        """What became of the party that died first; the other one only lost its partner."""
        dead = [(rank, code, self._last_words(rank)) for rank, code in enumerate(codes) if code]
        dead.sort(key=lambda entry: (entry[1] > 0, "onnection" in entry[2]))
        rank, code, why = dead[0]
        if code < 0:
            return f"two-party run: the party {_NAMES[rank]} was killed by signal {-code}"
        how = f"ended with code {code}" + (f": {why}" if why else "")
        return f"two-party run: the party {_NAMES[rank]} {how}"

    def _last_words(self, rank: int) -> str:
        lines = (self._folder / f"{rank}.log").read_text("utf-8", "replace").strip().splitlines()
        return _RANK_PREFIX.sub("", lines[-1].strip()) if lines else ""


def _collect(folder: Path, program: Program, *, shaped: bool) -> TwoPartyRun:
    from safetensors.torch import load_file

    reports = [
        json.loads((folder / f"{rank}.{party.REPORT}").read_text(encoding="utf-8"))
        for rank in (party.MODEL, party.CLIENT)
    ]
    pairs = list(zip(*(report["runs"] for report in reports), strict=True))
    repeats = tuple(max(run["seconds"] for run in pair) for pair in pairs)
    wires = [run["wire"] for run in pairs[-1]]
    return TwoPartyRun(
        outputs=load_file(folder / party.OUTPUTS)["y"],
        seconds=statistics.median(repeats),
        repeats=repeats,
        setup_seconds=max(report["setup_seconds"] for report in reports),
        triples_seconds=max(report["triples_seconds"] for report in reports),
        bytes=_both(pairs[-1], lambda run: run["bytes"]),
        rounds=max(run["rounds"] for run in pairs[-1]),
        sites=tuple(_sites(program, pairs)),
        wire_bytes=None if None in wires else sum(wires),
        shaped=shaped,
    )


def _both(pair: Sequence[Any], count: Callable[[Any], float]) -> int:
    """Bytes of both directions: each party counts what it sends and what it receives."""
    return round(sum(count(run) for run in pair) / 2)


def _sites(program: Program, pairs: Sequence[Sequence[Any]]) -> Iterator[SiteTraffic]:
    sent, rounds = 0, 0
    for index, step in enumerate(program.steps):
        total = _both(pairs[-1], lambda run, i=index: run["steps"][i][0])  # type: ignore[misc]
        so_far = max(run["steps"][index][1] for run in pairs[-1])
        seconds = statistics.median(
            statistics.mean(run["steps"][index][2] for run in pair) for pair in pairs
        )
        yield SiteTraffic(step.site, step.operator, total - sent, so_far - rounds, seconds)
        sent, rounds = total, so_far
