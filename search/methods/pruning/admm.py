"""Pruning by ADMM: weights are drawn to a structure while they train, then mapped onto it.

Source: Zhang et al., A Systematic DNN Weight Pruning Framework using Alternating Direction Method
of Multipliers (ECCV 2018).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from search.methods.pruning.magnitude import sparser
from search.methods.pruning.options import AdmmOptions, PruningOptions
from search.methods.pruning.pruner import PruningMethod, PruningTask

if TYPE_CHECKING:
    from search.methods.pruning.masks import Masks


class Admm(PruningMethod):
    """ADMM pruning in as many rounds as the plan's schedule says, one by default.

    Of several rounds, each draws to a tighter structure what the one before left; they share the
    epochs, and rho rises over all of them.
    """

    name = "admm"
    Config: ClassVar[type[PruningOptions]] = AdmmOptions

    def prune(self, task: PruningTask) -> Masks:
        """Draw the weights to the structure, round by round, and map them onto it."""
        from search.methods.pruning.curvature import curvature_of
        from search.methods.pruning.duals import Admm as Duals
        from search.methods.pruning.masks import harden, layer_weights
        from search.methods.pruning.projections import structures_of

        assert isinstance(self._config, AdmmOptions)
        pool, curvature = self._config.pool, curvature_of(self._config.curvature)
        schedule = self.schedule(task.plan, task.epochs)
        target = structures_of(task.plan, pool=pool)
        rounds = [structures_of(sparser(task.plan, done), pool=pool)
                  for done in tightening(schedule.rounds)]  # fmt: skip
        duals = Duals(
            layer_weights(task.network), rounds, schedule, self.steps(task.epochs),
            every=self._config.update_every, curvature=curvature,
        )  # fmt: skip
        self.train(
            task.network, task.epochs, task.learning_rate, task.ctx, duals, "admm", constant=True
        )
        found = duals.residuals()
        task.ctx.note("admm_primal_residual", round(found.primal, 4))
        task.ctx.note("admm_dual_residual", round(found.dual, 4))
        task.ctx.note("admm_worst_layer", f"{found.worst}: {found.worst_primal:.3f}")
        return harden(task.network, target, curvature)


def tightening(rounds: int) -> list[float]:
    """Share of the final zeros at the end of each round, as in gradual pruning.

    Two rounds drop 88 % in the first: about as many as rounds of equal ratios would.
    """
    from search.methods.pruning.masks import cubic

    return [cubic(number / rounds) for number in range(1, rounds + 1)]
