"""Network purification: nearly empty filters and channels go, then whatever nothing reads.

Of all groups that are emptier than one bound and less important than another, the least important
ones are dropped, as many as the validation accuracy allows; so the check costs a handful of passes
over the validation split and not one for each group.

Source: Ma et al., Tiny but Accurate (ASP-DAC 2020), network purification and unused path removal;
finding how many by bisection is ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, fx, nn

from evaluators.accuracy import count_correct
from search.methods.pruning.masks import layer_weights
from search.methods.pruning.options import Purification
from search.workloads.pruning.unused import zero_unused

if TYPE_CHECKING:
    from search.api.protocols import Context

_BATCH = 512


@dataclass(frozen=True)
class Group:
    """A filter or input channel that may go.

    Args:
        site: its layer.
        kind: ``filter`` or ``channel``.
        index: which one.
        importance: its share of the layer's squared weights.
    """

    site: str
    kind: Literal["filter", "channel"]
    index: int
    importance: float


def purify(
    network: nn.Module, workload: Any, options: Purification, ctx: Context
) -> dict[str, Any]:
    """Drop nearly empty groups of ``network`` in place, within the accuracy they may cost.

    Returns:
        Facts: groups that might go and did, weights before and after, accuracy before and after.

    Raises:
        EvaluationError: the network returns NaN or infinity.
    """
    weights = layer_weights(network)
    before = _nonzeros(weights)
    groups = candidates(weights, options)
    kept = {site: weight.detach().clone() for site, weight in weights.items()}
    first = _accuracy(network, workload, ctx)

    def drop(count: int) -> float:
        with torch.no_grad():
            for site, weight in weights.items():
                weight.copy_(kept[site])
            for group in groups[:count]:
                _slice(weights[group.site], group).zero_()
        return _accuracy(network, workload, ctx)

    low, high = 0, len(groups)  # `low` groups are known to cost no more than allowed
    while low < high:
        middle = (low + high + 1) // 2
        if first - drop(middle) <= options.most_loss + 1e-9:
            low = middle
        else:
            high = middle - 1
    last = drop(low)
    assert isinstance(network, fx.GraphModule)  # workloads build these
    zero_unused(network.cpu(), tuple(workload.input_shape))
    network.to(ctx.device)
    return {
        "purify_groups": f"{low} of {len(groups)}",
        "purify_weights": f"{before} -> {_nonzeros(weights)}",
        "purify_loss_points": round(first - last, 4),
    }


def candidates(weights: dict[str, nn.Parameter], options: Purification) -> list[Group]:
    """Groups that are empty and unimportant enough, least important first; empty ones are none.

    The filters of the last layer are the classes and stay.
    """
    found = []
    last = list(weights)[-1] if weights else ""
    for site, weight in weights.items():
        for kind in ("filter", "channel"):
            if kind == "filter" and site == last:
                continue
            rows = _rows(weight.detach(), kind)
            energy = rows.square().sum(1)
            share = energy / energy.sum().clamp_min(1e-30)
            empty = (rows == 0).float().mean(1)
            chosen = (empty > options.emptiness) & (empty < 1) & (share < options.importance)
            found += [
                Group(site, "filter" if kind == "filter" else "channel", i, float(share[i]))
                for i in chosen.nonzero().flatten().tolist()
            ]
    return sorted(found, key=lambda group: group.importance)


def _rows(weight: Tensor, kind: str) -> Tensor:
    """``[groups, weights of a group]``."""
    return weight.flatten(1) if kind == "filter" else weight.transpose(0, 1).flatten(1)


def _slice(weight: Tensor, group: Group) -> Tensor:
    return weight[group.index] if group.kind == "filter" else weight[:, group.index]


def _nonzeros(weights: dict[str, nn.Parameter]) -> int:
    return sum(int((weight != 0).sum()) for weight in weights.values())


def _accuracy(network: nn.Module, workload: Any, ctx: Context) -> float:
    split = workload.data.validation
    correct = count_correct(network.eval(), split, batch_size=_BATCH, device=ctx.device)
    return 100.0 * correct / len(split)
