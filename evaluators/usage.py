"""From a candidate to the work it does, the currency of every cost model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from search.api.candidate import Candidate
from search.api.errors import ConfigError, EvaluationError
from search.api.network import Site, Usage


@runtime_checkable
class DoesWork(Protocol):
    """A payload whose work on a network can be counted."""

    def usage(self, sites: Sequence[Site]) -> Usage[float]:
        """The work of the whole network."""
        ...


def usage_of(candidate: Candidate[Any], sites: Sequence[Site]) -> Usage[float]:
    """The work of ``candidate`` on the network whose sites are ``sites``.

    Raises:
        EvaluationError: the payload does not say what work it does, or does not fit the network.
    """
    if not isinstance(candidate.payload, DoesWork):
        raise EvaluationError(
            f"candidate {candidate.digest}: a payload of type {type(candidate.payload).__name__} "
            "does no countable work (expected one with usage(sites), such as NonlinearityPlan)"
        )
    return candidate.payload.usage(sites)


def sites_of(workload: Any, evaluator: str) -> tuple[Site, ...]:
    """The sites of ``workload``'s network.

    Raises:
        ConfigError: there is no workload.
    """
    if workload is None:
        raise ConfigError(
            f"evaluator {evaluator} needs a network (got no workload). Add a `workload:` section.",
            path="workload",
        )
    return tuple(workload.sites())
