"""Fine-tuning: the network of a given plan, started from the teacher and trained briefly.

Random placement and every black-box searcher use it; PolyMPCNet uses its parts.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from search.api.candidate import Candidate
from search.api.domain import Param, Point
from search.api.errors import ConfigError
from search.api.metric import Fidelity
from search.methods.knobs import Knob, Knobs
from search.workloads.polynomial import C_DEFAULT

if TYPE_CHECKING:
    from torch import Tensor

    from search.api.network import Site
    from search.api.protocols import Context, Space
    from search.methods.teacher import Teacher
    from search.methods.trainer import Recipe
    from search.workloads.data.splits import Split


class RecipeOptions(BaseModel):
    """Options of training the weights, common to all methods that train."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    learning_rate: Knob = Field(0.02, description="peak rate of fine-tuning")
    optimizer: Literal["sgd", "adam"] = Field("sgd", description="of the weights")
    batch_size: int = Field(128, ge=1, description="images per step of fine-tuning")
    weight_decay: float = Field(5e-4, ge=0, description="L2 penalty of the weights")
    clip: float = Field(5.0, gt=0, description="bound of the gradient's norm")
    schedule: Literal["cosine", "one_cycle", "constant"] = Field(
        "one_cycle", description="of the learning rate while fine-tuning"
    )
    distillation: float = Field(
        1.0, ge=0, description="weight of the teacher's soft targets in the loss; 0: labels alone"
    )
    temperature: float = Field(4.0, gt=0, description="of the distillation loss")
    augmentation: Literal["none", "flip", "shift", "shift_flip"] = Field(
        "none", description="random changes of the images while fine-tuning"
    )
    channels_last: bool = Field(True, description="memory layout; quicker for convolutions")
    bf16: bool = Field(False, description="bfloat16 autocast; quicker for wide networks only")


Options = TypeVar("Options", bound=RecipeOptions)


class TrainingOptions(RecipeOptions):
    """Options of fine-tuning networks in which polynomials take the place of activations."""

    polynomial_scale: Knob = Field(
        C_DEFAULT,
        description="c of the polynomials' scale c / sqrt(elements): how fast they leave the "
        "identity they start from",
    )
    polynomial_fit: Literal["samples", "normal"] = Field(
        "samples",
        description="what poly1 to poly4 are fitted to: the teacher's activations themselves, or "
        "the normal law of their mean and deviation, as AutoReP has it",
    )


class FinetuneConfig(TrainingOptions):
    """Options of ``method: {name: finetune}``."""


class StudentMethod(ABC, Generic[Options]):
    """A method whose candidates start from the workload's trained network.

    Args:
        workload: network, data and teacher.
        config: options; or give them as keywords.

    Raises:
        ConfigError: there is no workload.
    """

    name: ClassVar[str]
    Config: ClassVar[type[Any]]
    knobs: ClassVar[tuple[str, ...]]
    """Options that may be given as domains, for the outer searcher."""

    def __init__(self, workload: Any, config: Options | None = None, **options: Any) -> None:
        self._config: Options = config or self.Config(**options)
        self._knobs = Knobs(self._config, self.knobs)
        self._workload = workload
        self._students = TrainsStudents(workload, self._config, self.name)

    @classmethod
    def from_config(cls, config: Options, workload: Any) -> Self:
        """The method for ``workload``.

        Raises:
            ConfigError: there is no workload.
        """
        return cls(workload, config)

    @abstractmethod
    def estimate(self, fidelity: Fidelity) -> float | None:
        """Seconds a trial takes on this rung of this host; None before a teacher was trained."""

    def params(self) -> Sequence[Param]:
        """The options given as domains."""
        return self._knobs.params()

    def prepare(self, ctx: Context) -> None:
        """Train the original network, or read it from the cache."""
        self._students.prepare(ctx)


