"""Functional calls of activations, pools and dropout, as the modules that do the same.

One table: function or tensor method -> module class whose constructor takes the same further
arguments.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from search.api.errors import ConfigError
from search.workloads.square import Square

Made = tuple[str, nn.Module, bool]
"""Word for the name, module, whether the call was in place."""


class GlobalAvgPool(nn.Module):
    """Mean over the last two axes: ``[n, C, H, W]`` to ``[n, C]``, or ``[n, C, 1, 1]``."""

    def __init__(self, keepdim: bool = False) -> None:
        super().__init__()
        self.keepdim = keepdim

    def forward(self, x: Tensor) -> Tensor:
        """The mean of each map."""
        return x.mean((-2, -1), keepdim=self.keepdim)


_ACTIVATIONS: dict[Any, tuple[str, Callable[..., nn.Module]]] = {
    "relu": ("relu", nn.ReLU), "relu_": ("relu", nn.ReLU), "tanh": ("tanh", nn.Tanh),
    F.relu: ("relu", nn.ReLU), torch.relu: ("relu", nn.ReLU), torch.relu_: ("relu", nn.ReLU),
    F.relu6: ("relu6", nn.ReLU6), F.leaky_relu: ("leaky_relu", nn.LeakyReLU),
    F.elu: ("elu", nn.ELU), F.celu: ("celu", nn.CELU), F.selu: ("selu", nn.SELU),
    F.gelu: ("gelu", nn.GELU), F.silu: ("silu", nn.SiLU), F.mish: ("mish", nn.Mish),
    F.hardswish: ("hardswish", nn.Hardswish), F.hardtanh: ("hardtanh", nn.Hardtanh),
    F.softplus: ("softplus", nn.Softplus), F.tanh: ("tanh", nn.Tanh), torch.tanh: ("tanh", nn.Tanh),
}  # fmt: skip

_POOLS: dict[Any, tuple[str, Callable[..., nn.Module]]] = {
    F.max_pool2d: ("max_pool2d", nn.MaxPool2d), torch.max_pool2d: ("max_pool2d", nn.MaxPool2d),
    F.avg_pool2d: ("avg_pool2d", nn.AvgPool2d),
    F.adaptive_avg_pool2d: ("adaptive_avg_pool2d", nn.AdaptiveAvgPool2d),
    F.adaptive_max_pool2d: ("adaptive_max_pool2d", nn.AdaptiveMaxPool2d),
}  # fmt: skip

# Position of the arguments where function and constructor order them differently.
_MAX_POOL_ORDER = ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")

_PRODUCTS = (operator.mul, torch.mul, torch.multiply, "mul", "multiply")
_POWERS = (operator.pow, torch.pow, "pow")
_SQUARES = (torch.square, "square")

_DROPOUTS: dict[Any, type[nn.Module]] = {
    F.dropout: nn.Dropout, F.dropout2d: nn.Dropout2d, F.alpha_dropout: nn.AlphaDropout,
}  # fmt: skip

_INPLACE: dict[Any, Any] = {
    operator.iadd: operator.add, operator.isub: operator.sub, operator.imul: operator.mul,
}  # fmt: skip


def inplace_twin(function: Any) -> Any:
    """The out-of-place form of ``function``, or None if it is not an in-place operator."""
    return _INPLACE.get(function)


def module_for(node: fx.Node) -> Made | None:
    """The module that does what ``node`` does, or None if the call can stay a function.

    Raises:
        ConfigError: the call has no equivalent module that can be told training from evaluation.
    """
    args: tuple[Any, ...] = tuple(node.args[1:])
    kwargs: dict[str, Any] = {k: v for k, v in node.kwargs.items() if k != "input"}
    target: Any = node.target
    if target in _ACTIVATIONS:
        word, make = _ACTIVATIONS[target]
        module = make(*args, **kwargs)
        inplace = bool(getattr(module, "inplace", False)) or _is_inplace(target)
        if inplace and hasattr(module, "inplace"):
            setattr(module, "inplace", False)  # noqa: B010  # no attribute of nn.Module to mypy
        return word, module, inplace
    if target in _POOLS:
        word, make = _POOLS[target]
        if make is nn.MaxPool2d:
            kwargs |= dict(zip(_MAX_POOL_ORDER, args, strict=False))
            args = ()
        return None if kwargs.get("return_indices") else (word, make(*args, **kwargs), False)
    if target in _DROPOUTS:
        return _dropout(node, args, kwargs)
    if target is F.batch_norm:
        raise ConfigError(
            f"network: functional batch_norm in module {node.meta.get('scope') or 'forward'} "
            "cannot be told training from evaluation once traced. Use nn.BatchNorm2d"
        )
    return _square(node) or _mean(target, args, kwargs) or _clamp(target, args, kwargs)


def _is_inplace(target: Any) -> bool:
    return target in ("relu_", torch.relu_)


def _dropout(node: fx.Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Made | None:
    options = {"p": 0.5, "training": True} | dict(
        zip(("p", "training", "inplace"), args, strict=False)
    )
    options |= kwargs
    # Tracing in evaluation mode leaves True only where the author asked for it always.
    if options["training"]:
        return None
    return "dropout", _DROPOUTS[node.target](options["p"]), False


def _square(node: fx.Node) -> Made | None:
    """``x * x``, ``x ** 2``, ``torch.square(x)``."""
    target, args = node.target, node.args
    product = target in _PRODUCTS and len(args) == 2 and args[0] is args[1]
    power = target in _POWERS and len(args) == 2 and args[1] == 2
    named = target in _SQUARES and len(args) == 1
    if node.kwargs or not isinstance(args[0] if args else None, fx.Node):
        return None
    return ("square", Square(), False) if product or power or named else None


def _mean(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Made | None:
    if target not in ("mean", torch.mean) or kwargs.keys() - {"dim", "keepdim"}:
        return None
    options = {"dim": None, "keepdim": False} | dict(zip(("dim", "keepdim"), args, strict=False))
    options |= kwargs
    dims = options["dim"]
    if isinstance(dims, (list, tuple)) and {*dims} in ({2, 3}, {-2, -1}):
        return "global_avg_pool", GlobalAvgPool(bool(options["keepdim"])), False
    return None


def _clamp(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Made | None:
    """``x.clamp(min=0)`` is a ReLU, with ``max=6`` a ReLU6."""
    if target not in ("clamp", "clamp_min", torch.clamp, torch.clamp_min):
        return None
    options = {"min": None, "max": None} | dict(zip(("min", "max"), args, strict=False)) | kwargs
    low, high = options["min"], options["max"]
    if isinstance(low, (int, float)) and low == 0 and high in (None, 6):
        return ("relu", nn.ReLU(), False) if high is None else ("relu6", nn.ReLU6(), False)
    return None
