"""What advisors answer."""

from __future__ import annotations

from dataclasses import dataclass

from search.api.domain import Point
from search.api.trial import Origin


@dataclass(frozen=True)
class Advice:
    """A point with who proposes it and why.

    Args:
        point: value of every active outer parameter.
        origin: for the record.
    """

    point: Point
    origin: Origin


def advice(point: Point, by: str, reason: str, parent: int | None = None) -> Advice:
    """A point as an advisor called ``by`` proposes it."""
    return Advice(point, Origin("advisor", by, reason[:500], parent))