class Finetune(StudentMethod[FinetuneConfig]):
    """Builds the plan of the point and fine-tunes it from the original network's weights.

    Budgets of a rung: ``finetune_epochs`` (passes over the training split), or
    ``gradient_evaluations`` (images times backward passes, as other methods note what they
    spent), which makes training budgets equal between methods.

    Args:
        workload: network, data and teacher.
        config: options; or give them as keywords.

    Raises:
        ConfigError: there is no workload.
    """

    name = "finetune"
    Config: ClassVar[type[FinetuneConfig]] = FinetuneConfig
    knobs = ("learning_rate", "polynomial_scale")
    decides_space = False

    def estimate(self, fidelity: Fidelity) -> float | None:
        """Seconds a trial takes on this rung of this host; None before a teacher was trained."""
        budget = fidelity.budget
        epochs = budget.get("finetune_epochs")
        return self._students.estimate(epochs, images=budget.get("gradient_evaluations", 0.0))

    def produce(
        self,
        space: Space[Any],
        point: Point,
        fidelity: Fidelity,
        ctx: Context,
        warm: Candidate[Any] | None,
    ) -> Candidate[Any]:
        """The trained candidate of ``point``, continuing from ``warm`` if there is one.

        Raises:
            ConfigError: the rung has no budget to train with.
            InfeasibleCandidate: the point cannot be built.
            EvaluationError: training diverged.
        """
        epochs = self._epochs(fidelity)
        start = warm
        if start is None:
            start = Candidate(self._students.kind(space), space.build(point))
        return self._students.finetune(
            start,
            ctx,
            epochs=epochs,
            learning_rate=self._knobs.value("learning_rate", point),
            c=self._knobs.value("polynomial_scale", point),
        )

    def _epochs(self, fidelity: Fidelity) -> float:
        budget = fidelity.budget
        given = [k for k in ("finetune_epochs", "gradient_evaluations") if k in budget]
        if len(given) != 1:
            raise ConfigError(
                f"rung {fidelity.name!r}: finetune needs a budget of either finetune_epochs or "
                f"gradient_evaluations (got {', '.join(budget) or 'no budget'})",
                path="ladder",
            )
        amount = budget[given[0]]
        if given[0] == "finetune_epochs":
            return amount
        return amount / len(self._students.train_split)


