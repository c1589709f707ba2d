"""EVE: one set of weights that holds a network for every state of the energy supply.

The space says how much each mode keeps of each layer and how the device computes it; this method
chooses which units stay (the most important ones of the teacher, nested by construction) and trains
all modes together in one set of weights, as integers on one scale per layer. What is deployed is
one file of weights with a level for each of them.

Source: EVE (Islam et al., ICCAD 2022; arXiv 2207.09258), of which only the abstract could be read:
modes of several sparsities that share weights, extracted at run time. How they are trained is ours.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, ClassVar

from search.api.candidate import Candidate
from search.api.domain import Point
from search.api.errors import ConfigError
from search.api.metric import Fidelity
from search.methods.eve.options import EveConfig
from search.methods.finetune import StudentMethod
from spaces.eve.family import ModeFamily

if TYPE_CHECKING:
    from search.api.protocols import Context, Space
    from search.workloads.nested import NestedWeights

WEIGHTS = "modes.safetensors"
"""Name of the one artefact among a trial's files."""


class Eve(StudentMethod[EveConfig]):
    """Trains the modes of a family jointly in one set of weights.

    Budget of a rung: ``epochs``, passes over the training split in which every step trains all
    modes. A rung without it gives the family alone, for evaluators that need no weights; one of 0
    epochs gives the teacher's weights, pruned and rounded. On a rung above training goes on from
    the weights of the rung below.

    Args:
        workload: network, data and teacher.
        config: options; or give them as keywords.

    Raises:
        ConfigError: there is no workload.
    """

    name = "eve"
    Config: ClassVar[type[EveConfig]] = EveConfig
    knobs = ("learning_rate",)
    decides_space = False

    def check_space(self, space: Space[Any]) -> None:
        """Refuse networks and spaces that it cannot work with, before anything is trained.

        Raises:
            ConfigError: candidates of another kind, or a network with batch norm.
        """
        if space.kind != "eve":
            raise ConfigError(
                f"method eve trains families of modes (got space kind {space.kind!r}; expected "
                "'eve'). Use `space: {name: eve}`",
                path="method",
            )
        norms = [site.name for site in self._students.sites if site.kind == "norm"]
        if norms:
            raise ConfigError(
                f"the network has batch norm at {', '.join(norms[:3])} (expected none): modes "
                "share integers, and folding each mode's own batch norm would give every mode "
                "other ones. Use a network without, such as tiny_cnn or lenet5",
                path="workload.network",
            )

    def estimate(self, fidelity: Fidelity) -> float | None:
        """Seconds a trial takes on this rung of this host, three modes taken as usual; None
        before a teacher was trained.
        """
        return self._students.estimate(3 * fidelity.budget.get("epochs", 0.0))

    def produce(
        self,
        space: Space[Any],
        point: Point,
        fidelity: Fidelity,
        ctx: Context,
        warm: Candidate[Any] | None,
    ) -> Candidate[Any]:
        """The family of ``point``, trained for the rung's epochs.

        Raises:
            ConfigError: the family is not one of this network's.
            InfeasibleCandidate: the point cannot be built.
            EvaluationError: training diverged.
        """
        if warm is None:
            self.check_space(space)
            payload: Any = space.build(point)
            start = Candidate(space.kind, payload, members=self._members(space.kind, payload))
        else:
            start = warm
        epochs = fidelity.budget.get("epochs")
        if epochs is None:
            return start
        if not isinstance(start.payload, ModeFamily):
            raise ConfigError(
                f"eve trains families of modes (got {type(start.payload).__name__})", path="space"
            )
        nested = self._nested(start, ctx)
        if epochs > 0 and not ctx.should_stop():
            nested = self._trained(nested, start.payload.bits, point, epochs, ctx)
        return self._saved(start, nested, ctx)

    def _nested(self, start: Candidate[Any], ctx: Context) -> NestedWeights:
        """The weights that training starts from: the rung's below, or the teacher's, pruned."""
        from search.methods.eve.importance import importance
        from search.methods.eve.joint import quantised
        from search.workloads.eve.levels import choose_codes, units_of
        from search.workloads.nested import (
            NestedWeights,
            load_nested,
            private_state,
            shared_weights,
        )

        if start.weights is not None:
            return load_nested(start.weights)
        family, config = start.payload, self._config
        teacher, _ = self._students.teacher(ctx)
        scores = importance(
            teacher.network, self._students.train_split, config.importance,
            images=config.importance_images, seed=ctx.seed, device=ctx.device,
        )  # fmt: skip
        codes = choose_codes(scores, units_of(family), family.pool)
        shared = {n: w.detach().cpu().clone() for n, w in shared_weights(teacher.network).items()}
        levels = {n: codes[n].expand(shared[n].shape) for n in shared}
        ctx.note("level_code_bits", sum(code.bits for code in codes.values()))
        private = {n: v.cpu() for n, v in private_state(teacher.network).items()}
        total = sum(v.numel() for v in levels.values())
        densities = tuple(
            sum(int(((v > 0) & (v <= mode.level)).sum()) for v in levels.values()) / total
            for mode in family.members
        )
        nested = NestedWeights(densities, shared, levels, {}, (private,) * len(densities))
        return quantised(nested, family.bits)

    def _trained(
        self, nested: NestedWeights, bits: int, point: Point, epochs: float, ctx: Context
    ) -> NestedWeights:
        from search.methods.eve.joint import Lesson, train_jointly

        teacher, soft_targets = self._students.teacher(ctx)
        recipe = self._students.recipe(epochs, self._knobs.value("learning_rate", point))
        helper: Any = soft_targets
        if recipe.augmentation != "none" and recipe.distillation:
            helper = teacher.network.to(ctx.device)
        network = copy.deepcopy(teacher.network)
        trained, spent, seconds = train_jointly(
            network, nested, self._students.train_split, recipe,
            Lesson(self._config.sampling, self._config.soft, bits),
            seed=ctx.seed, device=ctx.device, ctx=ctx, teacher=helper,
        )  # fmt: skip
        ctx.note("joint_seconds", round(seconds, 3))
        self._students.spend(ctx, "joint", spent)
        return trained

    def _saved(self, start: Candidate[Any], nested: NestedWeights, ctx: Context) -> Candidate[Any]:
        from search.workloads.nested import save_nested

        path = save_nested(nested, ctx.workdir / WEIGHTS)
        ctx.note("artefact_bytes", path.stat().st_size)
        members = self._members(start.kind, start.payload, path)
        return Candidate(start.kind, start.payload, path, members, start.parent)

    @staticmethod
    def _members(kind: str, family: ModeFamily, weights: Any = None) -> tuple[Candidate[Any], ...]:
        return tuple(Candidate[Any](kind, mode, weights) for mode in family.members)
