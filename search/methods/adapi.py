"""AdaPI: one set of weights that holds a network for every budget, from sparse to dense.

Three stages. A score for every weight and every ReLU is learned by straight-through masks. Global
quantiles of the scores give nested binary masks at a ladder of densities. The members are trained
from the sparsest to the densest, each one only in the weights it adds, with batch norms of its own,
so that earlier members stay as they are bit for bit. What is deployed is one file.

Source: AdaPI (ICCAD 2024). Where the defaults depart from it, and why: docs/decisions/0014.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from search.api.candidate import Candidate
from search.api.domain import Point
from search.api.errors import ConfigError
from search.api.metric import Fidelity
from search.methods.adapi_options import AdaPIConfig
from search.methods.finetune import StudentMethod
from search.methods.mask_method import masking_of
from spaces.masking import Masking
from spaces.nested import NestedPlan

if TYPE_CHECKING:
    from torch import nn

    from search.api.protocols import Context, Space
    from search.methods.adapi_loss import Teaching

_KNOBS = (
    "score_learning_rate",
    "mask_learning_rate",
    "weight_penalty",
    "relu_penalty",
    "emphasis",
    "learning_rate",
    "polynomial_scale",
)
WEIGHTS = "nested.safetensors"
"""Name of the one artefact among a trial's files."""


