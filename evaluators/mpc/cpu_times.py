"""CPU times of a protocol's operators: measured on this host, or those of the table.

A measurement of this host is a JSON file in the cache, one per backend::

    {"schema": 1, "backend": "crypten", "host": {"name": "...", ...}, "date": "2026-11-22",
     "cpu_seconds": {"relu": {"call": 0.004, "element": 1.2e-6}, "conv": {"mac": 2e-9}, ...}}

Keys of an operator are ``call``, ``element``, ``output``, ``mac`` and ``weight``, in seconds; those
left out are 0. Max pools are measured with windows of 2 x 2.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluators.linear import Rate
from search.api.errors import ConfigError
from search.workloads.data.options import cache_directory

SCHEMA = 1
_AMOUNTS = ("call", "element", "output", "mac", "weight")


@dataclass(frozen=True)
class CpuTimes:
    """Measured CPU seconds.

    Args:
        backend: what was measured: name of a protocol.
        host: name of the machine.
        date: when, ISO form.
        seconds: operator -> seconds by call, element, output, mac and weight.
        path: file they were read from.
    """

    backend: str
    host: str
    date: str
    seconds: Mapping[str, Rate]
    path: str = ""

    def describe(self) -> str:
        """Where and when, and of which operators, for people."""
        return f"measured on {self.host}, {self.date}, for {', '.join(sorted(self.seconds))}"


def calibration_file(backend: str) -> Path:
    """Where the measurement of ``backend`` on this host is kept."""
    return cache_directory() / "calibration" / f"2pc-{backend}.json"


def find_cpu_times(wanted: str, backend: str) -> CpuTimes | None:
    """The measured times to use with ``backend``.

    Args:
        wanted: ``auto`` (those of this host if there are any), ``none``, or a path.
        backend: name of the protocol.

    Raises:
        ConfigError: the file is missing (but for ``auto``) or has another form or backend.
    """
    if wanted == "none":
        return None
    if wanted == "auto":
        file = calibration_file(backend)
        return read_cpu_times(file, backend) if file.is_file() else None
    return read_cpu_times(Path(wanted), backend)


def read_cpu_times(path: Path, backend: str) -> CpuTimes:
    """The measurement in ``path``.

    Raises:
        ConfigError: the file is missing, is not JSON, has another form or schema, holds a negative
            or infinite number, or is of another backend.
    """
    source = str(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"cannot read the calibration ({error.strerror}). `search calibrate 2pc` makes one.",
            path="calibration",
            source=source,
        ) from error
    except ValueError as error:
        raise ConfigError(
            f"not a JSON file ({error})", path="calibration", source=source
        ) from error
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        got = data.get("schema") if isinstance(data, dict) else type(data).__name__
        raise ConfigError(
            f"not a calibration of this version (got schema {got!r}; expected {SCHEMA})",
            path="calibration",
            source=source,
        )
    if data.get("backend") != backend:
        raise ConfigError(
            f"measured for another backend (got {data.get('backend')!r}; expected {backend!r})",
            path="calibration.backend",
            source=source,
        )
    seconds = data.get("cpu_seconds")
    if not isinstance(seconds, dict) or not seconds:
        raise ConfigError("no CPU times in it", path="calibration.cpu_seconds", source=source)
    return CpuTimes(
        backend,
        _host(data.get("host")),
        str(data.get("date", "unknown date")),
        {str(op): _rate(entry, str(op), source) for op, entry in seconds.items()},
        source,
    )


def _host(host: Any) -> str:
    if isinstance(host, Mapping):
        return str(host.get("name") or host.get("node") or host.get("hostname") or "this host")
    return str(host or "this host")


def _rate(entry: Any, operator: str, source: str) -> Rate:
    where = f"calibration.cpu_seconds.{operator}"
    if not isinstance(entry, dict) or not set(entry) <= set(_AMOUNTS):
        raise ConfigError(
            f"expected seconds by {', '.join(_AMOUNTS)} (got {entry!r})", path=where, source=source
        )
    for name, value in entry.items():
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or value < 0:
            raise ConfigError(
                f"expected a finite number, 0 or more (got {value!r})",
                path=f"{where}.{name}",
                source=source,
            )
    return Rate(**{name: float(value) for name, value in entry.items()})
