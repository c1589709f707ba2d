"""Masks within a cost: which layers keep any ReLU, and which elements of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from search.api.candidate import Violation
from search.api.errors import ConfigError, InfeasibleCandidate
from search.methods.cost_selection import (
    masks_within_cost,
    opens_any,
    original_cost,
    prices,
)
from search.methods.knobs import Knob
from search.methods.mask_method import MaskMethod, Masks, MaskTask, StudentOptions

if TYPE_CHECKING:
    from torch import Tensor

    from search.api.domain import Point
    from search.api.protocols import CostModel, Space
    from spaces.masking import Masking


class CostMaskOptions(StudentOptions):
    """Options of ``method: {name: cost_masks}``."""

    cost: str = Field("latency_2pc", description="metric whose cost model bounds the placement")
    cost_budget: Knob = Field(
        50.0, description="cost of the network, in % of that of the original with all its ReLUs"
    )
    layers: bool = Field(
        True, description="whether layers may lose all their ReLUs, which alone saves rounds"
    )
    criterion: Literal["snip", "signed", "fisher"] = Field(
        "fisher", description="saliency of a ReLU, see snip_masks"
    )
    images: int = Field(
        2048,
        ge=1,
        description="training images that saliencies are taken of; at most a quarter of the rung's",
    )


class CostMasks(MaskMethod):
    """Layers and elements chosen together, so that the cost model's price stays within a budget.

    Under a network with long round trips it empties layers, under a narrow one it thins them: the
    cost model of the study decides. See :mod:`search.methods.cost_selection`.

    Take ``granularity: layer`` unless you have measured otherwise: at equal latency, thinning
    layers by pixels won up to a point on one data set where whole layers left latency unspent,
    and lost more on another (``docs/decisions/0015-beyond-the-papers.md``).
    """

    name = "cost_masks"
    Config: ClassVar[type[StudentOptions]] = CostMaskOptions
    knobs = ("cost_budget", "learning_rate", "polynomial_scale")
    _model: CostModel | None = None

    def use_cost_models(self, models: Mapping[str, CostModel]) -> None:
        """Take the model of the bounded metric.

        Raises:
            ConfigError: no evaluator has a cost model for it.
        """
        wanted = self._options.cost
        if wanted not in models:
            raise ConfigError(
                f"no evaluator has a cost model for {wanted!r} "
                f"(known: {', '.join(sorted(models)) or 'none'}). Add one to the ladder.",
                path="method.cost",
            )
        self._model = models[wanted]

    def counts(
        self, space: Space[Any], masking: Masking, point: Point
    ) -> tuple[int, Mapping[str, int] | None]:
        """Fewer than all: how many is found with the masks. All, from 100 % on.

        Raises:
            InfeasibleCandidate: the network without a free ReLU costs more than the budget.
        """
        self._limit(masking, point)
        if self._knobs.value("cost_budget", point) >= 100:
            return masking.total, None
        return masking.total - 1, None

    def find(self, task: MaskTask) -> Masks:
        """The masks of highest saliency within the cost."""
        import torch

        options, masking = self._options, task.masking
        price = prices(masking, self._cost_model())
        limit = self._limit(masking, task.point)
        if not opens_any(price, limit, layers=options.layers):  # nothing to choose
            none = {s.name: torch.zeros(s.input_shape, dtype=torch.bool) for s in masking.free}
            return Masks(none, 0, {"cost_limit": limit})
        scores, spent = self._scores(task)
        masks = masks_within_cost(scores, masking, price, limit, layers=options.layers)
        return Masks(masks, spent, {"saliency_images": spent, "cost_limit": limit})

    def _scores(self, task: MaskTask) -> tuple[dict[str, Tensor], int]:
        """Saliency of every unit in the network as it is, and the images it took."""
        from search.methods.saliency import saliency

        options = self._options
        scores, used = saliency(
            task.network, task.masking, task.split,
            images=min(options.images, round(task.epochs * self._students.epoch_images / 4)),
            batch_size=options.batch_size, seed=task.ctx.seed,
            device=task.ctx.device, criterion=options.criterion,
        )  # fmt: skip
        return {name: score.clamp(min=0) for name, score in scores.items()}, used

    @property
    def _options(self) -> CostMaskOptions:
        assert isinstance(self._config, CostMaskOptions)
        return self._config

    def _cost_model(self) -> CostModel:
        if self._model is None:
            raise ConfigError(
                f"cost_masks was given no cost model for {self._options.cost!r}. "
                "Call use_cost_models first, or add an evaluator such as cost_2pc to the ladder."
            )
        return self._model

    def _limit(self, masking: Masking, point: Point) -> float:
        """The bound in the metric's unit, which some placement keeps."""
        model = self._cost_model()
        percent = self._knobs.value("cost_budget", point)
        limit = percent / 100 * original_cost(masking, model)
        least = prices(masking, model).least
        if least > limit:
            unit = model.metric.unit
            detail = (
                f"got {percent:g} % or {limit:.4g} {unit}; without any ReLU that may go the "
                f"network still costs {least:.4g} {unit} "
                f"({100 * least / original_cost(masking, model):.3g} %)"
            )
            raise InfeasibleCandidate([Violation("cost_budget", detail, least - limit, unit)])
        return limit
