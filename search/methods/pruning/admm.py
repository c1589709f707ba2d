"""Pruning by ADMM: weights are drawn to a structure while they train, then mapped onto it.

Source: Zhang et al., A Systematic DNN Weight Pruning Framework using Alternating Direction Method
of Multipliers (ECCV 2018).
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, ClassVar

from search.methods.pruning.options import AdmmOptions, PruningOptions
from search.methods.pruning.pruner import PruningMethod, PruningTask
from spaces.pruning.plan import LayerPruning, PruningPlan

if TYPE_CHECKING:
    from search.methods.pruning.masks import Masks


class Admm(PruningMethod):
    """ADMM pruning in one round, or in as many as the plan's schedule says.

    A round of several starts from the network that the one before pruned, with only its surviving
    weights; each keeps the same share of what the one before kept, and gets the same share of the
    epochs.
    """

    name = "admm"
    Config: ClassVar[type[PruningOptions]] = AdmmOptions

    def prune(self, task: PruningTask) -> Masks:
        """Round by round: draw to the structure, map onto it."""
        masks: Masks = {}
        rounds = self.schedule(task.plan).rounds
        for number in range(1, rounds + 1):
            if number > 1:
                short = self.recovery(task.epochs / rounds)
                self.retrain(task.network, masks, short, task.learning_rate, task.ctx)
            else:
                short = 0.0
            plan = partial_plan(task.plan, number / rounds)
            masks = self._round(task, plan, task.epochs / rounds - short, masks)
        return masks

    def recovery(self, epochs: float) -> float:
        """Epochs of a round, of ``epochs``, that retrain what the one before pruned."""
        return 0.25 * epochs

    def _round(self, task: PruningTask, plan: PruningPlan, epochs: float, masks: Masks) -> Masks:
        from search.methods.pruning.duals import Admm as Duals
        from search.methods.pruning.masks import harden, layer_weights
        from search.methods.pruning.projections import pruning_projections

        assert isinstance(self._config, AdmmOptions)
        projections = pruning_projections(plan, pool=self._config.pool)
        duals = Duals(
            layer_weights(task.network), projections, self.schedule(task.plan),
            self.steps(epochs), every=self._config.update_every, free=masks,
        )  # fmt: skip
        self.train(task.network, epochs, task.learning_rate, task.ctx, duals, "admm", constant=True)
        found = duals.residuals()
        task.ctx.note("admm_primal_residual", round(found.primal, 4))
        task.ctx.note("admm_dual_residual", round(found.dual, 4))
        task.ctx.note("admm_worst_layer", f"{found.worst}: {found.worst_primal:.3f}")
        return harden(task.network, projections)


def partial_plan(plan: PruningPlan, share: float) -> PruningPlan:
    """The plan that keeps ``keep ** share`` of each layer: ``share`` of the way there.

    Source: rounds of geometric ratios, as in progressive pruning (Ye et al., arXiv:1903.09769).
    """
    if share >= 1:
        return plan
    return dataclasses.replace(plan, layers=tuple(_partial(e, share) for e in plan.layers))


def _partial(entry: LayerPruning, share: float) -> LayerPruning:
    kept = max(entry.kept, min(entry.units, round(entry.units * entry.keep**share)))
    return dataclasses.replace(entry, kept=kept)
