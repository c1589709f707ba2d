"""The steps that a device computes of a network in canonical form, one after the other."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

import torch
from torch import fx, nn

from search.api.errors import EvaluationError
from search.workloads.functional import GlobalAvgPool

Operator = Literal["conv", "linear", "relu", "maxpool", "avgpool", "flatten"]
WEIGHTED = ("conv", "linear")
"""Operators that have weights."""

_FREE = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
_KNOWN = "convolutions, linear layers, ReLU, max pools, average pools and flatten"


@dataclass(frozen=True)
class Step:
    """One operation on one value.

    Args:
        site: name of the module, or of the call.
        operator: what is done.
        input_shape, output_shape: per sample, ``(C, H, W)`` or ``(F,)``.
        kernel, stride, padding: of a window, (rows, columns).
        ceil: a max pool rounds its output's size up.
        count_padding: an average pool counts zeros of its padding.
    """

    site: str
    operator: Operator
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    ceil: bool = False
    count_padding: bool = True


def steps_of(network: fx.GraphModule, input_shape: tuple[int, ...]) -> tuple[Step, ...]:
    """The steps of ``network`` in execution order; what does nothing at inference is left out.

    Args:
        network: in canonical form; a chain, each operation reading the one before it.
        input_shape: of one sample.

    Raises:
        EvaluationError: an operation has no integer form here, reads something else than the
            result before it, or is called twice; it is named.
    """
    modes = {child: child.training for child in network.modules()}
    network.eval()
    try:
        return tuple(_walk(network, input_shape))
    finally:
        for child, training in modes.items():
            child.training = training


def _walk(network: fx.GraphModule, input_shape: tuple[int, ...]) -> list[Step]:
    like = next((p for p in network.parameters() if p.is_floating_point()), torch.empty(0))
    value = like.new_zeros((1, *input_shape))
    last: fx.Node | None = None
    found: list[Step] = []
    for node in network.graph.nodes:
        if node.op == "placeholder":
            last = node
            continue
        if node.all_input_nodes != [last]:
            _refuse(node, "reads something else than the result before it (expected a chain)")
        if node.op == "output":
            break
        before = tuple(value.shape[1:])
        module = _module(network, node)
        site = str(node.target) if node.op == "call_module" else node.name
        last = node
        if isinstance(module, _FREE):
            continue
        with torch.no_grad():
            value = module(value)
        step = _step(site, module, before, tuple(value.shape[1:]))
        if step.operator in WEIGHTED and any(s.site == site for s in found):
            raise EvaluationError(f"{site}: is called twice (expected a layer of its own each)")
        found.append(step)
    return found


def _module(network: fx.GraphModule, node: fx.Node) -> nn.Module:
    """The module that ``node`` calls; a flatten by function or method becomes one."""
    if node.op == "call_module":
        return network.get_submodule(str(node.target))
    target: Any = node.target
    if target in (torch.flatten, "flatten"):
        given = [*node.args[1:], *node.kwargs.values()]
        if given in ([1], [1, -1]):
            return nn.Flatten()
    word = "add" if target in (operator.add, torch.add, "add") else None
    name = word or getattr(target, "__name__", str(target))
    return _refuse(node, f"{name} has no integer form (known: {_KNOWN})")


def _refuse(node: fx.Node, why: str) -> NoReturn:
    site = str(node.target) if node.op == "call_module" else node.name
    raise EvaluationError(f"{site}: {why}")


def _step(site: str, module: nn.Module, before: tuple[int, ...], after: tuple[int, ...]) -> Step:
    if isinstance(module, nn.Conv2d):
        return _convolution(site, module, before, after)
    if isinstance(module, nn.Linear):
        if len(before) != 1:
            raise EvaluationError(f"{site}: a linear layer on {len(before)} axes is unknown")
        return Step(site, "linear", before, after)
    if type(module) is nn.ReLU:
        return Step(site, "relu", before, after)
    if isinstance(module, nn.Flatten):
        if len(after) != 1:
            raise EvaluationError(f"{site}: only whole samples can be flattened")
        return Step(site, "flatten", before, after)
    if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
        raise EvaluationError(
            f"{site}: batch normalisation has no integer form. Fold it into the layer before it, "
            "or use a network without"
        )
    found = _pool(site, module, before, after)
    if found is None:
        raise EvaluationError(
            f"{site}: {type(module).__name__} has no integer form (known: {_KNOWN})"
        )
    return found


def _convolution(
    site: str, module: nn.Conv2d, before: tuple[int, ...], after: tuple[int, ...]
) -> Step:
    if module.groups != 1 or _pair(module.dilation) != (1, 1) or module.padding_mode != "zeros":
        raise EvaluationError(
            f"{site}: groups={module.groups}, dilation={module.dilation}, padding of "
            f"{module.padding_mode} (expected one group, no dilation, zeros)"
        )
    kernel = _pair(module.kernel_size)
    padding: Any = module.padding
    if padding == "valid":
        padding = 0
    elif padding == "same":
        if any(side % 2 == 0 for side in kernel):
            raise EvaluationError(f"{site}: 'same' padding of an even kernel is uneven")
        padding = tuple(side // 2 for side in kernel)
    return Step(site, "conv", before, after, kernel, _pair(module.stride), _pair(padding))


def _pool(
    site: str, module: nn.Module, before: tuple[int, ...], after: tuple[int, ...]
) -> Step | None:
    if isinstance(module, nn.MaxPool2d):
        if _pair(module.dilation) != (1, 1) or module.return_indices:
            raise EvaluationError(f"{site}: a maximum over windows with holes is unknown")
        return Step(
            site, "maxpool", before, after, _pair(module.kernel_size), _pair(module.stride),
            _pair(module.padding), ceil=module.ceil_mode,
        )  # fmt: skip
    if isinstance(module, nn.AvgPool2d):
        if module.ceil_mode or module.divisor_override is not None:
            raise EvaluationError(f"{site}: an average with ceil_mode or a divisor is unknown")
        return Step(
            site, "avgpool", before, after, _pair(module.kernel_size), _pair(module.stride),
            _pair(module.padding), count_padding=module.count_include_pad,
        )  # fmt: skip
    if isinstance(module, GlobalAvgPool):
        window = (before[-2], before[-1])
        return Step(site, "avgpool", before, after, window, window)
    if isinstance(module, (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)):
        sides = list(zip(before[-2:], after[-2:], strict=True))
        if any(a % b for a, b in sides):
            raise EvaluationError(f"{site}: windows of unequal size are unknown")
        window = (sides[0][0] // sides[0][1], sides[1][0] // sides[1][1])
        word: Operator = "avgpool" if isinstance(module, nn.AdaptiveAvgPool2d) else "maxpool"
        return Step(site, word, before, after, window, window)
    return None


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])
