"""The weights of a pruned network as matrices, from its plan alone or from its file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.api.candidate import Candidate
from search.api.errors import EvaluationError
from spaces.pruning.plan import PruningPlan
from spaces.pruning.units import Layer

Weights = NDArray[np.float32]


def plan_of(candidate: Candidate[Any], layers: Sequence[Layer]) -> PruningPlan:
    """The plan of ``candidate``; fits the layers of the network.

    Raises:
        EvaluationError: the payload is no pruning plan, or one of another network.
    """
    plan: object = candidate.payload
    if not isinstance(plan, PruningPlan):
        raise EvaluationError(
            f"candidate {candidate.digest}: expected a pruning plan "
            f"(got a payload of type {type(plan).__name__})"
        )
    known = {layer.name: layer for layer in layers}
    for site in (*(e.site for e in plan.layers), *(e.site for e in plan.levels)):
        if site not in known:
            raise EvaluationError(
                f"plan: {site!r} is no layer of the network. Was it made for another one?"
            )
    for part in plan.layers:
        group = part.units if part.structure == "nm" else 4
        if known[part.site].units(part.structure, group) != part.units:
            raise EvaluationError(
                f"plan: {part.site} has {known[part.site].units(part.structure, group)} units of "
                f"{part.structure} (got {part.units}). Was the plan made for another network?"
            )
    return plan


def read_weights(candidate: Candidate[Any], layers: Sequence[Layer]) -> Mapping[str, Weights]:
    """Layer -> its weights ``[rows, inputs, positions]``; empty for a candidate without a file.

    Raises:
        EvaluationError: the file cannot be read, or does not fit the network.
    """
    if candidate.weights is None:
        return {}
    from safetensors import SafetensorError, safe_open

    found: dict[str, Weights] = {}
    try:
        with safe_open(str(candidate.weights), framework="numpy") as file:
            names = set(file.keys())
            for layer in layers:
                if f"{layer.name}.weight" not in names:
                    raise EvaluationError(
                        f"weights {candidate.weights}: no {layer.name}.weight "
                        "(expected a tensor for each layer of the network)"
                    )
                found[layer.name] = _shaped(file.get_tensor(f"{layer.name}.weight"), layer)
    except (OSError, SafetensorError) as error:
        raise EvaluationError(f"weights {candidate.weights}: cannot be read ({error})") from error
    return found


def _shaped(weight: NDArray[Any], layer: Layer) -> Weights:
    shape = (layer.rows, layer.inputs, layer.positions)
    if weight.shape[:2] != shape[:2] or weight.size != layer.weights:
        raise EvaluationError(
            f"{layer.name}: weights of shape {weight.shape} do not fit "
            f"(expected {layer.rows} filters of {layer.inputs} channels by {layer.positions})"
        )
    return weight.reshape(shape)
