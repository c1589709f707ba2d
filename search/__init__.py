"""cipher-search: search over networks and configurations for private and low-energy inference."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__dist__ = "cipher-search"

_PUBLIC = {
    "Study": "search.study",
    "register": "search.registry",
    "Real": "search.api.domain",
    "Integer": "search.api.domain",
    "Ordinal": "search.api.domain",
    "Choice": "search.api.domain",
    "Vector": "search.api.domain",
    "Param": "search.api.domain",
    "Metric": "search.api.metric",
    "Measurement": "search.api.metric",
    "Constraint": "search.api.metric",
    "Candidate": "search.api.candidate",
    "Violation": "search.api.candidate",
    "SearchError": "search.api.errors",
}

__all__ = sorted(_PUBLIC)  # noqa: PLE0604

if TYPE_CHECKING:
    from search.api.candidate import Candidate as Candidate
    from search.api.candidate import Violation as Violation
    from search.api.domain import Choice as Choice
    from search.api.domain import Integer as Integer
    from search.api.domain import Ordinal as Ordinal
    from search.api.domain import Param as Param
    from search.api.domain import Real as Real
    from search.api.domain import Vector as Vector
    from search.api.errors import SearchError as SearchError
    from search.api.metric import Constraint as Constraint
    from search.api.metric import Measurement as Measurement
    from search.api.metric import Metric as Metric
    from search.registry import register as register
    from search.study import Study as Study


def __getattr__(name: str) -> Any:
    """Load a public name on first use, so that ``import search`` costs nothing."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'search' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)
