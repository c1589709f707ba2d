"""Calibration: seconds per operator of a real backend on this host, for the cost models.

Small random networks are run between two processes, and the time of every step is explained as a
sum of non-negative rates times what the step works on (:mod:`evaluators.mpc.cpu_times` has the form
of the file). Times include what loopback takes to carry the messages, which is why the profile
``loopback`` adds nothing to them.

Between steps of a real network caches are colder and processes wait for each other a little more
than single steps tell. One factor for all rates, the median over the networks of measured over
explained total, makes the totals right.
"""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from evaluators.mpc.cpu_times import SCHEMA, calibration_file
from search.api.errors import ConfigError, EvaluationError

BACKENDS = ("crypten",)

# What an operator's time can depend on. Amounts that always grow together share one rate.
_AMOUNTS: Mapping[str, tuple[str, ...]] = {
    "conv": ("call", "element", "output", "mac", "weight"),
    "linear": ("call", "element", "weight"),
    "maxpool": ("call", "output"),
    "avgpool": ("call", "element", "output"),
}
_ELEMENTWISE = ("call", "element")

Rates = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Sample:
    """One step of one network.

    Args:
        network: number of the network.
        operator: as cost models know it.
        amounts: ``call``, ``element``, ``output``, ``mac`` and ``weight`` per inference.
        seconds: what the step took.
    """

    network: int
    operator: str
    amounts: Mapping[str, float]
    seconds: float


def calibrate(
    backend: str = "crypten", *, progress: Callable[[int, int], None] | None = None
) -> Path:
    """Measure ``backend`` on this host and keep the result; about half a minute.

    Args:
        backend: one of :data:`BACKENDS`.
        progress: told how many networks of how many are done.

    Returns:
        the file, which cost models with ``calibration: auto`` read from now on.

    Raises:
        ConfigError: the backend is unknown.
        MissingExtra: it is not installed.
        EvaluationError: the runs failed.
    """
    if backend not in BACKENDS:
        raise ConfigError(f"unknown backend {backend!r} (known: {', '.join(BACKENDS)})")
    from evaluators.mpc.crypten.samples import measure

    samples = measure(progress=progress)
    return write(backend, fit(samples), samples)


def fit(samples: Sequence[Sample]) -> Rates:
    """Seconds by operator and amount, all 0 or more.

    Least squares with each row divided by the square root of its time: long steps count more, but
    do not drown the short ones. Then the common factor of the module's docstring.

    Raises:
        EvaluationError: there is no sample.
    """
    if not samples:
        raise EvaluationError("calibration: nothing was measured")
    rates = {
        operator: _fit_one(operator, [s for s in samples if s.operator == operator])
        for operator in dict.fromkeys(s.operator for s in samples)
    }
    factor = statistics.median(
        sum(s.seconds for s in own) / sum(explained(s, rates) for s in own)
        for own in _by_network(samples)
    )
    return {
        operator: {name: value * factor for name, value in entry.items()}
        for operator, entry in rates.items()
    }


def explained(sample: Sample, rates: Rates) -> float:
    """Seconds that ``rates`` give for ``sample``."""
    rate = rates[sample.operator]
    return sum(value * sample.amounts[name] for name, value in rate.items())


def spread(samples: Sequence[Sample], rates: Rates) -> float:
    """Median over networks of |explained / measured - 1|, as a share: how good the rates are."""
    return statistics.median(
        abs(sum(explained(s, rates) for s in own) / sum(s.seconds for s in own) - 1)
        for own in _by_network(samples)
    )


def write(backend: str, rates: Rates, samples: Sequence[Sample], path: Path | None = None) -> Path:
    """Keep ``rates`` as the calibration of ``backend``; atomic. Returns the file."""
    path = path or calibration_file(backend)
    data = {
        "schema": SCHEMA,
        "backend": backend,
        "host": host(),
        "date": date.today().isoformat(),
        "samples": len(samples),
        "spread": spread(samples, rates),
        "cpu_seconds": rates,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    os.replace(scratch, path)
    return path


def host() -> dict[str, Any]:
    """What identifies this machine in a calibration."""
    return {
        "name": platform.node(),
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def _fit_one(operator: str, samples: Sequence[Sample]) -> dict[str, float]:
    import numpy as np
    from scipy.optimize import nnls

    names = _AMOUNTS.get(operator, _ELEMENTWISE)
    weights = np.array([1.0 / math.sqrt(max(s.seconds, 1e-7)) for s in samples])
    rows = np.array([[s.amounts[name] for name in names] for s in samples])
    sizes = np.maximum(rows.max(axis=0), 1.0)  # macs are in millions, calls are 1
    found, _ = nnls(rows / sizes * weights[:, None], weights * [s.seconds for s in samples])
    return {name: float(v) for name, v in zip(names, found / sizes, strict=True) if v > 0} or {
        "call": 0.0
    }


def _by_network(samples: Sequence[Sample]) -> list[list[Sample]]:
    numbers = dict.fromkeys(s.network for s in samples)
    return [[s for s in samples if s.network == number] for number in numbers]


def _cpu_name() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    return names[0] if names else platform.machine()
