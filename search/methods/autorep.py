"""AutoReP: which ReLUs stay is learned with a discrete indicator under a hinge on their number.

Every unit has an auxiliary parameter ``a`` and a mask bit ``m`` that starts at 1. Before each step

    m <- m [a > -t] + (1 - m) [a > t]

with a small threshold ``t``, so that a bit does not flicker while ``a`` passes 0. Backward, the
bit's gradient goes to ``a`` times ``softplus(a)``. The loss is that of the task with distillation,
plus ``lambda relu(sum(m) / N - B / N)`` for ``N`` elements and a budget of ``B``.

In a short run of the published form the random first values of ``a`` decide most of the masks,
since the penalty moves all ``a`` alike. So by default ``a`` starts at one value everywhere, and the
budget descends to ``B`` while masks are learned; docs/decisions/0013 has the measurements. The
published form is ``{indicator_init: uniform, budget_schedule: constant, budget_weight: 140,
weight_growth: 0}``.

Source: AutoReP (ICCV 2023), section 3; details of the indicator from its released code.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import torch
from pydantic import Field

from search.api.errors import ConfigError
from search.methods.exact_masks import exact_masks
from search.methods.knobs import Knob
from search.methods.mask_method import MaskMethod, Masks, MaskTask
from search.methods.mask_search import (
    GateOptions,
    GateRule,
    Gates,
    annealed_budget,
    learn_gates,
)
from search.workloads.dapa import Polynomial, authors_coefficients

if TYPE_CHECKING:
    from torch import Tensor, nn


class AutoRePOptions(GateOptions):
    """Options of ``method: {name: autorep}``."""

    mask_learning_rate: Knob = Field(2e-3, description="of the weights while masks are found")
    hysteresis: float = Field(
        0.003, ge=0, description="t: a ReLU goes when a < -t and comes back when a > t"
    )
    budget_weight: float | None = Field(
        None,
        gt=0,
        description="lambda of the hinge on the share of ReLUs above the budget, 140 as published; "
        "absent: such that the hinge pulls at a ReLU with 2/3 of the task's first gradient (rms)",
    )
    budget_schedule: Literal["cubic", "constant"] = Field(
        "cubic",
        description="cubic: the budget of the hinge descends from all ReLUs to the final one; "
        "constant: the final one from the start, as published",
    )
    weight_growth: float = Field(
        10.0,
        ge=0,
        description="how fast lambda grows while more ReLUs are kept than the budget of the step "
        "allows: e^this over all steps at twice the budget; 0 as published",
    )
    indicator_init: Literal["constant", "uniform"] = Field(
        "constant",
        description="first values of a: 0.1 everywhere, or U(0, 1) as published, which ranks "
        "ReLUs at random until training has moved each a by as much",
    )
    authors: bool = Field(
        False,
        description="poly2 as the authors' code has it (variance for standard deviation, scaled "
        "coefficients) in place of the least-squares fit",
    )


CONSTANT_INIT = 0.1
"""First value of every ``a``: far enough from 0 for the gradients of some steps to spread them."""


PULL = 2 / 3
"""Strength of the hinge, as a share of the task's first gradient, where no ``lambda`` is given.

