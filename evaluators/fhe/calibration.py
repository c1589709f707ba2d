"""Calibration of the CKKS cost model: times of this host, kept in the cache.

A measurement is a JSON file::

    {"schema": 1, "backend": "tenseal", "version": "0.3.18", "host": {"name": "...", ...},
     "date": "2026-11-22", "milliseconds": {"rotate": {"13": [0.12, 0.05, 0.0], ...}, ...},
     "factor": 1.1, "spread": 0.02, "samples": 278}

The three coefficients are those of :func:`evaluators.fhe.costs.features`. ``factor`` is measured
over summed times of an encrypted block, and stands for colder caches and the interpreter. Another
version of the library, or another processor, needs another measurement: it has another file name.

What encrypted runs teach afterwards (:func:`learn`) is kept beside it, a line for each run, until
the next measurement.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.api.errors import ConfigError, MissingExtra

if TYPE_CHECKING:
    from evaluators.fhe.costs import OperationTimes

SCHEMA = 1
BACKENDS = ("tenseal",)
_RUNS = 32  # latest encrypted runs that corrections are learnt from
_TIMEOUT_S = 900.0

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Corrections:
    """What encrypted runs on this host say of the model.

    Args:
        latency: median of measured over predicted time.
        bits: median of measured minus predicted bits of precision.
        runs: how many runs that is.
    """

    latency: float = 1.0
    bits: float = 0.0
    runs: int = 0


def calibrate(
    backend: str = "tenseal",
    *,
    grid: Mapping[int, Sequence[int]] | None = None,
    rounds: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Measure the operations of ``backend`` on this host and keep the result; a minute or two.

    Args:
        backend: one of :data:`BACKENDS`.
        grid: log2 N -> limbs to measure; all sizes of networks if absent.
        rounds: of which the least time counts.
        progress: told (done, all, what) after each ring dimension.

    Returns:
        the file, which cost models with ``calibration: auto`` read from now on.

    Raises:
        ConfigError: the backend is unknown.
        MissingExtra: it is not installed.
        EvaluationError: the measurement failed.
    """
    from evaluators.fhe.seal_host import block_factor, operation_samples

    _check(backend)
    samples = operation_samples(grid, rounds, progress=progress, timeout_s=_TIMEOUT_S)
    coefficients = _fit(samples)
    factor = block_factor(_times(backend, "this measurement", coefficients, 1.0))
    if progress is not None:
        sizes = len(dict.fromkeys(sample[1] for sample in samples)) + 1
        progress(sizes, sizes, "an encrypted block")
    data = {
        "schema": SCHEMA,
        "backend": backend,
        "version": library_version(backend),
        "host": host(),
        "date": date.today().isoformat(),
        "samples": len(samples),
        "spread": _spread(samples, coefficients),
        "factor": factor,
        "milliseconds": coefficients,
    }
    _file(backend, "runs.jsonl").unlink(missing_ok=True)  # they were off from other times
    return _write(calibration_file(backend), data)


def find_times(wanted: str, backend: str = "tenseal") -> OperationTimes:
    """The times to use.

    Args:
        wanted: ``auto`` (those of this host if there are any, else the shipped table), ``none``
            (the shipped table), or a path of a ``.json`` (a measurement) or ``.toml`` (a table).
        backend: whose.

    Raises:
        ConfigError: the file is missing (but for ``auto``) or has another form or backend.
    """
    from evaluators.fhe.costs import shipped_times

    shipped = {"tenseal": "ckks_seal", "orion": "ckks_lattigo"}
    if backend not in shipped:
        raise ConfigError(f"unknown backend {backend!r} (known: {', '.join(shipped)})")
    if wanted == "auto":
        file = calibration_file(backend)
        return read_times(file, backend) if file.is_file() else shipped_times(shipped[backend])
    if wanted == "none":
        return shipped_times(shipped[backend])
    if wanted.endswith(".toml"):
        return shipped_times(wanted)
    return read_times(Path(wanted), backend)


