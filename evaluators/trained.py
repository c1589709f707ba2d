"""The trained network of a candidate, for every evaluator that runs it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from search.api.candidate import Candidate
from search.api.errors import ConfigError, EvaluationError
from spaces.ckks.params import CkksParams

if TYPE_CHECKING:
    import torch


@runtime_checkable
class ChoosesOperators(Protocol):
    """A payload that says which operator stands at which site of a network."""

    def as_mapping(self) -> Mapping[str, str]:
        """Site name -> operator."""
        ...

    def masks(self) -> Mapping[str, str]:
        """Site name -> digest of its mask, for masked sites."""
        ...


def need_workload(workload: Any, evaluator: str) -> Any:
    """``workload`` itself, which ``evaluator`` takes network and data from.

    Raises:
        ConfigError: there is none.
    """
    if workload is None:
        raise ConfigError(
            f"evaluator {evaluator} needs a network and data (got no workload). "
            "Add a `workload:` section.",
            path="workload",
        )
    return workload


def trained_network(
    candidate: Candidate[Any],
    workload: Any,
    evaluator: str,
    *,
    device: str = "cpu",
    whole_ring: str | None = None,
) -> torch.nn.Module:
    """The network of ``candidate`` with its weights, in evaluation mode on ``device``.

    Args:
        candidate: with a plan as payload, or a CKKS configuration: then it is the workload's own
            network, before polynomials take the place of activations.
        workload: builds the network.
        evaluator: name for messages.
        device: where.
        whole_ring: who compares in which ring, such as ``SPU compares in its whole ring``, if plans
            with narrower comparisons are to be refused.

    Raises:
        EvaluationError: no weights, weights that do not fit, a payload that is no plan, or a
            narrower comparison.
    """
    from search.workloads.plan import load_weights, network_of

    payload: Any = candidate.payload
    if candidate.weights is None:
        raise EvaluationError(
            f"candidate {candidate.digest}: {evaluator} needs trained weights (got none). "
            "Use a method that trains, such as finetune."
        )
    if isinstance(payload, CkksParams):
        own: torch.nn.Module = load_weights(workload.build(0), candidate.weights)
        return own.to(device).eval()
    if not isinstance(payload, ChoosesOperators):
        raise EvaluationError(
            f"candidate {candidate.digest}: no network can be built from a payload of type "
            f"{type(payload).__name__} (expected a plan with as_mapping())"
        )
    for choice in getattr(payload, "choices", ()) if whole_ring is not None else ():
        if getattr(choice, "relu_bits", None) is not None:
            raise EvaluationError(
                f"{choice.site}: {whole_ring} (got relu_bits={choice.relu_bits}). "
                "Leave such plans to cost_2pc"
            )
    return network_of(workload, payload, candidate.weights, device=device)
