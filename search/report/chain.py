"""The modulus chain of a CKKS trial prime by prime, and its layers one by one, from plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from search.api.trial import Trial

Role = Literal["key switching", "spare", "level", "kept"]

CLIENT: Mapping[str, str] = {"encrypt": "input", "decrypt": "output"}
"""What a back end calls the client's stages -> what predictions call them."""


@dataclass(frozen=True)
class Prime:
    """One prime of a modulus chain.

    Args:
        bits: its size.
        role: ``key switching`` (P), ``spare`` (no layer needs it), ``level`` (a layer's rescaling
            drops it), ``kept`` (q0, which holds the result).
        layer: the layer that drops it; empty where none does, or nobody noted which.
        scale: log2 of the scale of that layer's result; None where there is none.
    """

    bits: int
    role: Role
    layer: str = ""
    scale: float | None = None


@dataclass(frozen=True)
class Layer:
    """One stage of an encrypted inference.

    Args:
        name: node of the network; ``input`` and ``output`` are the client's.
        kind: such as ``linear`` or ``square``.
        place: ``client`` or ``server``.
        limbs: primes before and after it; None if nobody noted them.
        dropped: bits of the primes that it drops.
        scale: log2 of the scale of its result; None if nobody noted it.
        predicted_ms: CPU time by the model, without corrections.
        cpu_ms, wall_ms: measured; None if it was not run.
        error_share: share of the variance of the encryption error at the output that arises here,
            in [0, 1], by the model of noise; None if unknown.
    """

    name: str
    kind: str
    place: str
    limbs: tuple[int, int] | None = None
    dropped: tuple[int, ...] = ()
    scale: float | None = None
    predicted_ms: float | None = None
    cpu_ms: float | None = None
    wall_ms: float | None = None
    error_share: float | None = None


@dataclass(frozen=True)
class Chain:
    """What a trial's parameters and notes say about its chain.

    Args:
        log_n: log2 of the ring dimension.
        scale: bits of the scale.
        packing: how the client lays out its input.
        secret_weight: non-zero entries of a sparse secret; None for a dense one.
        primes: in the order of use: for key switching, spare ones, levels as they are dropped, and
            the one that is kept.
        layers: in execution order; empty if the trial ended before its prediction.
    """

    log_n: int
    scale: int
    packing: str
    secret_weight: int | None
    primes: tuple[Prime, ...]
    layers: tuple[Layer, ...]

    @property
    def log_qp(self) -> int:
        """Bits of all primes."""
        return sum(prime.bits for prime in self.primes)


def chain_of(trial: Trial) -> Chain | None:
    """The chain of ``trial``; None if its candidate is no CKKS configuration."""
    outcome = trial.outcome
    candidate = outcome.candidate if outcome else None
    payload = candidate.get("payload") if isinstance(candidate, Mapping) else None
    chain = payload.get("chain") if isinstance(payload, Mapping) else None
    if outcome is None or not isinstance(payload, Mapping) or not isinstance(chain, Mapping):
        return None
    try:
        data = [int(chain["first"]), *(int(bits) for bits in chain["levels"])]
        special = [int(bits) for bits in chain["special"]]
        log_n, scale, secret = int(payload["log_n"]), int(payload["scale"]), None
        if payload.get("secret_weight") is not None:
            secret = int(payload["secret_weight"])
    except (KeyError, TypeError, ValueError):
        return None
    layers = _layers(outcome.notes, data)
    return Chain(
        log_n, scale, str(payload.get("input_packing", "plain")), secret,
        (*(Prime(bits, "key switching") for bits in special), *_data_primes(data, layers)),
        layers,
    )  # fmt: skip


def _data_primes(data: Sequence[int], layers: Sequence[Layer]) -> list[Prime]:
    """The data primes as they go, the kept one last."""
    known = [layer for layer in layers if layer.limbs is not None]
    users = {
        place: layer
        for layer in known
        if layer.limbs is not None
        for place in range(layer.limbs[1], layer.limbs[0])
    }
    found = []
    for place in range(len(data) - 1, 0, -1):
        user = users.get(place)
        if user is not None:
            found.append(Prime(data[place], "level", user.name, user.scale))
        else:
            found.append(Prime(data[place], "spare" if known else "level"))
    return [*found, Prime(data[0], "kept")]


def _layers(notes: Mapping[str, Any], data: Sequence[int]) -> tuple[Layer, ...]:
    """Prediction and measurement of each stage side by side."""
    noted = notes.get("ckks_predicted")
    predicted = _rows(noted.get("stages") if isinstance(noted, Mapping) else None)
    measured = {}
    for row in _rows(notes.get("ckks_stages")):
        name = str(row.get("stage"))
        measured[CLIENT.get(name, name)] = row
    found = []
    for row in predicted or [{**row, "node": name} for name, row in measured.items()]:
        name = str(row.get("node"))
        run = measured.get(name, {})
        before, after = _whole(row.get("limbs_in")), _whole(row.get("limbs_out"))
        limbs = None if before is None or after is None else (before, after)
        dropped = () if limbs is None else tuple(reversed(data[limbs[1] : limbs[0]]))
        found.append(
            Layer(
                name, str(row.get("kind", "")), str(row.get("place", "")), limbs, dropped,
                _number(row.get("scale_out")), _number(row.get("ms")) if predicted else None,
                _number(run.get("cpu_ms")), _number(run.get("ms")),
                _number(row.get("error_share")),
            )
        )  # fmt: skip
    return tuple(found)


def _rows(value: Any) -> list[Mapping[str, Any]]:
    if not isinstance(value, (list, tuple)):
        return []
    return [row for row in value if isinstance(row, Mapping)]


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) else None
