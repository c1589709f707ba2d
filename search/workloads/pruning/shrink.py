"""The really smaller network: what zeros leave unused is taken out of the weights.

Filters are removed by our own walk over the traced graph and not by torch-pruning, whose
dependency graph gives the same groups (a test compares them) but (a) knows layers and not values,
so constant filters would have to be folded by us anyway, (b) breaks the padded shortcuts of
CIFAR's residual networks (torch-pruning 1.6.1 counts the channels of zeros as if they were in
front), and (c) is no dependency of a plain installation.
"""

from __future__ import annotations

from torch import Tensor, fx, nn

from search.workloads.pruning.products import Product
from search.workloads.pruning.steps import Step
from search.workloads.pruning.unused import cleaned


def shrink(network: fx.GraphModule, input_shape: tuple[int, ...]) -> fx.GraphModule:
    """``network`` without the channels that its zeros leave unused; same outputs up to rounding.

    A layer keeps at least one filter. What an addition or a padded layer holds stays, see
    :mod:`search.workloads.pruning.unused`.

    Args:
        network: in canonical form, with zeros among its weights; not changed.
        input_shape: of one sample.

    Returns:
        a copy on the CPU in evaluation mode; layers that had no bias may have one.

    Raises:
        ConfigError: the network does not run on inputs of this shape.
    """
    channels = cleaned(network, input_shape)
    kept = channels.kept()
    for step in channels.steps:
        if step.kind == "pad":
            _narrow_pad(step, kept[step.node])
        elif step.module is not None and step.sources and step.width:
            _narrow(step, kept[step.sources[0]], kept[step.node])
    small = channels.network
    small.recompile()
    return small


def parameter_count(network: nn.Module) -> int:
    """Entries of all parameters, zeros included; buffers (running means) left out."""
    return sum(value.numel() for value in network.parameters())


def mac_count(network: fx.GraphModule, input_shape: tuple[int, ...]) -> int:
    """Multiply-accumulates per sample of the layers as they are: zeros count, too.

    Args:
        network: in canonical form, or a smaller one of it.
        input_shape: of one sample.

    Raises:
        ConfigError: the network does not run on inputs of this shape.
    """
    from search.workloads.sites import trace_sites

    return sum(site.macs for site in trace_sites(network, input_shape))


def _narrow(step: Step, before: Tensor, after: Tensor) -> None:
    """Take channels out of a module that is called once."""
    module = step.module
    if isinstance(module, Product):
        weight, depthwise = module.weight.detach()[after], step.depthwise
        if not depthwise:
            weight = weight[:, before]
        _set(module, "weight", weight)
        if module.bias is not None:
            _set(module, "bias", module.bias.detach()[after])
        if isinstance(module, nn.Linear):
            module.in_features, module.out_features = int(before.sum()), int(after.sum())
            return
        module.in_channels, module.out_channels = int(before.sum()), int(after.sum())
        if depthwise:
            module.groups = module.in_channels
    elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
        for name in ("weight", "bias", "running_mean", "running_var"):
            value = getattr(module, name)
            if value is not None:
                _set(module, name, value.detach()[after])
        module.num_features = int(after.sum())
    elif isinstance(module, nn.PReLU) and module.num_parameters > 1:
        _set(module, "weight", module.weight.detach()[after])
        module.num_parameters = int(after.sum())


def _narrow_pad(step: Step, after: Tensor) -> None:
    """Fewer channels of zeros."""
    front, back = step.pad
    sizes = (0, 0, 0, 0, int(after[:front].sum()), int(after[len(after) - back :].sum()))
    if len(step.node.args) > 1:
        step.node.update_arg(1, sizes)
    else:
        step.node.update_kwarg("pad", sizes)


def _set(module: nn.Module, name: str, value: Tensor) -> None:
    old = getattr(module, name)
    value = value.clone()
    if isinstance(old, nn.Parameter):
        value = nn.Parameter(value, requires_grad=old.requires_grad)
    setattr(module, name, value)
