"""Unused paths: weights that cannot influence the output, and the channels that can go with them.

A filter of zeros gives a constant. Through batch norm, activations and pools that stays one, and
the next layer's bias can hold what it does there; then nobody reads the filter's channel. A channel
that nobody reads needs no filter, which in turn reads nothing. Both are repeated until nothing
changes. Outputs stay the same up to rounding of the biases.

Where the next layer pads its input with zeros, a constant other than zero is no constant at the
borders: no bias can hold it. Such a channel stays (it is *held*), unless several are merged into
one, which is exact: see :func:`search.workloads.pruning.products.merge`. A channel that an addition
takes part in goes only if all that is added there can go.

Source: Ma et al., Tiny but Accurate (ASP-DAC 2020): unused path removal. How constants (bias, batch
    norm) are treated is ours.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

from search.workloads.pruning import products
from search.workloads.pruning.channels import Channels, Constants, evaluating
from search.workloads.pruning.steps import Step


@dataclass(frozen=True)
class UnusedPaths:
    """What can go from one convolution or linear layer.

    Args:
        filters: its filters (outputs) that can go, ascending.
        channels: its input channels (inputs) that can go, ascending.
        held: filters that give a constant but stay, since a layer that pads its input reads them,
            or since an addition needs their place.
    """

    filters: tuple[int, ...] = ()
    channels: tuple[int, ...] = ()
    held: tuple[int, ...] = ()


def unused_paths(network: fx.GraphModule, input_shape: tuple[int, ...]) -> dict[str, UnusedPaths]:
    """Layer -> what can go from it; exactly what :func:`~search.workloads.pruning.shrink` removes.

    Args:
        network: in canonical form, with zeros among its weights; not changed.
        input_shape: of one sample.

    Raises:
        ConfigError: the network does not run on inputs of this shape.
    """
    channels = cleaned(network, input_shape)
    kept, constants = channels.kept(), channels.constants()
    found = {}
    for step in products_of(channels):
        stays, known = kept[step.node], constants[step.node].known
        found[str(step.node.target)] = UnusedPaths(
            _indices(~stays), _indices(~kept[step.sources[0]]), _indices(stays & known)
        )
    return found


def zero_unused(
    network: fx.GraphModule, input_shape: tuple[int, ...], *, merge: bool = False
) -> int:
    """Set all weights that cannot influence the output to zero, in place.

    Biases, and running means of batch norms, take what constants did. Names and shapes stay, so
    the weights still fit the network.

    Args:
        network: in canonical form; outputs are those of its evaluation mode.
        input_shape: of one sample.
        merge: also merge constants that padding holds. More zeros, but some weights change: not
            for weights on quantisation levels, or on a mask that training goes on with.

    Returns:
        Number of weights of convolutions and linear layers that became zero.

    Raises:
        ConfigError: the network does not run on inputs of this shape.
    """
    return _zero(Channels(network, input_shape), merge=merge, add_bias=False)


def cleaned(network: fx.GraphModule, input_shape: tuple[int, ...]) -> Channels:
    """The channels of a copy on the CPU, in evaluation mode, without what cannot be seen outside.

    Layers may have got a bias, and constants are merged.
    """
    own = copy.deepcopy(network).to("cpu").eval()
    channels = Channels(own, input_shape)
    _zero(channels, merge=True, add_bias=True)
    return channels


def products_of(channels: Channels) -> list[Step]:
    """The convolutions and linear layers whose channels are understood, in order."""
    return [step for step in channels.steps if step.kind == "product"]


def _zero(channels: Channels, *, merge: bool, add_bias: bool) -> int:
    network = channels.network
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    network.to("cpu")
    before = int(_pattern(channels).sum())
    try:
        with evaluating(network), torch.no_grad():
            changed = True
            while changed:
                old = _pattern(channels)
                _absorb(channels, merge=merge, add_bias=add_bias)
                _clear(channels)
                changed = not torch.equal(old, _pattern(channels))
        return before - int(_pattern(channels).sum())
    finally:
        network.to(device)


def _absorb(channels: Channels, *, merge: bool, add_bias: bool) -> None:
    """Move what constants do into biases."""
    constants = channels.constants()
    for step in products_of(channels):
        module = step.module
        assert isinstance(module, products.Product)
        given: Constants = constants[step.sources[0]]
        if merge and products.padded(module):
            products.merge(module, given.known, given.value)
        which = products.absorbable(module, given.known, given.value) & products.used(module)
        mean = _mean_behind(channels, step) if module.bias is None else None
        if module.bias is None and mean is None and not add_bias:
            which = which & (given.value[products.taps(module)] == 0)
        if not which.any():
            continue
        delta = products.absorb(module, which, given.value)
        if module.bias is not None:
            module.bias += delta.to(module.bias)
        elif mean is not None:
            mean -= delta.to(mean)
        elif delta.any():
            module.bias = nn.Parameter(delta.to(module.weight))


def _mean_behind(channels: Channels, step: Step) -> Tensor | None:
    """Running mean of the batch norm that alone reads a layer: it can do what a bias would."""
    if len(step.node.users) != 1:
        return None
    (user,) = step.node.users
    behind = next(s for s in channels.steps if s.node is user)
    mean = getattr(behind.module, "running_mean", None) if behind.kind == "norm" else None
    return mean if isinstance(mean, Tensor) else None


def _clear(channels: Channels) -> None:
    """Zero what nobody needs."""
    needed = channels.needed()
    for step in channels.steps:
        if step.kind not in ("product", "norm") or step.module is None:
            continue
        idle = ~needed[step.node]
        for name in ("weight", "bias"):
            value = getattr(step.module, name, None)
            if isinstance(value, Tensor):
                value.detach()[idle] = 0
        if isinstance(step.module, products.Product):
            unread = ~needed[step.sources[0]]
            step.module.weight.detach()[unread[products.taps(step.module)]] = 0


def _pattern(channels: Channels) -> Tensor:
    """Which weights of convolutions and linear layers are not zero, bool, one after another."""
    found = [torch.zeros(0, dtype=torch.bool)]
    for step in products_of(channels):
        assert isinstance(step.module, products.Product)
        found.append((step.module.weight.detach() != 0).flatten())
    return torch.cat(found)


def _indices(mask: Tensor) -> tuple[int, ...]:
    return tuple(mask.nonzero()[:, 0].tolist())
