"""The sites of a network: every operator with its shapes and counts, found by running it once.

Only the last two axes of a four-axis map are windows. A pool that leaves one pixel is
``globalavgpool`` of kind ``other``: there is nothing to choose there. Operators that move data
without arithmetic (flatten, cat, pad, dropout) are no sites, nor is arithmetic with constants.
"""

from __future__ import annotations

import dataclasses
import math
import operator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from search.api.errors import ConfigError
from search.api.network import Site, SiteKind
from search.workloads.functional import GlobalAvgPool
from search.workloads.operators import X2Act
from search.workloads.square import Square

_CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_NORMS = (nn.LayerNorm, nn.GroupNorm, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.LocalResponseNorm)
_FREE = (
    nn.Identity, nn.Flatten, nn.Unflatten, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d,
    nn.AlphaDropout, nn.FeatureAlphaDropout, nn.ZeroPad2d, nn.ConstantPad2d, nn.ReflectionPad2d,
    nn.ReplicationPad2d, nn.PixelShuffle, nn.ChannelShuffle, nn.Upsample,
)  # fmt: skip

_ACTIVATION_WORDS: dict[type[nn.Module], str] = {
    nn.ReLU: "relu", nn.ReLU6: "relu", X2Act: "x2act", Square: "square", nn.LeakyReLU: "leaky_relu",
    nn.PReLU: "prelu", nn.RReLU: "rrelu", nn.ELU: "elu", nn.CELU: "celu", nn.SELU: "selu",
    nn.GELU: "gelu", nn.SiLU: "silu", nn.Mish: "mish", nn.Hardswish: "hardswish",
    nn.Hardtanh: "hardtanh", nn.Softplus: "softplus", nn.Tanh: "tanh",
}  # fmt: skip

_POOL_WORDS: dict[type[nn.Module], str] = {
    nn.MaxPool2d: "maxpool", nn.AdaptiveMaxPool2d: "maxpool",
    nn.AvgPool2d: "avgpool", nn.AdaptiveAvgPool2d: "avgpool", GlobalAvgPool: "avgpool",
}  # fmt: skip

# Functions and tensor methods that do arithmetic between tensors.
_BINARY: dict[Any, tuple[SiteKind, str]] = {
    operator.add: ("add", "add"), torch.add: ("add", "add"), "add": ("add", "add"),
    operator.sub: ("add", "add"), torch.sub: ("add", "add"), "sub": ("add", "add"),
    operator.mul: ("other", "mul"), torch.mul: ("other", "mul"), "mul": ("other", "mul"),
    operator.matmul: ("other", "matmul"), torch.matmul: ("other", "matmul"),
    "matmul": ("other", "matmul"), torch.bmm: ("other", "matmul"), "bmm": ("other", "matmul"),
}  # fmt: skip

# Functions of one tensor that cost something; whatever is in no table moves data only.
_UNARY: dict[Any, str] = {
    torch.sigmoid: "sigmoid", F.sigmoid: "sigmoid", "sigmoid": "sigmoid",
    F.hardsigmoid: "hardsigmoid", F.softmax: "softmax", torch.softmax: "softmax",
    "softmax": "softmax", F.log_softmax: "softmax", "log_softmax": "softmax",
    F.layer_norm: "layernorm", F.group_norm: "groupnorm",
}  # fmt: skip


def trace_sites(graph_module: fx.GraphModule, input_shape: tuple[int, ...]) -> tuple[Site, ...]:
    """Every operator of a canonical network in execution order.

    Args:
        graph_module: as :func:`~search.workloads.canonical.canonicalise` returns it.
        input_shape: shape of one sample; sites are per sample, too.

    Raises:
        ConfigError: the network does not run on inputs of this shape.
    """
    shapes = _Shapes(graph_module).of(input_shape)
    found: list[Site] = []
    calls: dict[str, int] = {}
    for node in graph_module.graph.nodes:
        site = _site(graph_module, node, shapes)
        if site is None:
            continue
        count = calls.get(site.name, 0)
        calls[site.name] = count + 1
        found.append(dataclasses.replace(site, name=f"{site.name}#{count}") if count else site)
    return tuple(found)


