"""Trials that are sets of networks: what each member scores, from plain data.

An evaluator of members gives metrics ``m.1``, ``m.2``, ... (cheapest member first), ``m.worst`` and
``m.mean``; the stored candidate has a list ``members`` whose payloads tell their density.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from search.api.trial import Trial

_NUMBERED = re.compile(r"^(?P<name>.+)\.(?P<member>\d+)$")
_AGGREGATES = ("worst", "mean")

BUDGETS = ("energy_2pc", "normalised_relus", "latency_2pc", "bytes_2pc", "relu_count")
"""What members are drawn against: the first of these that was measured."""


def of_members(metrics: Iterable[str]) -> frozenset[str]:
    """Those of ``metrics`` that are values of members, or aggregates over them."""
    names = set(metrics)
    bases = bases_of(names)
    found = {n for n in names if (m := _NUMBERED.match(n)) and m["name"] in bases}
    return frozenset(found | {f"{b}.{word}" for b in bases for word in _AGGREGATES} & names)


def bases_of(metrics: Iterable[str]) -> tuple[str, ...]:
    """Names of the metrics that members were measured by, without the member's number."""
    names = list(metrics)
    return tuple(dict.fromkeys(n.removesuffix(".1") for n in names if n.endswith(".1")))


def member_payloads(trial: Trial) -> list[Mapping[str, Any]]:
    """Payload of each member of the trial's candidate; empty for one network."""
    candidate = trial.outcome.candidate if trial.outcome else None
    members = candidate.get("members") if isinstance(candidate, Mapping) else None
    found = []
    for member in members if isinstance(members, (list, tuple)) else ():
        payload = member.get("payload") if isinstance(member, Mapping) else None
        found.append(payload if isinstance(payload, Mapping) else {})
    return found


def nonzeros_of(payload: Mapping[str, Any]) -> int | None:
    """Weights that a member has; None if its payload does not say."""
    weights = payload.get("weights")
    if not isinstance(weights, (list, tuple)):
        return None
    counts = [w.get("nonzeros") for w in weights if isinstance(w, Mapping)]
    return sum(c for c in counts if isinstance(c, int)) if counts else None