class AdaPI(StudentMethod[AdaPIConfig]):
    """Nested networks for a ladder of densities, in one set of weights; one trial gives them all.

    Budgets of a rung: ``mask_epochs`` (passes over the training split that learn the scores; 0
    takes the initial scores) and ``member_epochs`` (passes for each member). A rung may have both,
    or the second one may follow on a rung above.

    Args:
        workload: network, data and teacher.
        config: options; or give them as keywords.

    Raises:
        ConfigError: there is no workload.
    """

    name = "adapi"
    Config: ClassVar[type[AdaPIConfig]] = AdaPIConfig
    knobs = _KNOBS
    decides_space = True

    def estimate(self, fidelity: Fidelity) -> float | None:
        """Seconds a trial takes on this rung of this host; None before a teacher was trained."""
        members = fidelity.budget.get("member_epochs", 0.0) * len(self._config.densities)
        # Comparing maps runs the teacher beside the student.
        each = 1.6 if self._config.attention else 1.0
        return self._students.estimate(each * (fidelity.budget.get("mask_epochs", 0.0) + members))

    def produce(
        self,
        space: Space[Any],
        point: Point,
        fidelity: Fidelity,
        ctx: Context,
        warm: Candidate[Any] | None,
    ) -> Candidate[Any]:
        """The nested networks: masks found if the rung has ``mask_epochs``, members trained if it
        has ``member_epochs``.

        Raises:
            ConfigError: the rung has neither, or nothing to train; the space has no masks.
            InfeasibleCandidate: a density leaves fewer ReLUs than the fixed ones.
            EvaluationError: training diverged.
        """
        masks, each = (fidelity.budget.get(key) for key in ("mask_epochs", "member_epochs"))
        if masks is None and (each is None or warm is None):
            raise ConfigError(
                f"rung {fidelity.name!r}: adapi needs a budget of mask_epochs at or below the "
                f"first member_epochs (got {', '.join(fidelity.budget) or 'no budget'})",
                path="ladder",
            )
        masking = masking_of(space, "adapi")
        found = warm if masks is None else self._masked(masking, point, masks, ctx, space)
        if found is None:
            raise ConfigError("no masks were found", path="ladder")
        if each is not None and not ctx.should_stop():
            found = self._trained(found, masking, point, each, ctx)
        return found

    def _masked(
        self, masking: Masking, point: Point, epochs: float, ctx: Context, space: Any
    ) -> Candidate[Any]:
        """First and second stage: scores, and levels at their quantiles."""
        from search.methods.adapi_members import nested_levels
        from search.methods.adapi_scores import first_scores
        from search.methods.adapi_soft import SoftPlan, learn_scores
        from search.workloads.nested import NestedWeights, private_state, shared_weights

        config, ladder = self._config, self._config.ladder
        settled = masking.settled_relus
        relus = [masking.budget(100 * density) - settled for _, density in ladder]
        network, teaching = self._student(masking, point, ctx)
        teacher, _ = self._students.teacher(ctx)
        scores = first_scores(
            config.initial_scores, network, teacher.network, masking, self._students.train_split,
            images=config.calibration_images, seed=ctx.seed, device=ctx.device,
        )  # fmt: skip
        private = (private_state(network),) * len(ladder)
        if epochs:
            free = sum(site.elements for site in masking.free)
            plan = SoftPlan(
                recipe=self._students.recipe(
                    epochs, self._knobs.value("mask_learning_rate", point)
                ),
                way=config.mask_training,
                score_learning_rate=self._knobs.value("score_learning_rate", point),
                weight_penalty=self._knobs.value("weight_penalty", point),
                relu_penalty=self._knobs.value("relu_penalty", point),
                densities=[(w, n / free) for (w, _), n in zip(ladder, relus, strict=True)],
                emphasis=self._knobs.value("emphasis", point),
            )
            learned = learn_scores(
                network, masking, teaching, self._students.train_split, plan, scores,
                seed=ctx.seed, device=ctx.device, ctx=ctx,
            )  # fmt: skip
            scores, private = learned.scores, learned.private
            ctx.note("mask_seconds", round(learned.seconds, 3))
            ctx.note(
                "scores_above_0", dict(zip(("weights", "relus"), learned.densities, strict=True))
            )
            self._students.spend(ctx, "masks", learned.gradient_evaluations)
        levels = nested_levels(scores, masking, config.densities, relus)
        shared = {n: w.detach().cpu().clone() for n, w in shared_weights(network).items()}
        nested = NestedWeights(config.densities, shared, levels.weights, levels.relus, private)
        return self._candidate(nested, masking, self._students.kind(space), None, ctx)

    def _trained(
        self, start: Candidate[Any], masking: Masking, point: Point, epochs: float, ctx: Context
    ) -> Candidate[Any]:
        """Third stage, from the weights of ``start``."""
        from search.methods.adapi_members import train_members
        from search.workloads.nested import load_nested

        if start.weights is None or not isinstance(start.payload, NestedPlan):
            raise ConfigError(
                f"adapi trains nested networks further (got a candidate of "
                f"{type(start.payload).__name__})",
                path="ladder",
            )
        network, teaching = self._student(masking, point, ctx)
        nested, spent, seconds = train_members(
            network, load_nested(start.weights), teaching, self._students.train_split,
            self._students.recipe(epochs, self._knobs.value("learning_rate", point)),
            growth=self._config.growth, inherit=self._config.inherit,
            seed=ctx.seed, device=ctx.device, ctx=ctx,
        )  # fmt: skip
        ctx.note("member_seconds", round(seconds, 3))
        self._students.spend(ctx, "members", spent)
        return self._candidate(nested, masking, start.kind, start.parent, ctx)

    def _candidate(
        self, nested: Any, masking: Masking, kind: str, parent: str | None, ctx: Context
    ) -> Candidate[Any]:
        """The candidate with its members, all in one file of weights."""
        from search.methods.adapi_members import plan_of
        from search.workloads.nested import save_nested

        payload = plan_of(nested, masking)
        path = save_nested(nested, ctx.workdir / WEIGHTS)
        ctx.note("artefact_bytes", path.stat().st_size)
        members = tuple(Candidate[Any](kind, m, path, parent=parent) for m in payload.members)
        return Candidate(kind, payload, path, members, parent)

    def _student(self, masking: Masking, point: Point, ctx: Context) -> tuple[nn.Module, Teaching]:
        """A copy of the teacher with masked activations, and what it learns from."""
        from search.methods.adapi_loss import Lesson, Teaching
        from search.methods.mask_students import masked_student
        from search.methods.polynomial_fit import fit_polynomials

        config = self._config
        teacher, soft_targets = self._students.teacher(ctx)
        c = self._knobs.value("polynomial_scale", point)
        network = masked_student(teacher.network, masking, c=c).to(ctx.device)
        fit_polynomials(
            network, teacher.network, self._students.train_split,
            images=config.calibration_images, device=ctx.device, seed=ctx.seed,
            fit=config.polynomial_fit,
        )  # fmt: skip
        teaching = Teaching(
            network, teacher.network, [site.name for site in masking.free],
            Lesson(config.labels, config.distillation, config.attention, config.temperature),
            None if soft_targets is None else soft_targets.to(ctx.device),
            augmentation=config.augmentation, seed=ctx.seed,
        )  # fmt: skip
        return network, teaching
