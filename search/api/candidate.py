"""What a point becomes: a candidate, or the reasons why it cannot be one."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

P_co = TypeVar("P_co", covariant=True)


@dataclass(frozen=True)
class Violation:
    """A rule that a point breaks.

    Args:
        rule: short name of the rule, such as ``relu_budget``.
        detail: one sentence: got, allowed, and the nearest legal value if known.
        excess: by how much, in ``unit``; greater than 0.
        unit: unit of ``excess``.
    """

    rule: str
    detail: str
    excess: float
    unit: str


@dataclass(frozen=True)
class Candidate(Generic[P_co]):
    """A member of a space, ready to be measured.

    Args:
        kind: equals ``Space.kind``.
        payload: a frozen dataclass of plain data, such as ``NonlinearityPlan``.
        weights: trained parameters as a safetensors file, if there are any.
        members: for one result that is a set of models (nested sparsities, budget ladders).
        parent: digest of the candidate this one was repaired or warm-started from.
    """

    kind: str
    payload: P_co
    weights: Path | None = None
    members: tuple[Candidate[P_co], ...] = ()
    parent: str | None = None

    @property
    def digest(self) -> str:
        """16 hexadecimal digits of ``kind`` and ``payload``; weights do not enter."""
        text = json.dumps([self.kind, to_plain(self.payload)], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def to_plain(value: Any) -> Any:
    """``value`` as JSON-safe data: dataclasses become mappings, tuples lists, paths strings."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {f.name: to_plain(getattr(value, f.name)) for f in fields}
    if isinstance(value, Mapping):
        return {str(key): to_plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(entry) for entry in value]
    if isinstance(value, Path):
        return str(value)
    return value
