"""The processes of a run: one prepares, two compute. Run by SPU's interpreter, which has no torch.

Started as ``python -I party.py ROLE FOLDER PARENT``. ``prepare`` compiles the network and shares
weights and images, as their owners would; ``0`` (with the weights) and ``1`` (with the images) are
the parties; ``probe`` succeeds where a private network can be set up. Each dies with its parent.
"""

from __future__ import annotations

import ctypes
import fcntl
import importlib.util
import json
import os
import pickle
import signal
import socket
import statistics
import struct
import sys
import time
from pathlib import Path
from typing import Any

JOB, ARRAYS, OUTPUTS = "job.json", "arrays.npz", "outputs.npy"
READY, REPORT, ERROR = "ready", "report.json", "error"
"""Files of the run; those of the second line follow a role and a point."""

CLIENT = 1

_PR_SET_PDEATHSIG = 1
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
_TCP_INFO, _RECEIVED_AT = 11, 128  # tcpi_bytes_received; Source: linux/tcp.h (since 4.1)
_SETTLE_S = 0.02  # what brpc still answers after the last message of a run


def prepare(folder: Path) -> None:
    """Compile the program, and write what each party holds before the online phase."""
    import jax
    import numpy as np
    import spu
    from spu.utils import frontend

    job = json.loads((folder / JOB).read_text(encoding="utf-8"))
    with np.load(folder / ARRAYS) as file:
        arrays = {name: file[name] for name in file.files}
    private, public, indices = (_under(arrays, part) for part in ("private/", "public/", "index/"))
    operations = _operations()
    clear = operations.public_inputs(job["steps"], public, job["fraction_bits"])

    def network(x: Any, weights: Any, known: Any) -> Any:
        return operations.evaluate(job["steps"], job["output"], indices, x, weights, known)

    images = arrays["x"]
    arguments = (images[:1], private, clear)
    secret, open_ = spu.Visibility.VIS_SECRET, spu.Visibility.VIS_PUBLIC
    leaves = [jax.tree_util.tree_leaves(part) for part in arguments]
    seen = [v for part, v in zip(leaves, (secret, secret, open_), strict=True) for _ in part]
    names = [f"in{number}" for number in range(len(seen))]
    executable, _ = frontend.compile(
        frontend.Kind.JAX, network, arguments, {}, names, seen, lambda out: ["out"]
    )
    io = spu.Io(2, _config(spu, job))
    flat = [np.asarray(leaf) for part in leaves for leaf in part]
    fixed = [io.make_shares(a, v) for a, v in zip(flat[1:], seen[1:], strict=True)]
    inputs = [io.make_shares(images[i : i + 1], secret) for i in range(len(images))]
    for rank in (0, 1):
        held = {
            "names": names,
            "code": executable.code,
            "fixed": [shares[rank] for shares in fixed],
            "inputs": [shares[rank] for shares in inputs],
        }
        (folder / f"{rank}.pickle").write_bytes(pickle.dumps(held))


def compute(folder: Path, rank: int) -> None:
    """Take part in the run as party ``rank``; write a report, and the outputs as the client."""
    job = json.loads((folder / JOB).read_text(encoding="utf-8"))
    if job["private_network"]:
        loopback_up()
    (folder / f"{rank}.{READY}").touch()
    import numpy as np
    import spu
    from spu import libspu

    # Our own prepare wrote it, to a folder that nobody else may enter.
    held = pickle.loads((folder / f"{rank}.pickle").read_bytes())  # noqa: S301
    config = _config(spu, job)
    description = libspu.link.Desc()
    for number, port in enumerate(job["ports"]):
        description.add_party(str(number), f"127.0.0.1:{port}")
    description.recv_timeout_ms = description.http_timeout_ms = int(1e3 * job["timeout_s"])
    description.connect_retry_times = max(10, int(job["timeout_s"]))
    link = libspu.link.create_brpc(description, rank)  # returns when the other one is there, too
    began = time.perf_counter()
    runtime = spu.Runtime(link, config)
    for name, share in zip(held["names"][1:], held["fixed"], strict=True):
        runtime.set_var(name, share)
    executable = spu.Executable(
        name="network", input_names=held["names"], output_names=["out"], code=held["code"]
    )
    outputs: dict[int, Any] = {}
    runs = []
    idle = _counted(link, lambda: None)
    for number in range(job["inferences"] + 1):  # the first one, untimed, also sets up
        image = number % len(held["inputs"])
        runtime.set_var(held["names"][0], held["inputs"][image])
        seen = _counted(link, lambda: runtime.run(executable))
        runs.append({key: seen[key] - (key != "seconds") * idle[key] for key in seen})
        outputs[image] = runtime.get_var("out")
        if number == 0:
            first = time.perf_counter() - began
    (folder / f"{rank}.out").write_bytes(pickle.dumps([outputs[i] for i in sorted(outputs)]))
    link.barrier()
    if rank == CLIENT:
        parts = [pickle.loads((folder / f"{r}.out").read_bytes()) for r in (0, 1)]  # noqa: S301
        opened = [spu.Io(2, config).reconstruct(list(pair)) for pair in zip(*parts, strict=True)]
        np.save(folder / OUTPUTS, np.concatenate(opened))
    online = statistics.median(run["seconds"] for run in runs[1:])
    report = {"setup_seconds": first - online, "setup": runs[0], "runs": runs[1:]}
    (folder / f"{rank}.{REPORT}").write_text(json.dumps(report), encoding="utf-8")
    link.barrier()  # neither leaves while the other still listens
    link.stop_link()


