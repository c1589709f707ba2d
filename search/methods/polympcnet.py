"""PolyMPCNet: which activations may become polynomials, searched by gradient.

The teacher's network gets gates that mix ReLU with a polynomial and max with average pooling.
Gates follow the loss on held-out training images plus ``latency_weight`` times the expected cost,
as a share of the original network's, under the very cost model that scores the result. The
largest gates are kept, and the network is fine-tuned with the teacher's help.

Source: Peng et al., PASNet (DAC 2023; earlier PolyMPCNet, arXiv:2209.09424). RRNet is its use
with ReLU count as the penalty.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from search.api.candidate import Candidate
from search.api.domain import Point
from search.api.errors import ConfigError
from search.api.metric import Fidelity
from search.methods.finetune import StudentMethod, TrainingOptions
from search.methods.knobs import Knob

if TYPE_CHECKING:
    from torch import Tensor

    from search.api.protocols import Context, CostModel, Space
    from search.methods.gates import Gates, Relaxable

_KNOBS = (
    "latency_weight",
    "search_learning_rate",
    "alpha_learning_rate",
    "learning_rate",
    "polynomial_scale",
)


class PolyMPCNetConfig(TrainingOptions):
    """Options of ``method: {name: polympcnet}``."""

    penalty: str = Field(
        "latency_2pc", description="metric whose cost model enters the loss of the gates"
    )
    latency_weight: Knob = Field(
        default={"real": [0.5, 8.0], "log": True},
        description="lambda: weight of expected cost / cost of the original network",
    )
    order: Literal[1, 2] = Field(2, description="of the bilevel gradient; 1 costs a third")
    search_learning_rate: Knob = Field(0.02, description="of the weights during the search")
    search_batch_size: int = Field(64, ge=1, description="images per step of the search")
    alpha_learning_rate: Knob = Field(
        0.1, description="Adam's, on the gates: about how far an alpha moves in one step"
    )
    alpha_every: int = Field(1, ge=1, description="weight steps per step of the gates")
    warmup: float = Field(
        0.0, ge=0, lt=1, description="share of the search in which the gates rest at 0"
    )
    finetune_from: Literal["search", "teacher"] = Field(
        "search", description="weights that fine-tuning starts from"
    )


class PolyMPCNet(StudentMethod[PolyMPCNetConfig]):
    """Learns by gradient where ReLU and max pooling are worth their cost; one trial per weight.

    Budgets of a rung: ``search_epochs`` (passes over the weights' half of the training split)
    searches and hardens; ``finetune_epochs`` trains the hardened network of this rung or of the
    rung below.

    Args:
        workload: network, data and teacher.
        config: options; or give them as keywords.

    Raises:
        ConfigError: there is no workload.
    """

    name = "polympcnet"
    Config: ClassVar[type[PolyMPCNetConfig]] = PolyMPCNetConfig
    knobs = _KNOBS
    decides_space = True
    _model: CostModel | None = None

    def use_cost_models(self, models: Mapping[str, CostModel]) -> None:
        """Take the model of the penalised metric.

        Raises:
            ConfigError: no evaluator has a cost model for it.
        """
        if self._config.penalty not in models:
            raise ConfigError(
                f"no evaluator has a cost model for {self._config.penalty!r} "
                f"(known: {', '.join(sorted(models)) or 'none'}). Add one to the ladder.",
                path="method.penalty",
            )
        self._model = models[self._config.penalty]

    def estimate(self, fidelity: Fidelity) -> float | None:
        """Seconds a trial takes on this rung of this host; None before a teacher was trained."""
        budget = fidelity.budget
        # A pass of the search takes half the images through 2 (first order) or about 5 backward
        # passes for each step of weights and gates together.
        passes = 0.5 * (2.0 if self._config.order == 1 else 4.84)
        epochs = budget.get("finetune_epochs", 0.0) + passes * budget.get("search_epochs", 0.0)
        return self._students.estimate(epochs)

    def produce(
        self,
        space: Space[Any],
        point: Point,
        fidelity: Fidelity,
        ctx: Context,
        warm: Candidate[Any] | None,
    ) -> Candidate[Any]:
        """Search if the rung has ``search_epochs``, fine-tune if it has ``finetune_epochs``.

        Raises:
            ConfigError: the rung has neither, or nothing to fine-tune; the space has no relaxed
                form; there is no cost model.
            EvaluationError: training diverged.
        """
        search, tune = (fidelity.budget.get(key) for key in ("search_epochs", "finetune_epochs"))
        if search is None and (tune is None or warm is None):
            raise ConfigError(
                f"rung {fidelity.name!r}: polympcnet needs a budget of search_epochs at or below "
                f"the first fine-tuning (got {', '.join(fidelity.budget) or 'no budget'})",
                path="ladder",
            )
        found = warm
        if search is not None:
            found = self._search(space, point, search, ctx)
        if tune is not None and found is not None and not ctx.should_stop():
            keep = self._config.finetune_from == "search"
            found = self._students.finetune(
                found if keep else Candidate(found.kind, found.payload, parent=found.digest),
                ctx,
                epochs=tune,
                learning_rate=self._knobs.value("learning_rate", point),
                c=self._knobs.value("polynomial_scale", point),
            )
        if found is None:
            raise ConfigError("nothing was searched", path="ladder")
        return found

    def _search(
        self, space: Space[Any], point: Point, epochs: float, ctx: Context
    ) -> Candidate[Any]:
        from search.methods.gates import Gates, Relaxable
        from search.methods.relaxation import Relaxation, relax
        from search.methods.students import student
        from search.methods.trainer import Recipe
        from search.workloads.plan import save_weights

        if not isinstance(space, Relaxable):
            raise ConfigError(
                f"polympcnet needs a space with a relaxed form, such as relu_placement "
                f"(got {type(space).__name__})",
                path="space",
            )
        config, sites = self._config, self._students.sites
        c = self._knobs.value("polynomial_scale", point)
        teacher, soft_targets = self._students.teacher(ctx)
        network = student(teacher.network, space.fixed, sites, c=c)
        gates = Gates(network, space.options, sites, {"x2act": {"c": c}})
        weight = self._knobs.value("latency_weight", point)
        penalty = _Penalty(space, self._cost_model(), weight, gates.original())
        plan = Relaxation(
            recipe=Recipe(
                epochs=epochs,
                learning_rate=self._knobs.value("search_learning_rate", point),
                batch_size=config.search_batch_size,
                weight_decay=config.weight_decay,
                clip=config.clip,
                distillation=config.distillation,
                temperature=config.temperature,
                channels_last=config.channels_last,
                bf16=config.bf16,
            ),
            alpha_learning_rate=self._knobs.value("alpha_learning_rate", point),
            order=config.order,
            warmup=config.warmup,
            alpha_every=config.alpha_every,
        )
        spent = relax(
            network, gates, self._students.train_split, plan, penalty,
            seed=ctx.seed, device=ctx.device, ctx=ctx, soft_targets=soft_targets,
        )  # fmt: skip
        ctx.note("alphas", gates.alpha_values())
        ctx.note("soft_cost", penalty.facts(gates))
        ctx.note("search_seconds", round(spent.seconds, 3))
        self._students.spend(ctx, "search", spent.gradient_evaluations)
        payload = space.plan(gates.harden())
        path = save_weights(network, ctx.workdir / "search.safetensors")
        return Candidate(self._students.kind(space), payload, weights=path)

    def _cost_model(self) -> CostModel:
        if self._model is None:
            raise ConfigError(
                f"polympcnet was given no cost model for {self._config.penalty!r}. "
                "Call use_cost_models first, or add an evaluator such as cost_2pc to the ladder."
            )
        return self._model


class _Penalty:
    """``weight * expected cost / cost of the original network``: without unit, at most ``weight``.

    Args:
        space: gives the relaxed work.
        model: the cost model.
        weight: ``lambda``.
        original: site -> operator of the original network.
    """

    def __init__(
        self,
        space: Relaxable,
        model: CostModel,
        weight: float,
        original: Mapping[str, Mapping[str, float]],
    ) -> None:
        self._space, self._model, self._weight = space, model, weight
        self._original = float(model.cost(space.relaxed_usage(original)))
        if not self._original > 0:
            raise ConfigError(
                f"the original network costs {self._original:g} {model.metric.unit}, so there is "
                "nothing to save",
                path="method.penalty",
            )

    def __call__(self, gates: Gates) -> Tensor:
        """The penalty, a 0-dim tensor that carries gradients to the gates."""
        cost = self._model.cost(self._space.relaxed_usage(gates.shares()))
        return self._weight * cost / self._original  # type: ignore[no-any-return]

    def facts(self, gates: Gates) -> dict[str, Any]:
        """Expected cost of the gates as they are, and cost of the original network."""
        metric = self._model.metric
        expected = float(self._model.cost(self._space.relaxed_usage(gates.values())))
        return {"metric": metric.name, "unit": metric.unit, "value": expected,
                "original": self._original}  # fmt: skip
