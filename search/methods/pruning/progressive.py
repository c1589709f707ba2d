"""Progressive ADMM: several rounds, then levels, each warm-started from the one before.

Source: Ye et al., Progressive DNN Compression: A Key to Achieve Ultra-High Weight Pruning and
Quantization Rates using ADMM (arXiv:1903.09769).
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from pydantic import Field

from search.methods.pruning.admm import Admm
from search.methods.pruning.options import CURVATURE, AdmmOptions, PruningOptions
from spaces.pruning.plan import PruningPlan, Schedule


class ProgressiveOptions(AdmmOptions):
    """Options of ``method: {name: progressive_admm}``."""

    # One round chooses once, from weights that were free until then: there it costs accuracy.
    curvature: float = Field(0.5, ge=0, le=1, description=CURVATURE)
    rounds: int = Field(
        0,
        ge=0,
        description="rounds of pruning, where the space does not choose them; 0: as many as give "
        "each two updates",
    )


class ProgressiveAdmm(Admm):
    """ADMM pruning in many short rounds.

    The paper has a few long ones; at 71x many short ones do better than a single round (decision
    0019). A few long ones were not measured.
    """

    name = "progressive_admm"
    Config: ClassVar[type[PruningOptions]] = ProgressiveOptions

    def schedule(self, plan: PruningPlan, epochs: float) -> Schedule:
        """The plan's schedule, with the option's rounds where the plan has but one."""
        assert isinstance(self._config, ProgressiveOptions)
        if plan.schedule.rounds > 1:
            return plan.schedule
        most = max(1, self.steps(epochs) // (2 * self._config.update_every))
        return dataclasses.replace(plan.schedule, rounds=self._config.rounds or most)
