"""One of the two processes of a run: reads its job, computes on shares, writes what it saw.

Started as ``python -m evaluators.mpc.crypten.party FOLDER RANK``. It ends when its standard input
does, so it never outlives the process that started it.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from evaluators.lowered.program import Program
from evaluators.mpc.crypten.link import slowed
from evaluators.mpc.crypten.secure import nearest, run_step, share_private
from evaluators.mpc.crypten.shim import import_crypten
from evaluators.mpc.crypten.wire import received_bytes
from evaluators.mpc.networks import Network

JOB, INPUTS, OUTPUTS, REPORT = (
    "job.json",
    "inputs.safetensors",
    "outputs.safetensors",
    "report.json",
)
MODEL, CLIENT = 0, 1
"""Ranks: who has the weights, and who has the images and gets the result."""

ORPHANED = 70


def main(folder: Path, rank: int) -> None:
    """Run every program of the job in ``folder`` as party ``rank``."""
    job = json.loads((folder / JOB).read_text(encoding="utf-8"))
    torch.set_num_threads(job["threads"])
    os.environ.update(
        DISTRIBUTED_BACKEND="gloo",
        RENDEZVOUS=job["rendezvous"],
        WORLD_SIZE="2",
        RANK=str(rank),
        GLOO_SOCKET_IFNAME=job["interface"],
    )
    crypten = import_crypten()
    crypten.init()
    crypten.cfg.communicator.verbose = True
    crypten.cfg.encoder.precision_bits = job["fraction_bits"]
    network = Network(**job["network"]) if job["network"] else None
    for entry in job["programs"]:
        place = folder / entry["name"]
        report = _Runner(place, rank, entry["repeats"], entry["batch"], network).run()
        scratch = place / f"{rank}.part"
        scratch.write_text(json.dumps(report), encoding="utf-8")
        os.replace(scratch, place / f"{rank}.{REPORT}")
    crypten.communicator.get().barrier()  # neither leaves while the other still listens
    crypten.uninit()


class _Runner:
    """One program: set-up, timed runs on single samples, then the other samples in batches."""

    def __init__(
        self, folder: Path, rank: int, repeats: int, batch: int, network: Network | None
    ) -> None:
        self._crypten = import_crypten()
        self._folder, self._rank, self._repeats, self._batch = folder, rank, repeats, batch
        self._program = Program.read(folder, private=rank == MODEL)
        self._network = network
        self._communicator = self._crypten.communicator.get()
        self._provider = self._crypten.mpc.get_default_provider()
        self._shared = share_private(self._program, rank)
        self._images, self._count = self._samples()

    def run(self) -> dict[str, Any]:
        """The report of this party; the client also writes the outputs."""
        began = time.perf_counter()
        outputs: dict[int, Tensor] = {}
        self._provider.request_cache = []
        self._provider.trace(True)
        outputs[0], _ = self._infer(0, 1)
        self._provider.trace(False)
        runs: list[dict[str, Any]] = []
        preparing = 0.0
        for repeat in range(self._repeats):
            start = time.perf_counter()
            self._provider.tuple_cache = {}
            self._provider.fill_cache()
            preparing += time.perf_counter() - start
            first = repeat % self._count
            with slowed(self._communicator, self._network):
                outputs[first], seen = self._infer(first, 1)
            runs.append(seen)
        self._provider.request_cache, self._provider.tuple_cache = [], {}
        online = sum(run["seconds"] for run in runs)
        setup = time.perf_counter() - began - online - preparing
        first = len(outputs)  # the timed ones were the first
        while first < self._count:
            outputs[first], _ = self._infer(first, min(self._batch, self._count - first))
            first += self._batch
        if self._rank == CLIENT:
            self._write([outputs[i] for i in sorted(outputs)])
        return {
            "setup_seconds": setup,
            "triples_seconds": preparing / max(1, self._repeats),
            "runs": runs,
        }

    def _infer(self, first: int, count: int) -> tuple[Tensor, dict[str, Any]]:
        """Outputs of samples ``first`` to ``first + count`` (for both), and what it took."""
        communicator = self._communicator
        images = nearest(self._images[first : first + count])
        x = self._crypten.cryptensor(images, src=CLIENT)
        values: dict[str, Any] = {"x": x}
        communicator.barrier()
        wire = received_bytes()
        communicator.reset_communication_stats()
        sites: list[list[float]] = []
        began = last = time.perf_counter()
        for step in self._program.steps:
            values[step.output] = run_step(step, values, self._program, self._shared)
            now = time.perf_counter()
            sites.append([communicator.comm_bytes, communicator.comm_rounds, now - last])
            last = now
        seen = {
            "seconds": last - began,
            "bytes": communicator.comm_bytes,
            "rounds": communicator.comm_rounds,
            "steps": sites,
            "wire": None if wire is None else (received_bytes() or 0) - wire,
        }
        return values[self._program.output].get_plain_text(), seen

    def _samples(self) -> tuple[Tensor, int]:
        """The client's images; the other party knows their number only."""
        from safetensors import safe_open

        with safe_open(self._folder / INPUTS, framework="pt") as file:
            count = file.get_slice("x").get_shape()[0]
            if self._rank == CLIENT:
                return file.get_tensor("x"), count
        return torch.zeros((count, *self._program.input_shape)), count

    def _write(self, outputs: list[Tensor]) -> None:
        from safetensors.torch import save_file

        save_file({"y": torch.cat(outputs).contiguous()}, self._folder / OUTPUTS)


def _end_with_parent() -> None:
    """Leave at once when whoever holds the other end of standard input is gone."""
    while os.read(0, 1):  # not sys.stdin: its lock would be in the way when Python shuts down
        pass
    os._exit(ORPHANED)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    main(Path(sys.argv[1]), int(sys.argv[2]))
