"""What all methods that find masks share: budget, student, equal training, and the candidate.

Every one gets the same number of epochs. What finding the masks takes of them (training, or images
looked at) is taken from fine-tuning; a method that chooses blindly spends all of them on
fine-tuning. So methods can be compared in one study at equal training.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from search.api.candidate import Candidate
from search.api.domain import Point
from search.api.errors import ConfigError, InfeasibleCandidate
from search.api.metric import Fidelity
from search.methods.finetune import StudentMethod, TrainingOptions, epochs_of
from search.methods.knobs import Knob
from spaces.masking import Maskable, Masking

if TYPE_CHECKING:
    from torch import Tensor, nn

    from search.api.protocols import Context, Space
    from search.workloads.data.splits import Split


class StudentOptions(TrainingOptions):
    """Options of every method that trains networks with masks."""

    optimizer: Literal["sgd", "adam"] = Field("adam", description="of the weights")
    learning_rate: Knob = Field(2e-3, description="peak rate of fine-tuning")
    weight_decay: float = Field(0.0, ge=0, description="L2 penalty of the weights")
    calibration_images: int = Field(
        2560, ge=1, description="training images that fitted polynomials take their moments from"
    )


class MaskOptions(StudentOptions):
    """Options of every method that finds masks within a budget."""

    relu_budget: Knob = Field(
        5.0, description="ReLU elements that may stay, in % of the network's (fixed ones count)"
    )


class LearnedMaskOptions(MaskOptions):
    """Options of methods that spend a share of the epochs on finding masks."""

    mask_share: float = Field(
        0.4, gt=0, lt=1, description="share of the rung's epochs that finds the masks"
    )
    mask_learning_rate: Knob = Field(1e-3, description="of the weights while masks are found")


@dataclass
class MaskTask:
    """All that finding masks may use.

    Args:
        network: the student: masked activations at every free site, all keeping all elements, and
            polynomials fitted. It may be trained in place, and must have those modules in the end.
        masking: where masks go.
        budget: ReLU elements that may stay, settled ones included.
        epochs: passes over ``split`` that finding the masks may take; what it leaves goes to
            fine-tuning.
        teacher: the original network, in evaluation mode; not to be changed.
        soft_targets: its logits ``[len(split), classes]``; None without distillation.
        split: the training split, all that may be learned from.
        point: values of the outer parameters.
        ctx: seed, device, progress.
        kept: free site -> elements it shall keep, where the space decides that.
    """

    network: nn.Module
    masking: Masking
    budget: int
    epochs: float
    teacher: nn.Module
    soft_targets: Tensor | None
    split: Split
    point: Point
    ctx: Context
    kept: Mapping[str, int] | None = None


@dataclass(frozen=True)
class Masks:
    """What was found.

    Args:
        masks: free site -> bool mask of the site's shape.
        gradient_evaluations: images times backward passes spent; an image that only goes forward
            counts as a third of one, which is its share of the arithmetic.
        facts: short facts for the report.
    """

    masks: Mapping[str, Tensor]
    gradient_evaluations: int = 0
    facts: Mapping[str, Any] | None = None


class MaskMethod(StudentMethod[StudentOptions]):
    """A method that finds which ReLU elements stay, within a budget, and fine-tunes the network.

    Budget of a rung: ``epochs``, passes over the training split, for masks and fine-tuning
    together.

    Args:
        workload: network, data and teacher.
        config: options; or give them as keywords.

    Raises:
        ConfigError: there is no workload.
    """

    Config: ClassVar[type[StudentOptions]] = MaskOptions
    knobs: ClassVar[tuple[str, ...]] = ("relu_budget", "learning_rate", "polynomial_scale")
    decides_space = True

    @abstractmethod
    def find(self, task: MaskTask) -> Masks:
        """The masks of ``task``: within its budget, exactly at it where units are pixels."""

    def fitted(self, network: nn.Module) -> None:
        """Called with the student once its polynomials are fitted; may change them in place."""
        return

    def check_space(self, space: Space[Any]) -> None:
        """Refuse a space without masks, and a budget that the network cannot have.

        Raises:
            ConfigError: either of these; of a searched budget its largest value counts.
        """
        masking = masking_of(space, self.name)
        if "relu_budget" in self.knobs:
            try:
                masking.budget(self._knobs.highest("relu_budget"))
            except InfeasibleCandidate as error:
                detail = "; ".join(v.detail for v in error.violations)
                raise ConfigError(detail, path="method.relu_budget") from error

    def estimate(self, fidelity: Fidelity) -> float | None:
        """Seconds a trial takes on this rung of this host; None before a teacher was trained."""
        return self._students.estimate(fidelity.budget.get("epochs", 0.0))

    def produce(
        self,
        space: Space[Any],
        point: Point,
        fidelity: Fidelity,
        ctx: Context,
        warm: Candidate[Any] | None,
    ) -> Candidate[Any]:
        """The candidate with masks found and weights trained; ``warm`` is only trained further.

        Raises:
            ConfigError: the space has no masks, or the rung no ``epochs``.
            InfeasibleCandidate: the budget is negative, or above the network's ReLUs.
            EvaluationError: training diverged.
        """
        epochs = epochs_of(fidelity, self.name)
        if warm is None:
            warm, spent = self._masked(point, epochs, ctx, space)
            epochs -= spent
        if ctx.should_stop() or epochs <= 0:
            return warm
        return self._students.finetune(
            warm,
            ctx,
            epochs=epochs,
            learning_rate=self._knobs.value("learning_rate", point),
            c=self._knobs.value("polynomial_scale", point),
        )

    def counts(
        self, space: Space[Any], masking: Masking, point: Point
    ) -> tuple[int, Mapping[str, int] | None]:
        """ReLU elements that may stay, and, where the point says so, those of each free site.

        Raises:
            InfeasibleCandidate: more than there are, or fewer than none or than are fixed.
        """
        return masking.budget(self._knobs.value("relu_budget", point)), None

    def _masked(
        self,
        point: Point,
        epochs: float,
        ctx: Context,
        space: Space[Any],
    ) -> tuple[Candidate[Any], float]:
        """The candidate with masks in place, before fine-tuning, and the epochs it took."""
        from search.methods.exact_masks import exact_masks
        from search.methods.mask_students import (
            harden,
            masked_student,
            set_masks,
        )
        from search.methods.polynomial_fit import fit_polynomials
        from search.workloads.plan import save_weights

        masking = masking_of(space, self.name)
        budget, kept = self.counts(space, masking, point)
        teacher, soft_targets = self._students.teacher(ctx)
        split = self._students.train_split
        c = self._knobs.value("polynomial_scale", point)
        network = masked_student(teacher.network, masking, c=c).to(ctx.device)
        fit_polynomials(
            network, teacher.network, split,
            images=self._config.calibration_images, device=ctx.device, seed=ctx.seed,
            fit=self._config.polynomial_fit,
        )  # fmt: skip
        self.fitted(network)
        spent = 0.0
        if masking.settled_relus < budget < masking.total:
            task = MaskTask(
                network, masking, budget, epochs * self._mask_share(),
                teacher.network, soft_targets, split, point, ctx, kept,
            )  # fmt: skip
            found = self.find(task)
            for name, value in (found.facts or {}).items():
                ctx.note(name, value)
            masks = found.masks
            self._students.spend(ctx, "masks", found.gradient_evaluations)
            spent = found.gradient_evaluations / self._students.epoch_images
        else:  # nothing or everything stays: no choice to make, and all epochs are fine-tuning
            masks = exact_masks(_equal_scores(masking), masking, budget, kept=None)
        set_masks(network, masks)
        payload = harden(network, masking)
        ctx.note("relus_kept", {c.site: c.kept for c in payload.choices if c.kept is not None})
        path = save_weights(network, ctx.workdir / "masked.safetensors")
        return Candidate(self._students.kind(space), payload, weights=path), spent

    def _mask_share(self) -> float:
        config = self._config
        return config.mask_share if isinstance(config, LearnedMaskOptions) else 1.0


def masking_of(space: Any, method: str) -> Masking:
    """The masking of ``space``.

    Raises:
        ConfigError: the space has no masks.
    """
    if not isinstance(space, Maskable):
        raise ConfigError(
            f"{method} finds masks of ReLUs (got {type(space).__name__}; expected a space such as "
            "relu_placement with granularity pixel)",
            path="space",
        )
    return space.masking


def _equal_scores(masking: Masking) -> dict[str, Tensor]:
    import torch

    return {site.name: torch.zeros(masking.unit_shape(site)) for site in masking.free}