class TrainsStudents:
    """What methods that train share: the teacher, fine-tuning, and the account of gradients.

    Args:
        workload: network, data and teacher.
        options: of fine-tuning.
        method: name for messages.

    Raises:
        ConfigError: there is no workload.
    """

    def __init__(self, workload: Any, options: RecipeOptions, method: str) -> None:
        if workload is None:
            raise ConfigError(
                f"method {method} trains networks (got no workload). Add a `workload:` section.",
                path="workload",
            )
        self._workload, self._options = workload, options
        self._teacher: Teacher | None = None
        self._soft_targets: Tensor | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Without the teacher: other processes read it from the cache."""
        return {**self.__dict__, "_teacher": None, "_soft_targets": None}

    @property
    def sites(self) -> Sequence[Site]:
        """The network's sites."""
        sites: Sequence[Site] = self._workload.sites()
        return sites

    @property
    def train_split(self) -> Split:
        """The training split: all that methods may fit anything to."""
        split: Split = self._workload.data.train
        return split

    @property
    def epoch_images(self) -> int:
        """Images of one epoch: of its full batches, which are all that training looks at."""
        size = min(self._options.batch_size, len(self.train_split))
        return len(self.train_split) // size * size

    @staticmethod
    def kind(space: Any) -> str:
        """The kind of the space's candidates."""
        return str(space.kind)

    def prepare(self, ctx: Context) -> None:
        """Train the teacher or read it from the cache, and note facts about it."""
        teacher, _ = self.teacher(ctx)
        for name, value in teacher.facts.items():
            ctx.note(name, value)

    def estimate(self, epochs: float | None, images: float = 0.0) -> float | None:
        """Seconds for ``epochs`` passes over the training split, or for ``images`` images, from
        the time the cached teacher took on this host; None if it was not trained yet.
        """
        from search.methods.teacher import teacher_facts

        facts = teacher_facts(self._workload)
        if not facts.get("gradient_evaluations"):
            return None
        per_image = float(facts["seconds"]) / float(facts["gradient_evaluations"])
        per_epoch = float(facts["gradient_evaluations"]) / float(facts["epochs"])
        return per_image * (images if epochs is None else epochs * per_epoch)

    def teacher(self, ctx: Context) -> tuple[Teacher, Tensor | None]:
        """The teacher, and its logits ``[train, classes]`` if distillation wants them."""
        from search.methods.teacher import load_teacher

        if self._teacher is None:
            self._teacher = load_teacher(self._workload, ctx)
        if self._soft_targets is None and self._options.distillation:
            self._soft_targets = self._teacher.logits(self.train_split, ctx.device)
        return self._teacher, self._soft_targets

    def finetune(
        self, start: Candidate[Any], ctx: Context, *, epochs: float, learning_rate: float, c: float
    ) -> Candidate[Any]:
        """``start`` trained for ``epochs``; from its own weights if it has any, else the teacher's.

        The weights go to ``weights.safetensors`` in the trial's folder.

        Raises:
            EvaluationError: training diverged, or the weights of ``start`` do not fit.
        """
        from search.methods.polynomial_fit import CALIBRATION_IMAGES, fit_polynomials
        from search.methods.students import load_student, student
        from search.methods.trainer import train
        from search.workloads.plan import save_weights

        teacher, soft_targets = self.teacher(ctx)
        choices = start.payload.as_mapping()
        if start.weights is None:
            network = student(teacher.network, choices, self.sites, c=c)
            fit_polynomials(
                network, teacher.network, self.train_split,
                images=CALIBRATION_IMAGES, device=ctx.device, seed=ctx.seed,
                fit=getattr(self._options, "polynomial_fit", "samples"),
            )  # fmt: skip
        else:
            network = load_student(teacher.network, choices, self.sites, start.weights)
        recipe = self.recipe(epochs, learning_rate)
        helper: Any = soft_targets
        if recipe.augmentation != "none" and recipe.distillation:
            helper = teacher.network.to(ctx.device)
        done = train(
            network, self.train_split, recipe,
            seed=ctx.seed, device=ctx.device, ctx=ctx, teacher=helper, phase="finetune",
        )  # fmt: skip
        ctx.note("finetune_seconds", round(done.seconds, 3))
        self.spend(ctx, "finetune", done.gradient_evaluations)
        path = save_weights(network, ctx.workdir / "weights.safetensors")
        return Candidate(start.kind, start.payload, weights=path, parent=start.parent)

    def spend(self, ctx: Context, phase: str, gradient_evaluations: int) -> None:
        """Note what a phase spent, and what the trial spent in all its phases so far."""
        path = ctx.workdir / "training.json"
        try:
            phases = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            phases = {}
        phases[phase] = phases.get(phase, 0) + gradient_evaluations
        path.write_text(json.dumps(phases), encoding="utf-8")
        ctx.note("gradient_evaluations", sum(phases.values()))

    def recipe(self, epochs: float, learning_rate: float) -> Recipe:
        """How to train for ``epochs`` with this peak rate; the rest as the options say."""
        from search.methods.trainer import Recipe

        o = self._options
        return Recipe(
            epochs=epochs,
            learning_rate=learning_rate,
            batch_size=o.batch_size,
            optimizer=o.optimizer,
            weight_decay=o.weight_decay,
            schedule=o.schedule,
            clip=o.clip,
            distillation=o.distillation,
            temperature=o.temperature,
            augmentation=o.augmentation,
            channels_last=o.channels_last,
            bf16=o.bf16,
        )


def epochs_of(fidelity: Fidelity, method: str) -> float:
    """The rung's budget of ``epochs``.

    Raises:
        ConfigError: it has none.
    """
    epochs = fidelity.budget.get("epochs")
    if epochs is None:
        raise ConfigError(
            f"rung {fidelity.name!r}: {method} needs a budget of epochs "
            f"(got {', '.join(fidelity.budget) or 'no budget'})",
            path="ladder",
        )
    return epochs
