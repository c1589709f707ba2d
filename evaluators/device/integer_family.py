"""The integer family of a candidate of EVE: what evaluators simulate and exporters write."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from search.api.errors import EvaluationError
from spaces.eve.family import Execution, ModeFamily, ModePlan

if TYPE_CHECKING:
    from search.workloads.eve.integer import IntegerFamily


class IntegerOptions(BaseModel):
    """How a trained family becomes integers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    calibration_images: int = Field(
        256, ge=1, description="training images that tell the range of each activation"
    )
    sum_bits: Literal[32, 64] | None = Field(
        None,
        description="width of sums; 32: as an MSP430's LEA has them, with coarser weights where "
        "they would overflow; absent: 32, and 64 for 16-bit weights that need them",
    )


def family_for(
    workload: Any,
    payload: ModePlan | ModeFamily,
    weights: Path,
    options: IntegerOptions,
    *,
    device: str = "cpu",
) -> IntegerFamily:
    """The integers of all modes in ``weights``.

    Args:
        workload: builds the network and holds the training images.
        payload: of one mode, or the family; with the family the result has schedules and units.
        weights: one file of nested networks.
        options: calibration and width of sums.
        device: where calibration runs.

    Raises:
        EvaluationError: the weights do not fit, hold another number of modes, or a layer has no
            integer form.
    """
    from search.workloads.eve.integer_quantise import quantise_family
    from search.workloads.nested import load_nested

    nested = load_nested(weights)
    tiles: list[Mapping[str, Execution]] = []
    units: dict[str, tuple[str, int]] = {}
    if isinstance(payload, ModeFamily):
        if len(payload.members) != len(nested.densities):
            raise EvaluationError(
                f"weights {weights}: {len(nested.densities)} modes (expected "
                f"{len(payload.members)}). The file belongs to another family"
            )
        tiles = [{layer.site: layer.execution for layer in m.layers} for m in payload.members]
        densest = payload.members[-1].layers
        units = {
            e.site: (e.unit, e.execution.channels if e.unit == "block" else 0) for e in densest
        }
    elif not 1 <= payload.level <= len(nested.densities):
        raise EvaluationError(
            f"weights {weights}: no mode {payload.level} (there are {len(nested.densities)})"
        )
    return quantise_family(
        workload.build(0).to(device),
        nested,
        workload.data.train.x[: options.calibration_images],
        bits=payload.bits,
        sum_bits=options.sum_bits,
        tiles=tiles,
        units=units,
    )