class _Shapes(fx.Interpreter):
    """Runs the network once on one sample of zeros and keeps the shapes."""

    def __init__(self, graph_module: fx.GraphModule) -> None:
        super().__init__(graph_module)
        self.extra_traceback = False
        self.found: dict[fx.Node, tuple[int, ...]] = {}

    def of(self, input_shape: tuple[int, ...]) -> dict[fx.Node, tuple[int, ...]]:
        """Output shape of each node that gives one tensor, batch axis included."""
        modes = {child: child.training for child in self.module.modules()}
        # A real run: shapes alone (meta tensors) cost seconds to import on first use.
        floating = (p for p in self.module.parameters() if p.is_floating_point())
        like = next(floating, torch.empty(0))
        self.module.eval()
        try:
            with torch.no_grad():
                self.run(like.new_zeros((1, *input_shape)))
        except Exception as error:  # user code: whatever it raises is theirs to read
            raise ConfigError(
                f"network: does not run on inputs of shape {tuple(input_shape)}: "
                f"{str(error).splitlines()[0]}"
            ) from error
        finally:
            for child, training in modes.items():
                child.training = training
        return self.found

    def run_node(self, n: fx.Node) -> Any:
        """Run ``n`` and note the shape of what it gives."""
        result = super().run_node(n)
        if isinstance(result, Tensor):
            self.found[n] = tuple(result.shape)
        return result


