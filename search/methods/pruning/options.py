"""Options of methods that prune."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from search.methods.finetune import RecipeOptions
from search.methods.knobs import Knob

CURVATURE = (
    "power of the mean squared gradient by which squared weights count when it is chosen what "
    "stays; 0: by size alone, 0.5: the norm of Adam"
)
"""Said of the option by every method that has it, whatever its default."""


class Purification(BaseModel):
    """Options of ``purify``: which nearly empty groups go once the network is pruned."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    emptiness: float = Field(
        0.9, gt=0, lt=1, description="share of zeros above which a filter or channel may go"
    )
    importance: float = Field(
        0.05, ge=0, lt=1,
        description="share of its layer's squared weights below which it may go",
    )  # fmt: skip
    most_loss: float = Field(
        0.1, ge=0, description="validation accuracy that all of it may cost, in points"
    )


class PruningOptions(RecipeOptions):
    """Options of every method that prunes to a plan and retrains."""

    learning_rate: Knob = Field(
        3e-3,
        description="of the weights; falls to 0 while retraining. Few weights want large steps",
    )
    optimizer: Literal["sgd", "adam"] = Field("adam", description="of the weights")
    weight_decay: float = Field(0.0, ge=0, description="L2 penalty of the weights")
    schedule: Literal["cosine", "one_cycle", "constant"] = Field(
        "cosine", description="of the learning rate while retraining"
    )
    distillation: float = Field(
        0.0, ge=0, description="weight of the teacher's soft targets in the loss; 0: labels alone"
    )
    retrain_share: float = Field(
        0.33, gt=0, lt=1, description="share of the epochs that retrains under the final masks"
    )
    quantise_share: float = Field(
        0.25, gt=0, lt=1,
        description="share of the epochs that moves weights to levels, where the plan has them",
    )  # fmt: skip
    curvature: float = Field(0.0, ge=0, le=1, description=CURVATURE)
    pool: int = Field(8, ge=1, description="patterns that the kernels of a layer share")
    purify: Purification | None = Field(
        None, description="drop nearly empty filters and channels, and what nothing reads, at last"
    )


class AdmmOptions(PruningOptions):
    """Options of methods that prune by ADMM."""

    update_every: int = Field(
        20, ge=1, description="steps between two updates of copies and duals; see decision 0019"
    )


class MagnitudeOptions(PruningOptions):
    """Options of ``method: {name: magnitude_pruning}``."""

    way: Literal["one_shot", "gradual"] = Field(
        "gradual",
        description="one_shot: prune at once, retrain with all epochs; gradual: by the cubic "
        "schedule, then retrain",
    )
    update_every: int = Field(20, ge=1, description="steps between two prunings (gradual)")

    @model_validator(mode="after")
    def _gradients_are_seen(self) -> Self:
        if self.way == "one_shot" and self.curvature:
            raise ValueError(
                f"one_shot prunes before a gradient is seen (got curvature {self.curvature:g}; "
                "expected 0, or way: gradual)"
            )
        return self
