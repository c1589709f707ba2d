"""Fifty ways in which a back end can fail, injected: each must become a verdict, and leave nothing.

Run ``python benchmarks/ckks_failures.py [--smoke]``; it prints a JSON line each, and a summary. A
child that misbehaves at a given stage of a real encrypted run takes the place of the usual one.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import platform
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np

from evaluators.fhe.backends import Limits
from evaluators.fhe.failures import BackendFailure

STAGES = ("start", "encode_weights", "keys", "encrypt", "fc", "decrypt")
LIMITS = Limits(seconds=60.0, memory_mb=700.0)
SHORT = Limits(seconds=5.0, memory_mb=700.0)
"""For what never ends by itself. A busy machine needs more for the rest."""


def _abort() -> None:
    os.abort()


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _segmentation_fault() -> None:
    ctypes.string_at(0)


def _panic() -> None:
    sys.stderr.write("panic: cannot BootstrapMany: initial Q/Scale = 8.0\n\ngoroutine 1\nmain()\n")
    sys.stderr.flush()
    os.abort()


def _hang() -> None:
    time.sleep(3600)


def _spin() -> None:
    while True:
        pass


def _bomb() -> None:
    hoard = []
    while True:
        hoard.append(np.ones(10**7))


def _exception() -> None:
    raise RuntimeError("something of the library's own")


def _library_error() -> None:
    raise ValueError("scale out of bounds")


def _leave() -> None:
    os._exit(0)


# fault -> what it does, and the ways of failing that are right for it
FAULTS: dict[str, tuple[Callable[[], None], set[str]]] = {
    "abort": (_abort, {"crash"}),
    "kill": (_kill, {"crash"}),
    "segmentation fault": (_segmentation_fault, {"crash"}),
    "panic": (_panic, {"crash"}),
    "hang": (_hang, {"timeout"}),
    "spin": (_spin, {"timeout"}),
    "memory bomb": (_bomb, {"memory"}),
    "exception": (_exception, {"crash"}),
    "library error": (_library_error, {"scale_mismatch"}),
    "leaves without a result": (_leave, {"crash"}),
}


def _garbage_report(folder: Path) -> None:
    (folder / "report.json").write_bytes(os.urandom(300))


def _truncated(folder: Path) -> None:
    file = folder / "part-0-0.npy"
    file.write_bytes(file.read_bytes()[:-1000])


def _not_finite(folder: Path) -> None:
    outputs = np.load(folder / "part-0-0.npy")
    outputs[0, 0, 0] = np.nan
    np.save(folder / "part-0-0.npy", outputs)


def _other_shape(folder: Path) -> None:
    np.save(folder / "part-0-0.npy", np.zeros((1, 3)))


def _pickled(folder: Path) -> None:
    np.save(folder / "part-0-0.npy", np.array([{"not": "numbers"}]), allow_pickle=True)


def _other_images(folder: Path) -> None:
    file = folder / "part-0-0.json"
    file.write_text(file.read_text(encoding="utf-8").replace('"image": 0', '"image": 7'))


# what happens to the results of a good run
DAMAGES: dict[str, tuple[Callable[[Path], None], set[str]]] = {
    "garbage report": (_garbage_report, {"crash"}),
    "truncated output": (_truncated, {"crash"}),
    "not a number": (_not_finite, {"imprecise"}),
    "other shape": (_other_shape, {"crash"}),
    "pickled output": (_pickled, {"crash"}),
    "other images": (_other_images, {"crash"}),
}


def cases() -> list[tuple[str, str]]:
    """(fault, stage) of all cases: one for each fault and stage but the slowest, and damages."""
    slow = {"hang": ("keys", "fc"), "spin": ("fc",), "memory bomb": ("start", "fc", "decrypt")}
    found = [(fault, stage) for fault in FAULTS for stage in slow.get(fault, STAGES)]
    return [*found, *((damage, "results") for damage in DAMAGES)][:60]


def misbehave(fault: str, stage: str, folder: Path) -> None:
    """Be the child: run as usual until ``stage``, then go wrong."""
    from evaluators.fhe.seal import child, engine

    if fault in DAMAGES:
        child.main(folder)
        DAMAGES[fault][0](folder)
        os._exit(0)
    if stage == "start":
        engine.Scheme = lambda *parameters: FAULTS[fault][0]()  # type: ignore[assignment,misc]
    real = engine.Clock.__init__

    def init(self: engine.Clock, tell: Callable[[str], None]) -> None:
        def watched(name: str) -> None:
            tell(name)
            if name == stage:
                FAULTS[fault][0]()

        real(self, watched)

    engine.Clock.__init__ = init  # type: ignore[method-assign]
    child.main(folder)
    os._exit(0)


def run_case(fault: str, stage: str) -> dict[str, object]:
    """What becomes of one fault."""
    from evaluators.fhe.seal.run import run_encrypted

    command = (sys.executable, str(Path(__file__).resolve()), "--child", fault, stage)
    packed, params, inputs = _network()
    began = time.perf_counter()
    kind, detail = "none", ""
    try:
        limits = SHORT if fault in ("hang", "spin") else LIMITS
        run_encrypted(packed, params, inputs, limits=limits, child=command)
    except BackendFailure as failure:
        kind, detail = failure.kind, failure.detail
    right = (FAULTS.get(fault) or DAMAGES[fault])[1]
    return {
        "fault": fault,
        "stage": stage,
        "kind": kind,
        "right": kind in right,
        "seconds": round(time.perf_counter() - began, 2),
        "left_running": len(_children()),
        "detail": detail[:160],
    }


def _children() -> list[int]:
    """Processes that this one started and that still exist, and theirs in the same command."""
    found = []
    for status in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = status.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"--child" in words and Path(__file__).name.encode() in b" ".join(words):
            found.append(int(status.parent.name))
    return found


def _network():  # type: ignore[no-untyped-def]  # noqa: ANN202
    """One linear layer 16 -> 4 packed by hand: small, yet all stages are there."""
    from scipy.sparse import csr_array

    from evaluators.fhe.graph import Graph, Linear, Node
    from evaluators.fhe.packed import Layout, PackedLinear, PackedNetwork, Term
    from spaces.ckks.params import Chain, CkksParams

    params = CkksParams(12, Chain(30, (25,), (42,)), 25)
    slots, m = params.slots, 16
    matrix = np.random.default_rng(0).normal(size=(4, m))
    padded = np.zeros((m, m))
    padded[:4] = matrix
    rows = np.arange(slots) % m
    layout = Layout(np.arange(m), m, 1, "rows")
    out = Layout(np.arange(4), m, 1, "rows")
    linear = PackedLinear(
        "fc", layout, out, tuple(Term(0, 0, k, 0) for k in range(m)), (), False,
        lambda k: padded[rows, (rows + k) % m], lambda: np.zeros((1, slots)),
    )  # fmt: skip
    nodes = (
        Node("x", "input", (), (m,)),
        Node("fc", "linear", ("x",), (4,), linear=Linear(csr_array(matrix), np.zeros(4))),
    )
    packed = PackedNetwork(
        Graph(nodes, {}), slots, {"x": layout, "fc": out}, {"fc": linear},
        lambda x: np.tile(x, slots // m)[None], lambda y: y[0, :4],
    )  # fmt: skip
    return packed, params, np.random.default_rng(1).uniform(-1, 1, size=(2, m))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--child", nargs=3, metavar=("FAULT", "STAGE", "FOLDER"))
    parser.add_argument("--only", help="one fault")
    parser.add_argument("--smoke", action="store_true", help="four cases, in seconds")
    arguments = parser.parse_args()
    if arguments.child:
        fault, stage, folder = arguments.child
        misbehave(fault, stage, Path(folder))
    chosen = [case for case in cases() if arguments.only in (None, case[0])]
    rows = []
    for fault, stage in chosen[:: len(chosen) // 4] if arguments.smoke else chosen:
        rows.append(run_case(fault, stage))
        print(json.dumps(rows[-1]), flush=True)
    summary = {
        "cases": len(rows),
        "right": sum(bool(row["right"]) for row in rows),
        "left_running": max(int(str(row["left_running"])) for row in rows),
        "kinds": Counter(str(row["kind"]) for row in rows),
        "tenseal": version("tenseal"),
        "evidence": "measured",
        "host": platform.machine(),
    }
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
