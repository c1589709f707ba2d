"""Options of ``method: {name: eve}``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from search.methods.finetune import TrainingOptions
from search.methods.knobs import Knob


class EveConfig(TrainingOptions):
    """Options of ``method: {name: eve}``."""

    learning_rate: Knob = Field(0.05, description="peak rate of joint training")
    importance: Literal["magnitude", "taylor"] = Field(
        "magnitude",
        description="what the units that a mode keeps are chosen by: squared weights, or squared "
        "products of weights and gradients",
    )
    importance_images: int = Field(
        2048, ge=1, description="training images that `importance: taylor` looks at"
    )
    sampling: Literal["all", "sandwich"] = Field(
        "all",
        description="modes of a step: all, or sparsest, densest and one of the others (the same "
        "up to three modes)",
    )
    soft: Literal["teacher", "densest"] = Field(
        "teacher",
        description="whose soft targets the sparser modes learn from; the densest learns from the "
        "teacher",
    )