def output_shape(graph_module: fx.GraphModule, input_shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of the output per sample; empty if it is not one tensor.

    Raises:
        ConfigError: the network does not run on inputs of this shape.
    """
    shapes = _Shapes(graph_module).of(input_shape)
    output = next(node for node in graph_module.graph.nodes if node.op == "output")
    return shapes.get(output, ())[1:]


def structure(graph_module: fx.GraphModule) -> list[str]:
    """What identifies a network besides its weights: modules, calls, and shapes of parameters."""
    called = (n for n in graph_module.graph.nodes if n.op == "call_module")
    modules = dict.fromkeys(str(node.target) for node in called)
    return [
        *(f"{node.name} {node.op} {_word(node)} {node.args} {node.kwargs}"
          for node in graph_module.graph.nodes),
        *(f"{name} {graph_module.get_submodule(name)!r}" for name in modules),
        *(f"{name} {tuple(value.shape)}" for name, value in graph_module.state_dict().items()),
    ]  # fmt: skip


def _word(node: fx.Node) -> str:
    return str(getattr(node.target, "__name__", node.target))


def _site(
    root: fx.GraphModule, node: fx.Node, shapes: dict[fx.Node, tuple[int, ...]]
) -> Site | None:
    inputs = [arg for arg in node.all_input_nodes if arg in shapes]
    if node not in shapes or not inputs:
        return None
    before, after = shapes[inputs[0]][1:], shapes[node][1:]
    if node.op == "call_module":
        return _module_site(str(node.target), root.get_submodule(str(node.target)), before, after)
    if node.op not in ("call_function", "call_method"):
        return None
    target: Any = node.target
    if target in _BINARY and sum(arg in shapes for arg in node.args) == 2:
        kind, word = _BINARY[target]
        macs = math.prod(after) * before[-1] if word == "matmul" else 0
        return Site(node.name, kind, word, before, after, macs=macs)
    if target in _UNARY:
        return Site(node.name, "other", _UNARY[target], before, after)
    if target in (F.conv2d, torch.conv2d, F.linear):
        return _functional_product(node, shapes, before, after)
    return None


def _functional_product(
    node: fx.Node,
    shapes: dict[fx.Node, tuple[int, ...]],
    before: tuple[int, ...],
    after: tuple[int, ...],
) -> Site | None:
    weight = node.args[1] if len(node.args) > 1 else node.kwargs.get("weight")
    if not isinstance(weight, fx.Node) or weight not in shapes:
        return None
    size = shapes[weight]
    macs = math.prod(after) * math.prod(size[1:])
    kind: SiteKind = "linear" if node.target is F.linear else "conv"
    return Site(node.name, kind, kind, before, after, macs=macs, weights=math.prod(size))


def _module_site(
    name: str, module: nn.Module, before: tuple[int, ...], after: tuple[int, ...]
) -> Site | None:
    if isinstance(module, _FREE):
        return None
    for kinds, word in _ACTIVATION_WORDS.items():
        if isinstance(module, kinds):
            cap = {"cap": 6} if isinstance(module, nn.ReLU6) else {}
            return Site(name, "activation", word, before, after, attributes=cap)
    for kinds, word in _POOL_WORDS.items():
        if isinstance(module, kinds):
            return _pool_site(name, module, word, before, after)
    if isinstance(module, _CONVS + _TRANSPOSED):
        return _conv_site(name, module, before, after)
    if isinstance(module, nn.Linear):
        weights = module.weight.numel()
        macs = math.prod(after) * module.in_features
        return Site(name, "linear", "linear", before, after, macs=macs, weights=weights)
    if isinstance(module, _BATCH_NORMS):
        weights = module.weight.numel() if module.weight is not None else 0
        return Site(name, "norm", "batchnorm", before, after, weights=weights)
    kind: SiteKind = "norm" if isinstance(module, _NORMS) else "other"
    weights = sum(p.numel() for p in module.parameters())
    return Site(name, kind, type(module).__name__.lower(), before, after, weights=weights)


def _conv_site(name: str, module: Any, before: tuple[int, ...], after: tuple[int, ...]) -> Site:
    weights = module.weight.numel()
    # Each output (of a transposed convolution: input) pixel meets the weights once.
    pixels = before[1:] if isinstance(module, _TRANSPOSED) else after[1:]
    attributes = {
        **_square("kernel", module.kernel_size),
        **_square("stride", module.stride),
        **_square("padding", _padding(module)),
        "groups": module.groups,
    }
    macs = math.prod(pixels) * weights
    return Site(name, "conv", "conv", before, after, macs, weights, attributes)


def _padding(module: Any) -> tuple[int, ...]:
    if module.padding == "valid":
        return (0,) * len(module.kernel_size)
    if module.padding == "same":
        return tuple(
            d * (k - 1) // 2 for d, k in zip(module.dilation, module.kernel_size, strict=True)
        )
    return tuple(module.padding)


def _pool_site(
    name: str, module: Any, word: str, before: tuple[int, ...], after: tuple[int, ...]
) -> Site | None:
    plain = isinstance(module, (nn.MaxPool2d, nn.AvgPool2d))
    if before == after and not plain:
        return None
    if word == "avgpool" and math.prod(after[1:]) == 1:
        return Site(name, "other", "globalavgpool", before, after)
    if plain and getattr(module, "dilation", 1) in (1, (1, 1)):
        attributes = {
            **_square("kernel", module.kernel_size),
            **_square("stride", module.stride),
            **_square("padding", module.padding),
        }
        if module.ceil_mode:
            attributes["ceil"] = 1
    else:
        sides = list(zip(before[-2:], after[-2:], strict=True))
        window = tuple(a // b for a, b in sides)
        attributes = {**_square("kernel", window), **_square("stride", window), "padding": 0}
        if plain or any(a % b for a, b in sides):
            attributes["adaptive"] = 1  # windows with holes or of unequal size
    return Site(name, "pool", word, before, after, attributes=attributes)


def _square(key: str, value: int | tuple[int, ...]) -> dict[str, int]:
    """One entry for a square window, else one per axis (``_h``, ``_w``)."""
    sizes = (value,) if isinstance(value, int) else tuple(value)
    if len(set(sizes)) == 1:
        return {key: sizes[0]}
    axes = ("d", "h", "w")[-len(sizes) :]
    return {f"{key}_{axis}": size for axis, size in zip(axes, sizes, strict=True)}
