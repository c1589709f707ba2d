"""Pruning by magnitude, at once or step by step: what every other method is compared with.

Source: Zhu and Gupta, To Prune, or Not to Prune (2017), for the gradual way.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, ClassVar

from search.methods.pruning.options import MagnitudeOptions, PruningOptions
from search.methods.pruning.pruner import PruningMethod, PruningTask

if TYPE_CHECKING:
    from search.methods.pruning.masks import Masks
    from search.methods.pruning.projections import ConstraintSet
    from spaces.pruning.plan import PruningPlan


class MagnitudePruning(PruningMethod):
    """The largest units stay, by the weights as trained so far."""

    name = "magnitude_pruning"
    Config: ClassVar[type[PruningOptions]] = MagnitudeOptions

    def prune(self, task: PruningTask) -> Masks:
        """At once, or by the cubic schedule."""
        from search.methods.pruning.curvature import curvature_of
        from search.methods.pruning.masks import Gradual, harden, layer_weights
        from search.methods.pruning.projections import structures_of

        assert isinstance(self._config, MagnitudeOptions)
        pool = self._config.pool
        curvature = curvature_of(self._config.curvature)

        def tighten(done: float) -> ConstraintSet:
            return structures_of(sparser(task.plan, done), pool=pool)

        hooks = Gradual(
            layer_weights(task.network), tighten, self.steps(task.epochs),
            every=self._config.update_every, curvature=curvature,
        )  # fmt: skip
        self.train(
            task.network, task.epochs, task.learning_rate, task.ctx, hooks, "prune", constant=True
        )
        return harden(task.network, tighten(1.0), curvature)

    @property
    def retrain_share(self) -> float:
        """All where pruning is done at once."""
        assert isinstance(self._config, MagnitudeOptions)
        return 1.0 if self._config.way == "one_shot" else super().retrain_share


def sparser(plan: PruningPlan, done: float) -> PruningPlan:
    """The plan with ``done`` of its zeros: a layer that drops s of its units drops s * done."""
    if done >= 1:
        return plan
    layers = tuple(
        dataclasses.replace(e, kept=max(e.kept, round(e.units - (e.units - e.kept) * done)))
        for e in plan.layers
    )
    return dataclasses.replace(plan, layers=layers)
