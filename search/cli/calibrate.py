"""``search calibrate``: time the operators of a back end on this host."""

from __future__ import annotations

import json as json_module
import sys
import time
from pathlib import Path

from search.cli.text import duration, table


def calibrate_2pc(backend: str, *, json: bool, quiet: bool) -> None:
    """Measure, keep the result, and print it.

    Raises:
        ConfigError: the backend is unknown.
        MissingExtra: it is not installed.
        EvaluationError: the runs failed.
    """
    from evaluators.mpc.calibration import calibrate

    began = time.monotonic()
    show = None if quiet or json else _Progress()
    path = calibrate(backend, progress=show)
    data = json_module.loads(path.read_text(encoding="utf-8"))
    if json:
        print(json_module.dumps({"file": str(path), **data}, indent=1))
        return
    if not quiet:
        names = ("call", "element", "output", "mac", "weight")
        rows = [
            (operator, *(f"{rate[name]:.2e}" if rate.get(name) else "" for name in names))
            for operator, rate in data["cpu_seconds"].items()
        ]
        print(table(("seconds per", *names), rows))
        print(
            f"\n{data['samples']} steps in {duration(time.monotonic() - began)}; these rates "
            f"explain a network's time within {100 * data['spread']:.0f} % (median)."
        )
        print("Other work on this machine while measuring makes them too high.")
    print(f"kept in {path}")


class _Progress:
    """A line that counts networks; one line each where nobody watches."""

    def __call__(self, done: int, total: int) -> None:
        live = sys.stderr.isatty()
        end = "\r" if live and done < total else "\n"
        print(f"measured {done} of {total} networks", end=end, file=sys.stderr, flush=True)


def calibrate_ckks(backend: str, *, json: bool, quiet: bool) -> None:
    """Measure operations on ciphertexts, keep the result, and print it.

    Raises:
        ConfigError: the backend is unknown.
        MissingExtra: it is not installed.
        EvaluationError: the runs failed.
    """
    from evaluators.fhe.calibration import calibrate

    began = time.monotonic()
    path = calibrate(backend, progress=None if quiet or json else _tell)
    data = json_module.loads(path.read_text(encoding="utf-8"))
    if json:
        print(json_module.dumps({"file": str(path), **data}, indent=1))
        return
    if not quiet:
        _show_ckks(path, backend)
        print(
            f"\n{data['samples']} times in {duration(time.monotonic() - began)}; the curves are "
            f"within {100 * data['spread']:.0f} % of them (median). An encrypted network took "
            f"{data['factor']:.2f} times their sum, and predictions are multiplied by that."
        )
        print("Other work on this machine while measuring makes them too high.")
    print(f"kept in {path}")


def _show_ckks(path: Path, backend: str) -> None:
    from evaluators.fhe.calibration import read_times

    times = read_times(path, backend)
    sizes = sorted({size for entry in times.coefficients.values() for size in entry})
    limbs = 4
    rows = [
        (op, *(f"{float(times.milliseconds(op, size, limbs)):.3g}" for size in sizes))
        for op in times.coefficients
    ]
    print(table((f"ms at {limbs} limbs", *(f"N {2**size}" for size in sizes)), rows))


def _tell(done: int, total: int, what: str) -> None:
    print(f"measured {done} of {total}: {what}", file=sys.stderr, flush=True)
