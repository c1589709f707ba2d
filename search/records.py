"""Trials and measurements as JSON and back: the one place that knows the stored form."""

from __future__ import annotations

import base64
import dataclasses
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search.api.domain import Scalar, Value
from search.api.metric import Constraint, Measurement, Metric
from search.api.network import Site
from search.api.trial import Origin, Outcome, RungResult

SCHEMA = 1
"""Version of the stored form; raised when a reader of the old form would misread the new one."""


def measurement_to_data(m: Measurement) -> dict[str, Any]:
    """A measurement as JSON-safe data; empty fields are left out."""
    data = dataclasses.asdict(m)
    return {k: v for k, v in data.items() if v is not None and v != ""}


def outcome_to_data(outcome: Outcome) -> dict[str, Any]:
    """An outcome as JSON-safe data, without its artefacts (the store keeps those apart)."""
    return {
        "status": outcome.status,
        "rungs": [
            {
                "rung": r.rung,
                "seconds": round(r.seconds, 4),
                "measurements": [measurement_to_data(m) for m in r.measurements],
            }
            for r in outcome.rungs
        ],
        "excess": dict(outcome.excess),
        "candidate": outcome.candidate,
        "notes": dict(outcome.notes),
        "error": outcome.error,
        "seconds": round(outcome.seconds, 4),
        "worker": outcome.worker,
    }


def outcome_from_data(
    number: int, data: Mapping[str, Any], artefacts: Mapping[str, Path]
) -> Outcome:
    """The inverse of :func:`outcome_to_data`."""
    return Outcome(
        number=number,
        status=data["status"],
        rungs=tuple(
            RungResult(r["rung"], r["seconds"], tuple(Measurement(**m) for m in r["measurements"]))
            for r in data["rungs"]
        ),
        excess=data["excess"],
        candidate=data["candidate"],
        artefacts=artefacts,
        notes=data["notes"],
        error=data["error"],
        seconds=data["seconds"],
        worker=data["worker"],
    )


def origin_to_data(origin: Origin) -> dict[str, Any]:
    """An origin as JSON-safe data; empty fields are left out."""
    return {k: v for k, v in dataclasses.asdict(origin).items() if v not in ("", None)}


def origin_from_data(data: Mapping[str, Any]) -> Origin:
    """The inverse of :func:`origin_to_data`."""
    return Origin(**data)


def metric_from_data(data: Mapping[str, Any]) -> Metric:
    """A metric from ``dataclasses.asdict``."""
    return Metric(**data)


def constraint_from_data(data: Mapping[str, Any]) -> Constraint:
    """A constraint from ``dataclasses.asdict``."""
    return Constraint(**data)


def site_from_data(data: Mapping[str, Any]) -> Site:
    """A site from ``dataclasses.asdict`` that went through JSON."""
    return Site(
        **{
            **data,
            "input_shape": tuple(data["input_shape"]),
            "output_shape": tuple(data["output_shape"]),
        }
    )


def pack_vector(values: tuple[Scalar, ...]) -> Any:
    """A vector as compact JSON: bits, integers and reals as base64, anything else as a list.

    10,000 bits take 1.7 kB, not 20 kB.
    """
    if all(type(v) is bool for v in values) or all(type(v) is int and v in (0, 1) for v in values):
        bits = "".join("1" if v else "0" for v in values)
        raw = int(bits or "0", 2).to_bytes((len(bits) + 7) // 8, "big")
        kind = "bool" if values and type(values[0]) is bool else "bits"
        return {"as": kind, "n": len(values), "data": base64.b64encode(raw).decode()}
    if all(type(v) is float for v in values):
        raw = struct.pack(f"<{len(values)}d", *values)
        return {"as": "f8", "n": len(values), "data": base64.b64encode(raw).decode()}
    if all(type(v) is int and -(2**31) <= v < 2**31 for v in values):
        raw = struct.pack(f"<{len(values)}i", *values)
        return {"as": "i4", "n": len(values), "data": base64.b64encode(raw).decode()}
    return list(values)


def unpack_vector(data: Any) -> tuple[Scalar, ...]:
    """The inverse of :func:`pack_vector`."""
    if isinstance(data, list):
        return tuple(data)
    raw, n, kind = base64.b64decode(data["data"]), int(data["n"]), data["as"]
    if kind in ("bits", "bool"):
        bits = bin(int.from_bytes(raw, "big"))[2:].zfill(n) if n else ""
        return tuple(b == "1" if kind == "bool" else int(b) for b in bits)
    return struct.unpack(f"<{n}{'d' if kind == 'f8' else 'i'}", raw)


def split_point(point: Mapping[str, Value]) -> tuple[dict[str, Scalar], dict[str, Any]]:
    """Scalars as they are, and vectors packed."""
    scalars: dict[str, Scalar] = {}
    vectors: dict[str, Any] = {}
    for name, value in point.items():
        if isinstance(value, tuple):
            vectors[name] = pack_vector(value)
        else:
            scalars[name] = value
    return scalars, vectors