Measured: 0.24 does not reach the budget in time, 2 and above drown the task (docs/decisions/0013).
"""


class AutoReP(MaskMethod):
    """ReLUs stay where a discrete indicator, learned with the weights under a budget, says so."""

    name = "autorep"
    Config = AutoRePOptions
    knobs = (*MaskMethod.knobs, "mask_learning_rate")

    def find(self, task: MaskTask) -> Masks:
        """Masks of the highest auxiliary parameters, after training them with the weights."""
        config = self._options
        rule = AutoRePRule(
            hysteresis=config.hysteresis,
            weight=config.budget_weight,
            growth=config.weight_growth,
            schedule=config.budget_schedule,
            init=config.indicator_init,
        )
        rate = self._knobs.value("mask_learning_rate", task.point)
        found = learn_gates(task, rule, config, learning_rate=rate)
        masks = exact_masks(found.scores, task.masking, task.budget, kept=None)
        facts = {"relus_while_learning": list(found.counts), "budget_weight": rule.weight}
        return Masks(masks, found.gradient_evaluations, facts)

    def fitted(self, network: nn.Module) -> None:
        """With ``authors``, give fitted polynomials the coefficients of the authors' code.

        Raises:
            ConfigError: the replacement is a polynomial of another degree than 2.
        """
        if self._options.authors:
            use_authors_coefficients(network)

    @property
    def _options(self) -> AutoRePOptions:
        assert isinstance(self._config, AutoRePOptions)
        return self._config


class AutoRePRule(GateRule):
    """The indicator with hysteresis, and the hinge on the number of ReLUs.

    Args:
        hysteresis: ``t``.
        weight: ``lambda``; None to derive it from the first gradients.
        growth: exponent of its growth over all steps while the budget is exceeded twofold or more.
        schedule: of the hinge's budget.
        init: first values of ``a``.
    """

    hard = True

    def __init__(
        self,
        *,
        hysteresis: float = 0.003,
        weight: float | None = None,
        growth: float = 0.0,
        schedule: Literal["cubic", "constant"] = "cubic",
        init: Literal["constant", "uniform"] = "constant",
    ) -> None:
        self._t, self._weight, self._schedule, self._init = hysteresis, weight, schedule, init
        self._growth = growth
        self._steps = 1

    @property
    def weight(self) -> float | None:
        """``lambda`` as it is now; None until it is derived."""
        return self._weight

    def start(self, gates: Gates, steps: int, seed: int) -> None:
        """First values of ``a``; every mask keeps all."""
        self._steps = steps
        noise = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for gated in gates.sites.values():
                drawn = torch.rand(gated.a.shape, generator=noise)
                gated.a.copy_(drawn if self._init == "uniform" else drawn.fill_(CONSTANT_INIT))
                gated.get_buffer("mask").fill_(True)

    def before(self, gates: Gates, step: int) -> None:
        """One step of the indicator."""
        with torch.no_grad():
            for gated in gates.sites.values():
                mask = gated.get_buffer("mask")
                mask.copy_(hysteresis(mask, gated.a, self._t))

    def penalty(self, gates: Gates, step: int) -> Tensor:
        """``lambda relu(sum(m) / N - B / N)``; nothing before ``lambda`` is known."""
        if self._weight is None:
            return torch.zeros((), device=gates.parameters[0].device)
        budget = annealed_budget(step, self._steps, gates.total, gates.budget, self._schedule)
        kept = gates.kept()
        if self._growth:
            excess = float(kept.detach()) / max(1.0, budget) - 1
            self._weight *= math.exp(self._growth / self._steps * min(1.0, max(0.0, excess)))
        return self._weight * torch.relu(kept - budget) / gates.total

    def first_gradients(self, gates: Gates) -> None:
        """Derive ``lambda`` where none was given."""
        if self._weight is None:
            self._weight = PULL * derived_weight(gates)


def derived_weight(gates: Gates) -> float:
    """The ``lambda`` whose hinge pulls at a unit as strongly as the task does (root mean square).

    Args:
        gates: with the task's gradients in ``a``.
    """
    units = [(g.a.numel(), gates.elements[name]) for name, g in gates.sites.items()]
    square: float = sum(n * size**2 for n, size in units) / sum(n for n, _ in units)
    return gates.task_strength() * gates.total / math.sqrt(square)


def hysteresis(mask: Tensor, a: Tensor, t: float) -> Tensor:
    """The indicator's next mask: kept units stay while ``a > -t``, others return if ``a > t``."""
    return torch.where(mask, a > -t, a > t)


def use_authors_coefficients(network: nn.Module) -> None:
    """Give every fitted polynomial of ``network`` the coefficients of the authors' code, in place.

    Raises:
        ConfigError: one has another degree than 2.
    """
    for name, module in network.named_modules():
        if not isinstance(module, Polynomial):
            continue
        if module.degree != 2:
            raise ConfigError(
                f"{name}: the authors' coefficients are known for degree 2 alone "
                f"(got degree {module.degree})",
                path="method.authors",
            )
        mean, std = module.get_buffer("mean").clone(), module.get_buffer("std").clone()
        module.set_coefficients(authors_coefficients(mean, std**2))
