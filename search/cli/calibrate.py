"""``search calibrate 2pc``: time the operators of a two-party backend on this host."""

from __future__ import annotations

import json as json_module
import sys
import time

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
