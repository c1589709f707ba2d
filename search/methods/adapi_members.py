"""AdaPI's second and third stage: nested levels from scores, then members trained one by one.

Members are trained from the sparsest to the densest. Each one trains only the weights it has beyond
the one before, so that all earlier members stay as they are, bit for bit; batch norms, biases and
coefficients of polynomials are its own.

Source: AdaPI (ICCAD 2024), multiple binary masks by global quantiles, and sequential training.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from search.methods.adapi_loss import Teaching
from search.methods.adapi_scores import Scores
from search.methods.mask_students import set_masks
from search.methods.trainer import (
    Batches,
    LossMeter,
    Recipe,
    autocast,
    check_finite,
    learning_rate_at,
    make_optimizer,
    place,
    prepare_network,
    set_learning_rate,
)
from search.workloads.masked import mask_digest
from search.workloads.nested import (
    NestedWeights,
    State,
    levels_of,
    private_state,
    shared_weights,
)
from spaces.masking import Masking, SiteMask
from spaces.nested import KeptWeights, MemberPlan, NestedPlan

if TYPE_CHECKING:
    from search.api.protocols import Context
    from search.workloads.data.splits import Split

Growth = Literal["kept", "zero"]


@dataclass(frozen=True)
class Levels:
    """From which member on each entry is there.

    Args:
        weights: name of a weight -> uint8 of its shape.
        relus: free site -> uint8 of the site's shape.
    """

    weights: State
    relus: State


def nested_levels(
    scores: Scores, masking: Masking, densities: Sequence[float], relus: Sequence[int]
) -> Levels:
    """Levels by global order of the scores: the members' quantiles.

    Args:
        scores: the higher, the sooner; ties fall to the earlier entry.
        masking: the free sites and units.
        densities: share of all weights that each member has, rising.
        relus: ReLU elements of each member in the free sites, rising. Pixels give exactly as many;
            of channels and layers as many whole units as fit, best first.

    Raises:
        ConfigError: the densities or counts fall.
    """
    total = sum(s.numel() for s in scores.weights.values())
    counts = [round(density * total) for density in densities]
    weights = _by_order(scores.weights, counts)
    ordered = {site.name: scores.relus[site.name] for site in masking.free}
    sizes = torch.cat([
        torch.full((ordered[s.name].numel(),), masking.unit_elements(s)) for s in masking.free
    ])  # fmt: skip
    order = torch.argsort(_flat(ordered), descending=True, stable=True).cpu()
    ends = sizes[order].cumsum(0)
    units = [int((ends <= count).sum()) for count in relus]
    found = _by_order(ordered, units)
    return Levels(
        weights,
        {s.name: found[s.name].expand(s.input_shape).contiguous() for s in masking.free},
    )


def train_members(
    network: nn.Module,
    nested: NestedWeights,
    teaching: Teaching,
    split: Split,
    recipe: Recipe,
    *,
    growth: Growth = "kept",
    inherit: bool = True,
    seed: int,
    device: str = "cpu",
    ctx: Context | None = None,
) -> tuple[NestedWeights, int, float]:
    """Train the members of ``nested`` one after the other, sparsest first.

    Args:
        network: with masked activations at all free sites; a place to work, whose weights end as
            those of the densest member.
        nested: where training starts.
        teaching: the loss; it watches ``network``'s sites.
        split: the training split.
        recipe: of each member; its epochs are those of one member.
        growth: what the weights that a member adds start from: as they are in ``nested``, or 0,
            so that the member starts as the one before.
        inherit: whether a member's private state starts from the member before.
        seed: of batch orders.
        device: where.
        ctx: told losses once per epoch, and asked before every step whether to stop.

    Returns:
        The trained weights, images times backward passes, and seconds.

    Raises:
        EvaluationError: the loss or a weight is NaN or infinite.
    """
    started = time.perf_counter()
    prepare_network(network, recipe, device)
    shared = {n: v.to(device).clone() for n, v in nested.shared.items()}
    levels = {n: v.to(device) for n, v in nested.levels.items()}
    private: list[State] = []
    spent = 0
    for level in range(1, len(nested.densities) + 1):
        own = {n: (levels[n] == level) for n in levels}
        if growth == "zero" and level > 1:
            for name, part in own.items():
                shared[name][part] = 0
        base = private[-1] if inherit and private else nested.private[level - 1]
        now = replace(nested, shared=shared, levels=levels)
        _enter(network, now, level, base)
        spent += _train_member(
            network, own, teaching, split, recipe,
            seed=seed + level, device=device, ctx=ctx, phase=f"member{level}",
        )  # fmt: skip
        with torch.no_grad():
            for name, weight in shared_weights(network).items():
                shared[name] = torch.where(own[name], weight.detach(), shared[name])
        private.append(private_state(network))
    network.eval()
    return (
        NestedWeights(
            nested.densities,
            {n: v.cpu() for n, v in shared.items()},
            nested.levels,
            nested.relu_levels,
            tuple({n: v.cpu() for n, v in state.items()} for state in private),
        ),
        spent,
        time.perf_counter() - started,
    )


def plan_of(nested: NestedWeights, masking: Masking) -> NestedPlan:
    """What the members of ``nested`` are, as a payload."""
    members = []
    for level, density in enumerate(nested.densities, start=1):
        masks = {}
        for site in masking.free:
            mask = nested.mask(site.name, level)
            masks[site.name] = SiteMask(int(mask.sum()), mask_digest(mask))
        counts = nested.nonzeros(level)
        kept = tuple(
            KeptWeights(site.name, counts[name])
            for site in masking.sites
            if (name := f"{site.name.partition('#')[0]}.weight") in counts
        )
        members.append(MemberPlan(level, density, masking.plan(masks), kept))
    return NestedPlan(tuple(members))


def _enter(network: nn.Module, nested: NestedWeights, level: int, private: State) -> None:
    """Make ``network`` member ``level``, with ``private`` for its own state."""
    with torch.no_grad():
        for name, weight in shared_weights(network).items():
            weight.copy_(nested.weight(name, level))
        state = network.state_dict()
        for name, value in private.items():
            state[name].copy_(value)
    set_masks(network, {site: nested.mask(site, level) for site in nested.relu_levels})


def _train_member(
    network: nn.Module,
    own: State,
    teaching: Teaching,
    split: Split,
    recipe: Recipe,
    *,
    seed: int,
    device: str,
    ctx: Context | None,
    phase: str,
) -> int:
    """Train entries ``own`` of the shared weights and all private parameters, in place."""
    batches = Batches(len(split), recipe.batch_size, seed=seed, device=device)
    steps = batches.steps(recipe.epochs)
    x, y = place(split, recipe, device)
    network.train()
    weights = shared_weights(network)
    still = {n: w.detach().clone() for n, w in weights.items()}
    parameters = [p for p in network.parameters() if p.requires_grad]
    optimizer = make_optimizer(parameters, recipe)
    meter = LossMeter(phase, batches.per_epoch, ctx)
    done = 0
    with teaching.lesson():
        for step, index in zip(range(steps), batches, strict=False):
            if ctx is not None and ctx.should_stop():
                break
            set_learning_rate(optimizer, learning_rate_at(step, steps, recipe))
            images = teaching.images(x[index])
            with autocast(device, recipe.bf16):
                logits = network(images)
            loss = teaching.loss(images, logits, y[index], index)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            for name, weight in weights.items():
                if weight.grad is not None:
                    weight.grad.mul_(own[name])
            nn.utils.clip_grad_norm_(parameters, recipe.clip)
            optimizer.step()
            # Whatever the optimiser does on its own (decay, momentum), the rest stays bit for bit.
            with torch.no_grad():
                for name, weight in weights.items():
                    weight.copy_(torch.where(own[name], weight, still[name]))
            done += 1
            meter.add(loss)
    meter.finish()
    check_finite(network, phase)
    network.eval()
    return done * batches.size


def _flat(scores: State) -> Tensor:
    return torch.cat([s.flatten() for s in scores.values()])


def _by_order(scores: dict[str, Tensor] | State, counts: Sequence[int]) -> State:
    """Levels of several tensors by their common order."""
    flat = _flat(dict(scores))
    level = levels_of(torch.argsort(flat, descending=True, stable=True), counts)
    parts = torch.split(level, [s.numel() for s in scores.values()])
    return {n: part.view(scores[n].shape).cpu() for n, part in zip(scores, parts, strict=True)}
