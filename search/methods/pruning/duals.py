"""The one ADMM core: copies, duals, the penalty that ties weights to a constraint set.

    minimise f(W) + sum_i rho / 2 ||W_i - Z_i + U_i||^2,   Z_i = P_i(W_i + U_i),   U_i += W_i - Z_i

Source: Zhang et al., A Systematic DNN Weight Pruning Framework using ADMM (ECCV 2018), section 3.
The norm is squared, as in the paper. Z and U are updated every few steps and not every few epochs,
since with a short budget the number of updates decides (decision 0019). U is the multiplier over
rho, so it shrinks as rho rises. Source: Boyd et al., Distributed Optimization and Statistical
Learning via the Alternating Direction Method of Multipliers (2011), section 3.4.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from search.api.errors import ConfigError
from search.methods.pruning.curvature import Curvature
from search.methods.pruning.projections import ConstraintSet
from spaces.pruning.plan import Schedule


@dataclass(frozen=True)
class Residuals:
    """How far ADMM is from done.

    Args:
        primal: ||W - Z|| / ||W|| over all layers; below about 0.15 hard pruning costs little.
        dual: ||Z - Z_before|| / ||W|| of the last update.
        worst: layer of the largest primal residual of its own.
        worst_primal: that residual.
    """

    primal: float
    dual: float
    worst: str
    worst_primal: float


class Admm:
    """Hooks of a training (see :class:`search.methods.trainer.StepHooks`) that do ADMM.

    In several rounds the structure tightens: each round draws the weights to its own structure, and
    maps them onto it at its end; what is dropped stays dropped.

    Args:
        weights: layer -> weight; of a network on its device.
        rounds: what the weights are drawn to in each round. Layers that the last one leaves free
            are left alone.
        schedule: gives rho, which rises geometrically from the first to the last step.
        steps: of the training.
        every: steps between two updates of Z and U.
        free: layer -> bool mask of the weights that may change; None: all. The others are zero
            already and stay so.
        curvature: gives the norm in which copies are nearest; None: the Euclidean one. For
            structures only.

    Raises:
        ConfigError: rho is not positive, or ``every`` below 1.
    """

    def __init__(
        self,
        weights: Mapping[str, nn.Parameter],
        rounds: Sequence[ConstraintSet],
        schedule: Schedule,
        steps: int,
        *,
        every: int,
        free: Mapping[str, Tensor] | None = None,
        curvature: Curvature | None = None,
    ) -> None:
        if schedule.rho_first <= 0 or schedule.rho_last <= 0 or every < 1:
            raise ConfigError(
                f"ADMM: expected rho above 0 and updates every 1 step or more (got rho "
                f"{schedule.rho_first:g} to {schedule.rho_last:g}, every {every})"
            )
        self._rounds = list(rounds)
        self._weights = {site: weights[site] for site in self._rounds[-1].sites}
        self._number = 0
        self._schedule, self._steps, self._every = schedule, max(1, steps), every
        self._curvature = curvature
        self._free = {weights[site]: mask for site, mask in (free or {}).items()}
        self._z = self._nearest(self._weights)
        self._u = {s: torch.zeros_like(w.detach()) for s, w in self._weights.items()}
        self._change = dict.fromkeys(self._weights, 0.0)

    def rho(self, step: int) -> float:
        """The penalty's weight at ``step``."""
        first, last = self._schedule.rho_first, self._schedule.rho_last
        return float(first * (last / first) ** (step / max(1, self._steps - 1)))

    def gradients(self, step: int) -> None:
        """Add the penalty's gradient, rho (W - Z + U)."""
        if self._curvature is not None:
            self._curvature.see(self._weights)
        rho = self.rho(step)
        with torch.no_grad():
            for site, weight in self._weights.items():
                pull = (weight - self._z[site] + self._u[site]).mul_(rho)
                weight.grad = pull if weight.grad is None else weight.grad.add_(pull)

    def weights(self, step: int) -> None:
        """Keep dropped weights at zero; update Z and U when it is time."""
        with torch.no_grad():
            for weight, mask in self._free.items():
                weight.mul_(mask)
            if (step + 1) % self._every == 0:
                self.update(self.rho(step) / self.rho(step + self._every))
            number = (step + 1) * len(self._rounds) // self._steps
            if self._number < number < len(self._rounds):
                self._end_round(number)

    @torch.no_grad()
    def update(self, scale: float = 1.0) -> None:
        """Z from W + U, then U from what is still between W and Z.

        Args:
            scale: rho until now over rho from now on.
        """
        found = self._nearest({s: w + self._u[s] for s, w in self._weights.items()})
        for site, weight in self._weights.items():
            z = found[site]
            self._change[site] = float((z - self._z[site]).norm())
            self._u[site] = (self._u[site] + weight - z) * scale
        self._z = found

    @torch.no_grad()
    def _nearest(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Layer -> what the round's constraint set has nearest; its own where it is free."""
        scores = None if self._curvature is None else self._curvature.scores(weights)
        found = self._rounds[self._number].project(weights, scores)
        return {site: found.get(site, weight.detach().clone()) for site, weight in weights.items()}

    def _end_round(self, number: int) -> None:
        """Map the weights onto the structure of the round that ends, and take up the next one."""
        for site, kept in self._nearest(self._weights).items():
            self._free[self._weights[site]] = kept != 0
            self._weights[site].copy_(kept)
            self._u[site] *= kept != 0
        self._number = number
        self._z = self._nearest(self._weights)

    @torch.no_grad()
    def residuals(self) -> Residuals:
        """How far the weights are from the constraint set now."""
        if not self._weights:
            return Residuals(0.0, 0.0, "", 0.0)
        gaps = {s: float((w - self._z[s]).norm()) for s, w in self._weights.items()}
        norms = {s: max(float(w.norm()), 1e-12) for s, w in self._weights.items()}
        whole = _root(norms.values())
        own = {site: gaps[site] / norms[site] for site in gaps}
        worst = max(own, key=lambda site: own[site])
        return Residuals(
            _root(gaps.values()) / whole, _root(self._change.values()) / whole, worst, own[worst]
        )


def _root(values: Iterable[float]) -> float:
    return float(sum(v * v for v in values) ** 0.5)
