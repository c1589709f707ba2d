"""Which share each layer should keep, by what its trained weights say: where a search starts.

A sampler that knows nothing of the weights needs many trials to find what one look at them shows.
So the rules of the literature go first, at the ratio of the study, and the sampler starts from the
best of them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from agents.advisors.advice import Advice, advice
from search.api.domain import (
    Choice,
    Ordinal,
    Param,
    Point,
    Value,
    Vector,
    point_digest,
    sample_point,
)
from search.api.errors import ConfigError
from search.api.searching import StudyView
from search.blueprint import Blueprint
from spaces.pruning.space import PruningRatio

if TYPE_CHECKING:
    from torch import Tensor

NAME = "pruning_shares"
Rule = Literal["lamp", "magnitude", "erdos_renyi"]
_SPARSER = (1, 2, 4, 8)  # times the least ratio, where the study leaves it open


class PruningSharesConfig(BaseModel):
    """Options of :class:`PruningShares`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rules: tuple[Rule, ...] = Field(
        ("lamp", "magnitude", "erdos_renyi"),
        min_length=1,
        description="What to go by, best first: lamp (what a weight adds to the larger ones of its "
        "layer), magnitude (one threshold for all layers), erdos_renyi (shapes alone).",
    )
    ratios: tuple[float, ...] = Field(
        (),
        description="All weights over those kept, for each of which every rule is asked; by "
        "default the space's `ratio`, and 2, 4 and 8 times that where more may go.",
    )


class PruningShares:
    """Advises shares by layer-adaptive magnitude, by magnitude, and by shape.

    Args:
        blueprint: of the study; its space is ``pruning_ratio``.
        config: options.

    Raises:
        ConfigError: the study has another space, or nothing to share out.
    """

    Config = PruningSharesConfig

    def __init__(self, blueprint: Blueprint, config: PruningSharesConfig | None = None) -> None:
        self._config = config or PruningSharesConfig()
        space = blueprint.components.ladder.space
        if not isinstance(space, PruningRatio) or len(space.layout.slots) < 2:
            raise ConfigError(
                "pruning_shares advises studies that share out weights among layers (this one "
                "does not). Take space pruning_ratio, granularity layer",
                path="searcher.advisor",
            )
        self._blueprint, self._space = blueprint, space
        self._proposals: list[tuple[Point, str]] | None = None

    @classmethod
    def from_config(cls, config: PruningSharesConfig, blueprint: Blueprint) -> PruningShares:
        """The advisor of the study that ``blueprint`` describes."""
        return cls(blueprint, config)

    def advise(self, view: StudyView) -> Advice | None:
        """The first proposal that was not tried yet; None when all were.

        Raises:
            EvaluationError: the network of the workload cannot be trained.
        """
        if self._proposals is None:
            self._proposals = list(self._made())
        seen = {point_digest(t.point) for t in view.trials()}
        for point, reason in self._proposals:
            if point_digest(point) not in seen and not view.check(point):
                return advice(point, NAME, reason)
        return None

    def _made(self) -> Iterator[tuple[Point, str]]:
        from search.methods.pruning.allocation import Allocation

        weights, others = self._trained(), self._others()
        for rule in self._config.rules:
            allocation = Allocation(self._space, weights, rule)
            for ratio in self._ratios():
                shares = allocation.shares(int(self._space.layout.total / ratio))
                point = self._space.repair({**others, "keep": shares})
                yield point, f"{rule}: shares of the trained weights at {ratio:g}x"

    def _ratios(self) -> tuple[float, ...]:
        if self._config.ratios:
            return self._config.ratios
        space = self._space.config
        least = space.ratio or 2.0
        return (least,) if space.spend > 0 else tuple(least * times for times in _SPARSER)

    def _others(self) -> dict[str, Value]:
        """What else a point has: first structures, most bits, everything else as if drawn."""
        rng = random.Random(self._blueprint.spec.study.seed)
        drawn = sample_point(self._blueprint.params, rng)
        return {param.name: _settled(param, drawn[param.name]) for param in self._blueprint.params}

    def _trained(self) -> Mapping[str, Tensor]:
        """Layer -> weight of the trained network, on the CPU."""
        from search.ladder import temporary_context
        from search.methods.pruning.masks import layer_weights
        from search.methods.teacher import load_teacher

        components = self._blueprint.components
        with temporary_context(self._blueprint.spec.study.seed, components.ladder.device) as ctx:
            teacher = load_teacher(components.workload, ctx)
        return {n: w.detach().cpu() for n, w in layer_weights(teacher.network).items()}


def _settled(param: Param, drawn: Value) -> Value:
    """The first structures and the most bits; of other parameters what was drawn."""
    domain = param.domain
    element = domain.element if isinstance(domain, Vector) else domain
    if param.name not in ("structure", "bits") or not isinstance(element, (Choice, Ordinal)):
        return drawn
    value = element.options[-1 if param.name == "bits" else 0]
    return (value,) * domain.length if isinstance(domain, Vector) else value
