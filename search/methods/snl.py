"""SNL (selective network linearisation): ReLUs stay where an L1 penalty leaves a real gate alive.

Each unit computes ``a ReLU(x) + (1 - a) g(x)`` with a real ``a`` that starts at 1. The loss is that
of the task with distillation plus ``alpha ||a||_1``, and alpha grows until few enough gates lie
above a threshold. Then gates become masks, exactly as many as the budget allows, and the network is
fine-tuned.

Source: Cho et al., Selective Network Linearization for Efficient Private Inference (ICML 2022). The
published run lasts up to 2000 epochs at alpha = 1e-5, times 1.1 after an epoch in which the number
of gates failed to drop; rates here are for some hundred steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import Field

from search.methods.exact_masks import exact_masks
from search.methods.mask_method import MaskMethod, Masks, MaskTask
from search.methods.mask_search import GateOptions, GateRule, Gates, learn_gates

if TYPE_CHECKING:
    from torch import Tensor


class SNLOptions(GateOptions):
    """Options of ``method: {name: snl}``."""

    l1_weight: float | None = Field(
        None,
        ge=0,
        description="alpha: first weight of the gates' L1 norm, 1e-5 as published; absent: the "
        "task's first gradient towards a gate (root mean square)",
    )
    l1_growth: float = Field(
        1.2,
        ge=1,
        description="factor on alpha after each tenth of the steps that leaves more gates than "
        "the budget allows",
    )
    gate_threshold: float = Field(
        0.01, ge=0, description="a gate above it counts as a ReLU that stays"
    )


class SNL(MaskMethod):
    """ReLUs stay where real gates, learned with the weights under an L1 norm, are largest."""

    name = "snl"
    Config = SNLOptions
    knobs = (*MaskMethod.knobs, "mask_learning_rate")

    def find(self, task: MaskTask) -> Masks:
        """Masks of the largest gates, after training them with the weights."""
        config = self._config
        assert isinstance(config, SNLOptions)
        rule = SNLRule(
            weight=config.l1_weight, growth=config.l1_growth, threshold=config.gate_threshold
        )
        rate = self._knobs.value("mask_learning_rate", task.point)
        found = learn_gates(task, rule, config, learning_rate=rate)
        masks = exact_masks(found.scores, task.masking, task.budget, kept=None)
        facts = {"relus_while_learning": list(found.counts), "l1_weight": rule.weight}
        return Masks(masks, found.gradient_evaluations, facts)


class SNLRule(GateRule):
    """Real gates under an L1 norm whose weight grows.

    Args:
        weight: alpha of the first epoch; None to derive it from the first gradients.
        growth: factor after each tenth of the steps that ends above the budget.
        threshold: above it a gate counts as kept.
    """

    hard = False

    def __init__(
        self, *, weight: float | None = None, growth: float = 1.2, threshold: float = 0.01
    ) -> None:
        self.weight, self._growth, self._threshold = weight, growth, threshold

    def start(self, gates: Gates, steps: int, seed: int) -> None:
        """Every gate at 1."""
        with torch.no_grad():
            for gated in gates.sites.values():
                gated.a.fill_(1.0)

    def penalty(self, gates: Gates, step: int) -> Tensor:
        """``alpha ||a||_1``; nothing before alpha is known."""
        if self.weight is None:
            return torch.zeros((), device=gates.parameters[0].device)
        return self.weight * torch.stack([a.abs().sum() for a in gates.parameters]).sum()

    def first_gradients(self, gates: Gates) -> None:
        """Derive alpha where none was given."""
        if self.weight is None:
            self.weight = gates.task_strength()

    def tenth_done(self, gates: Gates) -> None:
        """Let alpha grow while more gates are alive than the budget allows."""
        if self.weight is not None and self.counts(gates) > gates.budget:
            self.weight *= self._growth

    def found(self, gates: Gates) -> bool:
        """Whether few enough gates are alive; the rest of the epochs is fine-tuning then."""
        return self.counts(gates) <= gates.budget

    def counts(self, gates: Gates) -> float:
        """ReLU elements whose gate lies above the threshold, settled ones included."""
        alive = [
            int((g.a.detach() > self._threshold).sum()) * gates.elements[name]
            for name, g in gates.sites.items()
        ]
        return float(sum(alive) + gates.settled)