def read_times(path: Path, backend: str) -> OperationTimes:
    """The measurement in ``path``.

    Raises:
        ConfigError: the file is missing, is not JSON, has another form, schema or backend, or holds
            a number that is negative or not finite.
    """
    source = str(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"cannot read the calibration ({error.strerror}). `search calibrate ckks` makes one.",
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
    rows = data.get("milliseconds")
    if not isinstance(rows, dict) or not rows:
        raise ConfigError("no times in it", path="calibration.milliseconds", source=source)
    coefficients = {str(op): _rows(entry, str(op), source) for op, entry in rows.items()}
    factor = _number(data.get("factor"), "calibration.factor", source)
    named = data.get("host")
    name = named.get("name", "this host") if isinstance(named, dict) else "this host"
    origin = f"measured on {name}, {data.get('date', 'unknown date')}"
    return _times(f"{backend} {data.get('version', '')}".strip(), origin, coefficients, factor)


def calibration_file(backend: str) -> Path:
    """Where the measurement of ``backend`` in its version on this processor is kept."""
    return _file(backend, "json")


def corrections(backend: str = "tenseal") -> Corrections:
    """What encrypted runs on this host have taught; nothing without any."""
    try:
        lines = _file(backend, "runs.jsonl").read_text(encoding="utf-8").splitlines()
    except OSError:
        return Corrections()
    runs = [run for run in map(_run, lines) if run is not None][-_RUNS:]
    if not runs:
        return Corrections()
    return Corrections(
        latency=statistics.median(run[0] for run in runs),
        bits=statistics.median(run[1] for run in runs),
        runs=len(runs),
    )


def learn(
    predicted: tuple[float, float], measured: tuple[float, float], backend: str = "tenseal"
) -> None:
    """Keep what an encrypted run says of the model, for :func:`corrections`.

    Args:
        predicted: (ms, bits of precision) of the model without corrections.
        measured: the same of the encrypted run; ms of CPU time.
        backend: that ran it.

    Raises:
        ConfigError: a time is not positive, or a number is not finite.
    """
    numbers = (*predicted, *measured)
    if not all(math.isfinite(value) for value in numbers) or min(predicted[0], measured[0]) <= 0:
        raise ConfigError(
            f"expected finite numbers and positive times (got predicted {predicted}, "
            f"measured {measured})"
        )
    file = _file(backend, "runs.jsonl")
    file.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps({"latency": measured[0] / predicted[0], "bits": measured[1] - predicted[1]})
    # One short line in append mode is written as a whole: workers may learn at the same time.
    with file.open("a", encoding="utf-8") as stream:
        stream.write(line + "\n")


def library_version(backend: str) -> str:
    """Version of the library behind ``backend``; empty if it is not installed."""
    try:
        return version(backend)
    except PackageNotFoundError:
        return ""


def _check(backend: str) -> None:
    if backend not in BACKENDS:
        raise ConfigError(f"unknown backend {backend!r} (known: {', '.join(BACKENDS)})")
    if not library_version(backend):
        raise MissingExtra(
            "CKKS calibration needs tenseal (not installed). Install it: pip install tenseal"
        )


def _file(backend: str, ending: str) -> Path:
    from search.workloads.data.options import cache_directory

    found = library_version(backend) or "none"
    processor = hashlib.sha256(str(host()["cpu"]).encode()).hexdigest()[:8]
    name = re.sub(r"[^\w.-]", "_", f"ckks-{backend}-{found}-{host()['name']}-{processor}")
    return cache_directory() / "calibration" / f"{name}.{ending}"


def host() -> dict[str, Any]:
    """What identifies this machine in a calibration."""
    from evaluators.mpc.calibration import host as facts

    return facts()


def _fit(samples: Sequence[tuple[str, int, int, float]]) -> dict[str, dict[str, list[float]]]:
    from evaluators.fhe.costs import fit

    found: dict[str, dict[str, list[float]]] = {}
    for operation in dict.fromkeys(s[0] for s in samples):
        for log_n in sorted({s[1] for s in samples if s[0] == operation}):
            own = [(s[2], s[3]) for s in samples if s[:2] == (operation, log_n)]
            coefficients = fit(operation, own)  # type: ignore[arg-type]
            found.setdefault(operation, {})[str(log_n)] = list(coefficients)
    return found


def _spread(
    samples: Sequence[tuple[str, int, int, float]],
    coefficients: Mapping[str, Mapping[str, Sequence[float]]],
) -> float:
    times = _times("", "", coefficients, 1.0)
    return statistics.median(
        abs(float(times.milliseconds(op, log_n, limbs)) / ms - 1)  # type: ignore[arg-type]
        for op, log_n, limbs, ms in samples
    )


def _times(
    library: str,
    origin: str,
    coefficients: Mapping[str, Mapping[str, Sequence[float]]],
    factor: float,
) -> OperationTimes:
    from evaluators.fhe.costs import OperationTimes

    rows: Any = {
        op: {int(log_n): tuple(values) for log_n, values in entry.items()}
        for op, entry in coefficients.items()
    }
    return OperationTimes(library, origin, rows, factor, measured=True)


def _write(path: Path, data: Mapping[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    os.replace(scratch, path)
    return path


def _rows(entry: Any, operation: str, source: str) -> dict[str, list[float]]:
    where = f"calibration.milliseconds.{operation}"
    if not isinstance(entry, dict) or not entry:
        raise ConfigError(
            f"expected log2 N -> three numbers (got {entry!r})", path=where, source=source
        )
    found = {}
    for log_n, values in entry.items():
        if not str(log_n).isdigit() or not isinstance(values, list) or len(values) != 3:
            raise ConfigError(
                f"expected log2 N -> three numbers (got {log_n!r}: {values!r})",
                path=where,
                source=source,
            )
        found[str(log_n)] = [_number(v, f"{where}.{log_n}", source) for v in values]
    return found


def _number(value: Any, where: str, source: str) -> float:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value < 0:
        raise ConfigError(
            f"expected a finite number, 0 or more (got {value!r})", path=where, source=source
        )
    return float(value)


def _run(line: str) -> tuple[float, float] | None:
    """A line of the file of runs; None if a crash cut it off."""
    try:
        data = json.loads(line)
        return float(data["latency"]), float(data["bits"])
    except (ValueError, KeyError, TypeError):
        return None
