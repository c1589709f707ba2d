"""AdaPI's first stage: a score for every weight and every ReLU, learned by straight-through masks.

``penalty`` is the paper's way: an entry stays while its score is above 0, and the two densities
are penalised, so that scores sink unless the loss holds them up. ``ladder`` trains at the densities
that members will have: every step takes the next density, keeps the entries of highest score, and
members have their own batch norms from the start. What a score is worth at a density is then
learned at that density.

Source: AdaPI (ICCAD 2024), soft masks of weights and features; the straight-through gradient
``softplus(a)`` is that of AutoPrune (NeurIPS 2019). ``ladder`` is ours.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from search.methods.adapi_loss import Teaching
from search.methods.adapi_scores import Scores
from search.methods.trainer import (
    Batches,
    LossMeter,
    Recipe,
    autocast,
    check_finite,
    place,
    prepare_network,
)
from search.workloads.masked import MaskedActivation
from search.workloads.nested import State, private_state, shared_weights
from spaces.masking import Masking

if TYPE_CHECKING:
    from search.api.protocols import Context
    from search.workloads.data.splits import Split

Way = Literal["penalty", "ladder"]


class _Above(torch.autograd.Function):
    """1 where a score is above the threshold, else 0; backward: times ``softplus(a)``."""

    @staticmethod
    def forward(ctx: Any, score: Tensor, threshold: Tensor) -> Tensor:
        ctx.save_for_backward(score)
        return (score > threshold).to(score.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (score,) = ctx.saved_tensors
        return gradient * F.softplus(score), None


def above(score: Tensor, threshold: Tensor) -> Tensor:
    """``score > threshold`` as 0 and 1, with the gradient ``softplus(score)``."""
    return _Above.apply(score, threshold)  # type: ignore[no-any-return, no-untyped-call]


class SoftActivation(nn.Module):
    """``m kept(x) + (1 - m) replacement(x)`` with a mask ``m`` that is set before each pass.

    Args:
        masked: the masked activation whose operators it uses.
    """

    def __init__(self, masked: MaskedActivation) -> None:
        super().__init__()
        self.kept, self.replacement = masked.kept, masked.replacement
        self.soft: Tensor = masked.get_buffer("mask").float()

    def forward(self, x: Tensor) -> Tensor:
        """``x`` of shape ``[n, C, H, W]``, same shape out."""
        rest: Tensor = self.replacement(x)
        kept: Tensor = self.kept(x)
        return rest + self.soft * (kept - rest)


@dataclass(frozen=True)
class SoftPlan:
    """How scores are learned.

    Args:
        recipe: of the weights.
        way: ``penalty`` or ``ladder``.
        score_learning_rate: Adam's, on the scores.
        weight_penalty, relu_penalty: of the two densities (``penalty``).
        densities: of weights and of ReLUs, for each member, sparsest first (``ladder``).
        emphasis: how much denser members count (``ladder``), see :func:`loss_weights`.
    """

    recipe: Recipe
    way: Way
    score_learning_rate: float
    weight_penalty: float
    relu_penalty: float
    densities: Sequence[tuple[float, float]]
    emphasis: float = 0.0


def loss_weights(densities: Sequence[float], emphasis: float) -> tuple[float, ...]:
    """Weight of each member's loss: its density to the power ``emphasis``, of mean 1.

    Members share weights, and what is best for a sparse one is not for a dense one. At equal
    weights (``emphasis`` 0) the sparse ones win: their losses, and so their gradients, are larger.
    """
    powers = [density**emphasis for density in densities]
    return tuple(len(powers) * power / sum(powers) for power in powers)


@dataclass(frozen=True)
class Soft:
    """What the first stage gave.

    Args:
        scores: detached.
        private: private state for each member, named as masked sites have it.
        gradient_evaluations: images times backward passes.
        seconds: wall-clock time.
        densities: of weights and of ReLUs where scores ended above 0 (``penalty``).
    """

    scores: Scores
    private: tuple[State, ...]
    gradient_evaluations: int
    seconds: float
    densities: tuple[float, float]


def learn_scores(
    network: nn.Module,
    masking: Masking,
    teaching: Teaching,
    split: Split,
    plan: SoftPlan,
    first: Scores,
    *,
    seed: int,
    device: str = "cpu",
    ctx: Context | None = None,
) -> Soft:
    """Learn scores and weights of ``network`` together, the weights in place.

    Args:
        network: with masked activations at all free sites; they are the same modules in the end.
        masking: the free sites.
        teaching: the loss; it watches ``network``'s sites.
        split: the training split.
        plan: how.
        first: the scores to start from.
        seed: of batch order.
        device: where.
        ctx: told losses once per epoch, and asked before every step whether to stop.

    Raises:
        EvaluationError: the loss or a weight is NaN or infinite.
    """
    started = time.perf_counter()
    recipe = plan.recipe
    batches = Batches(len(split), recipe.batch_size, seed=seed, device=device)
    steps = batches.steps(recipe.epochs)
    x, y = place(split, recipe, device)
    prepare_network(network, recipe, device)
    soft = _SoftNetwork(network, masking, first, len(plan.densities), ladder=plan.way == "ladder")
    optimizer = torch.optim.AdamW(
        [
            {"params": soft.trainable(), "lr": recipe.learning_rate},
            {"params": soft.scores(), "lr": plan.score_learning_rate, "weight_decay": 0.0},
        ],
        weight_decay=recipe.weight_decay,
    )
    weights_of_members = loss_weights([w for w, _ in plan.densities], plan.emphasis)
    meter = LossMeter("masks", batches.per_epoch, ctx)
    done = 0
    with soft, teaching.lesson():
        for step, index in zip(range(steps), batches, strict=False):
            if ctx is not None and ctx.should_stop():
                break
            member = step % len(plan.densities) if plan.way == "ladder" else None
            images = teaching.images(x[index])
            with autocast(device, recipe.bf16):
                logits = soft(images, member, plan.densities)
            loss = teaching.loss(images, logits, y[index], index)
            if member is not None:
                loss = loss * weights_of_members[member]
            else:
                weights, relus = soft.shares()
                loss = loss + plan.weight_penalty * weights + plan.relu_penalty * relus
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(soft.trainable(), recipe.clip)
            if plan.way == "ladder":
                _cosine(optimizer, step, steps)
            optimizer.step()
            done += 1
            meter.add(loss)
        densities = soft.ended()
    meter.finish()
    check_finite(network, "masks")
    network.eval()
    spent = done * batches.size
    return Soft(soft.detached(), soft.private(), spent, time.perf_counter() - started, densities)


class _SoftNetwork:
    """The network seen through its scores. Within the block its free sites are soft."""

    def __init__(
        self, network: nn.Module, masking: Masking, first: Scores, members: int, *, ladder: bool
    ) -> None:
        self._network = network
        self._weights = shared_weights(network)
        device = next(iter(self._weights.values())).device
        self._w = {n: nn.Parameter(s.to(device).clone()) for n, s in first.weights.items()}
        self._r = {n: nn.Parameter(s.to(device).clone()) for n, s in first.relus.items()}
        self._sizes = {s.name: masking.unit_elements(s) for s in masking.free}
        self._hard = {n: network.get_submodule(n) for n in self._r}
        self._soft = {n: SoftActivation(m) for n, m in self._hard.items()}  # type: ignore[arg-type]
        own = private_state(network)
        parameters = {n for n, _ in network.named_parameters()}
        self._private: list[State] = [
            {n: nn.Parameter(v.clone()) if n in parameters else v.clone() for n, v in own.items()}
            for _ in range(members if ladder else 0)
        ]
        self._members = members
        self._masks: tuple[list[Tensor], list[Tensor]] = ([], [])

    def __enter__(self) -> _SoftNetwork:
        for name, module in self._soft.items():
            self._network.set_submodule(name, module, strict=True)
        return self

    def __exit__(self, *error: object) -> None:
        for name, module in self._hard.items():
            self._network.set_submodule(name, module, strict=True)

    def trainable(self) -> list[nn.Parameter]:
        """Weights, and every member's own parameters or the network's."""
        own = [p for state in self._private for p in state.values() if isinstance(p, nn.Parameter)]
        if own:
            return [*self._weights.values(), *own]
        return [p for p in self._network.parameters() if p.requires_grad]

    def scores(self) -> list[nn.Parameter]:
        """All scores."""
        return [*self._w.values(), *self._r.values()]

    def __call__(
        self, x: Tensor, member: int | None, densities: Sequence[tuple[float, float]]
    ) -> Tensor:
        w, r = list(self._w.values()), list(self._r.values())
        zero = w[0].detach().new_zeros(())
        at_w = at_r = zero
        if member is not None:
            at_w = _quantile(w, densities[member][0])
            at_r = _quantile(r, densities[member][1])
        kept_w = {n: above(s, at_w) for n, s in self._w.items()}
        kept_r = {n: above(s, at_r) for n, s in self._r.items()}
        self._masks = (list(kept_w.values()), [kept_r[n] for n in self._r])
        for name, mask in kept_r.items():
            self._soft[name].soft = mask
        state: State = {n: v * kept_w[n] for n, v in self._weights.items()}
        if member is not None:
            state |= self._private[member]
        logits: Tensor = functional_call(self._network, state, (x,))
        return logits

    def shares(self) -> tuple[Tensor, Tensor]:
        """Density of weights and of ReLUs in the last pass, with gradients to the scores."""
        w, r = self._masks
        weights = torch.stack([m.sum() for m in w]).sum() / sum(m.numel() for m in w)
        sizes = [self._sizes[n] for n in self._r]
        kept = torch.stack([m.sum() * k for m, k in zip(r, sizes, strict=True)]).sum()
        return weights, kept / sum(m.numel() * k for m, k in zip(r, sizes, strict=True))

    def ended(self) -> tuple[float, float]:
        """Densities of the entries with a score above 0."""

        def share(scores: Mapping[str, Tensor]) -> float:
            kept = sum(int((s > 0).sum()) for s in scores.values())
            return kept / sum(s.numel() for s in scores.values())

        return share(self._w), share(self._r)

    def detached(self) -> Scores:
        """Copies of the scores."""
        return Scores(
            {n: s.detach().clone() for n, s in self._w.items()},
            {n: s.detach().clone() for n, s in self._r.items()},
        )

    def private(self) -> tuple[State, ...]:
        """Private state for each member; the network's own for all if they share it."""
        if self._private:
            return tuple({n: v.detach().clone() for n, v in p.items()} for p in self._private)
        return tuple(private_state(self._network) for _ in range(self._members))


def _quantile(scores: Sequence[Tensor], density: float) -> Tensor:
    """Threshold above which ``density`` of all entries lie."""
    flat = torch.cat([s.detach().flatten() for s in scores])
    kept = min(max(round(density * len(flat)), 0), len(flat))
    if kept == len(flat):
        return flat.min() - 1
    return flat.kthvalue(len(flat) - kept).values


def _cosine(optimizer: torch.optim.Optimizer, step: int, steps: int) -> None:
    for group in optimizer.param_groups:
        first = group.setdefault("first", group["lr"])
        group["lr"] = first * 0.5 * (1 + math.cos(math.pi * step / steps))
