"""Options of AdaPI."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from search.methods.finetune import TrainingOptions
from search.methods.knobs import Knob


class AdaPIConfig(TrainingOptions):
    """Options of ``method: {name: adapi}``.

    Defaults suit training of minutes. The paper's are ``mask_training: penalty, initial_scores:
    uniform, attention: 500, mask_learning_rate: 0.001, score_learning_rate: 0.001,
    weight_decay: 0.0001, batch_size: 256`` with 250 epochs of masks and 100 of each member
    (``optimizer: sgd, learning_rate: 0.01, schedule: cosine``; batches of 512).
    """

    densities: tuple[float, ...] = Field(
        (0.05, 0.1, 0.2, 0.4), min_length=1, max_length=255,
        description="share of the weights that each member has, sparsest first",
    )  # fmt: skip
    relu_densities: tuple[float, ...] | None = Field(
        None, description="share of the network's ReLUs, for each member; as `densities` if absent"
    )
    mask_training: Literal["ladder", "penalty"] = Field(
        "ladder",
        description="`ladder`: scores learned at the members' densities in turn; `penalty`: the "
        "paper's, masks by the sign of the score and penalised densities",
    )
    initial_scores: Literal["uniform", "magnitude", "lamp"] = Field(
        "magnitude",
        description="`uniform` noise as in the paper; or by rank of |w| and of what a ReLU changes "
        "(`lamp`: |w| relative to its layer)",
    )
    score_learning_rate: Knob = Field(
        0.01, description="Adam's, on the scores: about how far one moves in a step; start (0, 1)"
    )
    mask_learning_rate: Knob = Field(5e-3, description="of the weights while scores are learned")
    weight_penalty: Knob = Field(13.0, description="of the density of weights (`penalty`)")
    relu_penalty: Knob = Field(65.0, description="of the density of ReLUs (`penalty`)")
    emphasis: Knob = Field(
        0.7,
        description="how much denser members count while scores are learned (`ladder`): a member's "
        "loss weighs as its density to this power; 0: all alike, which favours the sparse",
    )
    labels: float = Field(0.1, ge=0, description="weight of the cross-entropy on labels")
    distillation: float = Field(
        0.9, ge=0, description="weight of the teacher's soft targets in the loss; 0: labels alone"
    )
    attention: float = Field(
        0.0, ge=0, description="weight of the difference from the teacher's attention maps"
    )
    growth: Literal["kept", "zero"] = Field(
        "kept",
        description="where weights that a member adds start: as mask training left them, or at 0",
    )
    inherit: bool = Field(
        True, description="batch norms start as the member before left them, or as mask training"
    )
    batch_size: int = Field(
        64, ge=1, description="images per step; small, as members take turns and each needs steps"
    )
    optimizer: Literal["sgd", "adam"] = Field("adam", description="of the members' weights")
    learning_rate: Knob = Field(5e-3, description="peak rate of the members' training")
    weight_decay: float = Field(0.0, ge=0, description="L2 penalty of the weights")
    calibration_images: int = Field(
        2560, ge=1, description="training images that polynomials and initial scores are fitted to"
    )

    @model_validator(mode="after")
    def _ladders(self) -> Self:
        for name, ladder in (
            ("densities", self.densities),
            ("relu_densities", self.relu_densities),
        ):
            if ladder is None:
                continue
            rising = all(a < b for a, b in zip(ladder, ladder[1:], strict=False))
            if not rising or not all(0 <= d <= 1 for d in ladder):
                raise ValueError(f"{name}: expected rising shares from 0 to 1 (got {list(ladder)})")
        if self.densities[0] == 0:
            raise ValueError("densities: a network without weights computes nothing (got 0)")
        if self.relu_densities is not None and len(self.relu_densities) != len(self.densities):
            raise ValueError(
                f"relu_densities: expected one for each of {len(self.densities)} members "
                f"(got {len(self.relu_densities)})"
            )
        return self

    @property
    def ladder(self) -> tuple[tuple[float, float], ...]:
        """Density of weights and of ReLUs, for each member."""
        relus = self.densities if self.relu_densities is None else self.relu_densities
        return tuple(zip(self.densities, relus, strict=True))