def loopback_up() -> None:
    """Switch the loopback interface of this network namespace on."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(control, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))


def received_bytes() -> int:
    """Bytes of payload that the kernel has received for this process over TCP."""
    total = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            if not os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                continue
            with socket.socket(fileno=os.dup(int(name))) as one:
                if one.type != socket.SOCK_STREAM or one.family == socket.AF_UNIX:
                    continue
                info = one.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, 256)
        except OSError:  # closed meanwhile, or no TCP
            continue
        if len(info) >= _RECEIVED_AT + 8:
            total += struct.unpack_from("=Q", info, _RECEIVED_AT)[0]
    return total


def interface_bytes() -> int:
    """Bytes that the loopback interface of this network namespace has received, with headers."""
    for line in Path("/proc/self/net/dev").read_text(encoding="utf-8").splitlines():
        name, _, counters = line.partition(":")
        if name.strip() == "lo":
            return int(counters.split()[0])
    return 0


def _counted(link: Any, act: Any) -> dict[str, float]:
    """Seconds of ``act`` alone; bytes with one barrier before it and one after."""
    link.barrier()
    time.sleep(_SETTLE_S)
    received, interface = received_bytes(), interface_bytes()
    time.sleep(_SETTLE_S)
    link.barrier()
    began = time.perf_counter()
    act()
    seconds = time.perf_counter() - began
    link.barrier()
    time.sleep(_SETTLE_S)
    found = {
        "seconds": seconds,
        "received": received_bytes() - received,
        "interface": interface_bytes() - interface,
    }
    time.sleep(_SETTLE_S)
    return found


def _config(spu: Any, job: dict[str, Any]) -> Any:
    config = spu.RuntimeConfig()
    config.protocol = getattr(spu.ProtocolKind, job["protocol"])
    config.field = getattr(spu.FieldType, job["field"])
    config.fxp_fraction_bits = job["fraction_bits"]
    config.max_concurrency = job["threads"]
    return config


def _under(arrays: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}


def _operations() -> Any:
    """The script beside this one: an isolated interpreter does not look for modules here."""
    spec = importlib.util.spec_from_file_location(
        "operations", Path(__file__).with_name("operations.py")
    )
    if spec is None or spec.loader is None:
        raise ImportError("operations.py is missing")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _die_with(parent: int) -> None:
    """Be killed when ``parent`` dies, even within a long call into SPU."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # too late
        sys.exit(70)


def main(role: str, folder: Path) -> None:
    """Act as ``role``."""
    if role == "probe":
        loopback_up()
        return
    try:
        if role == "prepare":
            prepare(folder)
        else:
            compute(folder, int(role))
    except Exception as error:
        # Apart from the log, which SPU's own lines end: its messages begin with the cause.
        words = " ".join(f"{type(error).__name__}: {error}".split())
        (folder / f"{role}.{ERROR}").write_text(words[:400], encoding="utf-8")
        raise


if __name__ == "__main__":
    _die_with(int(sys.argv[3]))
    main(sys.argv[1], Path(sys.argv[2]))
