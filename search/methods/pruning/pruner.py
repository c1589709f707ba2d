"""What all methods that prune share: the plan, the budget, retraining, levels, the candidate."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from search.api.candidate import Candidate
from search.api.domain import Point
from search.api.errors import ConfigError, EvaluationError
from search.api.metric import Fidelity
from search.methods.finetune import StudentMethod, epochs_of
from search.methods.pruning.options import PruningOptions
from spaces.pruning.plan import PruningPlan, Schedule

if TYPE_CHECKING:
    from torch import nn

    from search.api.protocols import Context, Space
    from search.methods.pruning.masks import Masks
    from search.methods.trainer import StepHooks


@dataclass
class PruningTask:
    """What a pruning method gets.

    Args:
        network: starts as the teacher; changed in place.
        plan: what is to stay.
        epochs: for pruning, retraining not among them.
        learning_rate: of the weights.
        ctx: surroundings of the trial.
    """

    network: nn.Module
    plan: PruningPlan
    epochs: float
    learning_rate: float
    ctx: Context


class PruningMethod(StudentMethod[PruningOptions]):
    """A method that prunes the teacher to the plan of a point and retrains it.

    Budget of a rung: ``epochs``, passes over the training split, for everything the method does;
    so methods at equal ``epochs`` train equally long. A rung above another one retrains the
    network of the rung below under its masks.

    Args:
        workload: network, data and teacher.
        config: options; or give them as keywords.

    Raises:
        ConfigError: there is no workload.
    """

    Config: ClassVar[type[PruningOptions]] = PruningOptions
    knobs = ("learning_rate",)
    decides_space = False

    @abstractmethod
    def prune(self, task: PruningTask) -> Masks:
        """Train and prune ``task.network`` in place; the masks of what stays."""

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
        """The pruned and retrained network of ``point``; ``warm`` retrained on, if there is one.

        Raises:
            ConfigError: the rung has no budget of epochs, or the space is not one of pruning.
            InfeasibleCandidate: the point cannot be built.
            EvaluationError: training diverged.
        """
        from search.methods.pruning.purify import purify
        from search.methods.students import load_student
        from search.workloads.plan import save_weights

        epochs = epochs_of(fidelity, self.name)
        rate = self._knobs.value("learning_rate", point)
        teacher, _ = self._students.teacher(ctx)
        if warm is not None and warm.weights is not None:
            network = load_student(teacher.network, {}, self._students.sites, warm.weights)
            self._retrain_only(network.to(ctx.device), warm.payload, epochs, rate, ctx)
            path = save_weights(network, ctx.workdir / "weights.safetensors")
            return Candidate(warm.kind, warm.payload, path, parent=warm.parent)
        plan = space.build(point)
        if not isinstance(plan, PruningPlan):
            raise ConfigError(
                f"{self.name} prunes by a plan (got the space {type(space).__name__}; expected "
                "pruning_ratio)",
                path="space",
            )
        from search.methods.students import student

        network = student(teacher.network, {}, self._students.sites, c=1.0).to(ctx.device)
        levels = self._config.quantise_share * epochs if plan.levels else 0.0
        retrain = self.retrain_share * (epochs - levels)
        task = PruningTask(network, plan, epochs - levels - retrain, rate, ctx)
        self.retrain(network, self.prune(task), retrain, rate, ctx)
        if self._config.purify is not None:
            _note(ctx, purify(network, self._workload, self._config.purify, ctx))
        if plan.levels:
            from search.methods.pruning.quantise import quantise_network

            _note(ctx, quantise_network(task, levels, self))
        path = save_weights(network, ctx.workdir / "weights.safetensors")
        return Candidate(self._students.kind(space), plan, weights=path)

    @property
    def retrain_share(self) -> float:
        """Share of the epochs of pruning and retraining that retrains."""
        return self._config.retrain_share

    def retrain(
        self, network: nn.Module, masks: Masks, epochs: float, learning_rate: float, ctx: Context
    ) -> None:
        """Train ``network`` in place under ``masks``; without epochs nothing happens."""
        from search.methods.pruning.masks import Masked, layer_weights

        hooks = Masked(layer_weights(network), masks)
        self.train(network, epochs, learning_rate, ctx, hooks, "retrain")

    def train(
        self,
        network: nn.Module,
        epochs: float,
        learning_rate: float,
        ctx: Context,
        hooks: StepHooks,
        phase: str,
        *,
        constant: bool = False,
    ) -> None:
        """One phase of training, counted as spent.

        Args:
            network: trained in place, on ``ctx.device``.
            epochs: passes over the training split.
            learning_rate: peak of the schedule.
            ctx: surroundings of the trial.
            hooks: of each step.
            phase: word for messages and for the account.
            constant: keep the rate, whatever the schedule.

        Raises:
            EvaluationError: training diverged.
        """
        from search.methods.trainer import train

        if epochs <= 0 or ctx.should_stop():
            return
        recipe = self._students.recipe(epochs, learning_rate)
        if constant:
            recipe = dataclasses.replace(recipe, schedule="constant")
        _, soft_targets = self._students.teacher(ctx)
        done = train(
            network, self._students.train_split, recipe,
            seed=ctx.seed, device=ctx.device, ctx=ctx, teacher=soft_targets,
            phase=phase, hooks=hooks,
        )  # fmt: skip
        self._students.spend(ctx, phase, done.gradient_evaluations)

    def steps(self, epochs: float) -> int:
        """Steps of a training of ``epochs``."""
        size = min(self._config.batch_size, len(self._students.train_split))
        per_epoch = len(self._students.train_split) // size
        return max(1, round(epochs * per_epoch)) if epochs > 0 else 0

    def schedule(self, plan: PruningPlan, epochs: float) -> Schedule:
        """The schedule of pruning for ``epochs``: the plan's."""
        return plan.schedule

    def _retrain_only(
        self, network: nn.Module, plan: PruningPlan, epochs: float, rate: float, ctx: Context
    ) -> None:
        from search.methods.pruning.masks import nonzero_masks

        if plan.levels:
            raise EvaluationError(
                f"{self.name}: a quantised network cannot be trained on. Give the study one rung "
                "that trains"
            )
        self.retrain(network, nonzero_masks(network), epochs, rate, ctx)


def _note(ctx: Context, facts: Mapping[str, Any]) -> None:
    for name, value in facts.items():
        ctx.note(name, value)
