"""What each node of a traced network does to channels."""

from __future__ import annotations

import math
import operator
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from search.api.errors import ConfigError
from search.workloads.functional import GlobalAvgPool
from search.workloads.operators import X2Act
from search.workloads.pruning.products import Product
from search.workloads.square import Square

Kind = Literal[
    "input", "product", "norm", "map", "pool", "add", "flatten", "cat", "pad", "size", "barrier",
    "output",
]  # fmt: skip

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
# In evaluation mode each acts on every element by itself; PReLU may do so by channel.
_MAPS = (
    nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout,
    nn.FeatureAlphaDropout, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ELU, nn.CELU,
    nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish, nn.Hardtanh, nn.Softplus, nn.Tanh, nn.Sigmoid,
    nn.Hardsigmoid, Square,
)  # fmt: skip
_POOLS = (
    nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveMaxPool2d, nn.AdaptiveAvgPool2d, GlobalAvgPool,
)  # fmt: skip
_ADDS = (operator.add, torch.add, "add")
_FLATTENS = (torch.flatten, "flatten")
_VIEWS = ("view", "reshape", torch.reshape)
_CATS = (torch.cat, torch.concat)


@dataclass(frozen=True)
class Step:
    """One node.

    Args:
        node: of the graph.
        kind: what it does: ``map`` acts on each element by itself, ``pool`` on windows of each
            channel, ``size`` reads the batch size alone.
        width: channels of its result; 0 if that is no tensor with channels.
        sources: nodes it reads, in order; one may be there twice.
        module: what it calls, if anything.
        pad: channels of zeros before and behind, for ``pad``.
        uniform: whether constants come out as they went in, for ``pool``.
    """

    node: fx.Node
    kind: Kind
    width: int
    sources: tuple[fx.Node, ...]
    module: nn.Module | None = None
    pad: tuple[int, int] = (0, 0)
    uniform: bool = True
    source_widths: tuple[int, ...] = ()

    @property
    def depthwise(self) -> bool:
        """Whether each filter reads one channel of its own."""
        return isinstance(self.module, nn.Module) and _depthwise(self.module)

    @property
    def offsets(self) -> tuple[int, ...]:
        """Where the channels of each source begin, for ``cat``."""
        return (0, *accumulate(self.source_widths))


def node_shapes(
    network: fx.GraphModule, input_shape: tuple[int, ...]
) -> dict[fx.Node, tuple[int, ...]]:
    """Shape of each node that gives one tensor, batch axis (of one) included.

    Args:
        network: in evaluation mode.
        input_shape: of one sample.

    Raises:
        ConfigError: the network does not run on inputs of this shape.
    """
    like = next((p for p in network.parameters() if p.is_floating_point()), torch.empty(0))
    runner = _Shapes(network)
    try:
        with torch.no_grad():
            runner.run(like.new_zeros((1, *input_shape)))
    except Exception as error:  # user code: whatever it raises is theirs to read
        raise ConfigError(
            f"network: does not run on inputs of shape {tuple(input_shape)}: "
            f"{str(error).splitlines()[0]}"
        ) from error
    return runner.found


class _Shapes(fx.Interpreter):
    def __init__(self, network: fx.GraphModule) -> None:
        super().__init__(network)
        self.extra_traceback = False
        self.found: dict[fx.Node, tuple[int, ...]] = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if isinstance(result, Tensor):
            self.found[n] = tuple(result.shape)
        return result


def steps_of(
    network: fx.GraphModule, shapes: Mapping[fx.Node, tuple[int, ...]]
) -> tuple[Step, ...]:
    """Every node of ``network`` in order, with what it does to channels.

    Args:
        network: in canonical form.
        shapes: of its nodes.
    """
    shared = _shared(network)
    widths = {node: shape[1] for node, shape in shapes.items() if len(shape) > 1}
    found = []
    for node in network.graph.nodes:
        step = _step(network, node, shapes, widths, shared)
        if any(source not in widths for source in step.sources) and step.kind != "size":
            step = _barrier(node, widths)
        found.append(step)
    return tuple(found)


def _barrier(node: fx.Node, widths: Mapping[fx.Node, int]) -> Step:
    sources = tuple(s for s in node.all_input_nodes if s in widths)
    return Step(node, "barrier", widths.get(node, 0), sources)


def _step(
    network: fx.GraphModule,
    node: fx.Node,
    shapes: Mapping[fx.Node, tuple[int, ...]],
    widths: Mapping[fx.Node, int],
    shared: frozenset[str],
) -> Step:
    if node.op == "placeholder":
        return Step(node, "input", widths.get(node, 0), ())
    if node.op == "output":
        return Step(node, "output", 0, tuple(s for s in node.all_input_nodes if s in widths))
    step = None
    if node in widths:
        if node.op == "call_module" and str(node.target) not in shared:
            module = network.get_submodule(str(node.target))
            step = _module_step(node, module, shapes, widths[node])
        elif node.op in ("call_function", "call_method"):
            step = _function_step(node, shapes, widths)
    elif _batch_size(node):
        step = Step(node, "size", 0, tuple(node.all_input_nodes))
    return step or _barrier(node, widths)


def _module_step(
    node: fx.Node, module: nn.Module, shapes: Mapping[fx.Node, tuple[int, ...]], width: int
) -> Step | None:
    source = node.args[0] if node.args else None
    if not isinstance(source, fx.Node) or source not in shapes:
        return None
    before, after = shapes[source], shapes[node]
    if isinstance(module, Product):
        axes = 2 if isinstance(module, nn.Linear) else 2 + len(module.kernel_size)
        known = len(before) == axes and (_groups(module) == 1 or _depthwise(module))
        return Step(node, "product", width, (source,), module) if known else None
    if isinstance(module, _NORMS):
        fixed = module.running_mean is not None and module.running_var is not None
        return Step(node, "norm", width, (source,), module) if fixed else None
    if isinstance(module, _MAPS) or (isinstance(module, X2Act) and module.per == "layer"):
        return Step(node, "map", width, (source,), module)
    if isinstance(module, _POOLS) and len(before) == 4:
        return Step(node, "pool", width, (source,), module, uniform=_uniform(module))
    if isinstance(module, nn.Flatten) and module.start_dim == 1 and len(after) == 2:
        return Step(node, "flatten", width, (source,), module)
    return None


def _function_step(
    node: fx.Node, shapes: Mapping[fx.Node, tuple[int, ...]], widths: Mapping[fx.Node, int]
) -> Step | None:
    target: Any = node.target
    if target in _CATS:
        return _cat(node, shapes, widths)
    source = node.args[0] if node.args else None
    if not isinstance(source, fx.Node) or source not in shapes:
        return None
    before, after, width = shapes[source], shapes[node], widths[node]
    rest = node.args[1:]
    if target in _ADDS and len(rest) == 1 and not node.kwargs:
        other = rest[0]
        same = isinstance(other, fx.Node) and shapes.get(other) == before
        return Step(node, "add", width, (source, other)) if same else None  # type: ignore[arg-type]
    if target in _FLATTENS and rest == (1,) and not node.kwargs and len(after) == 2:
        return Step(node, "flatten", width, (source,))
    if target in _VIEWS and after == (before[0], math.prod(before[1:])):
        sizes = rest[0] if len(rest) == 1 and isinstance(rest[0], (list, tuple)) else rest
        return Step(node, "flatten", width, (source,)) if tuple(sizes)[-1:] == (-1,) else None
    if target is operator.getitem and _thins(rest[0]):
        return Step(node, "map", width, (source,), nn.Identity())
    if target is F.pad and len(before) == 4:
        return _pad(node, source, width)
    return None


def _cat(
    node: fx.Node, shapes: Mapping[fx.Node, tuple[int, ...]], widths: Mapping[fx.Node, int]
) -> Step | None:
    given: Any = node.args[0] if node.args else node.kwargs.get("tensors")
    axis = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)
    sources = tuple(given) if isinstance(given, (list, tuple)) else ()
    if not sources or not all(s in widths for s in sources) or axis not in (
        1, 1 - len(shapes[node])
    ):  # fmt: skip
        return None
    each = tuple(widths[s] for s in sources)
    return Step(node, "cat", widths[node], sources, source_widths=each)


def _pad(node: fx.Node, source: fx.Node, width: int) -> Step | None:
    """Channels of zeros; with zeros around the maps it is another thing."""
    given = dict(zip(("pad", "mode", "value"), node.args[1:], strict=False)) | node.kwargs
    sizes: Any = given.get("pad")
    plain = given.get("mode", "constant") == "constant" and given.get("value") in (None, 0)
    if not plain or not isinstance(sizes, (list, tuple)) or len(sizes) != 6 or any(sizes[:4]):
        return None
    front, back = sizes[4:]
    if not (isinstance(front, int) and isinstance(back, int) and min(front, back) >= 0):
        return None
    return Step(node, "pad", width, (source,), pad=(front, back))


def _thins(index: Any) -> bool:
    """Whether an index takes every sample and channel, and slices of the maps."""
    whole = slice(None, None, None)
    return (
        isinstance(index, tuple)
        and index[:2] == (whole, whole)
        and all(isinstance(part, slice) for part in index)
    )


def _batch_size(node: fx.Node) -> bool:
    if node.op == "call_method" and node.target == "size":
        return node.args[1:] == (0,)
    if node.target is getattr and node.args[1:] == ("shape",):
        return all(u.target is operator.getitem and u.args[1] == 0 for u in node.users)
    # An element of such a shape: it reads no channels itself.
    return node.target is operator.getitem and node.args[1:] == (0,) and (
        isinstance(node.args[0], fx.Node) and node.args[0].target is getattr
    )  # fmt: skip


def _uniform(module: nn.Module) -> bool:
    """Whether a pool of a constant map is that constant everywhere."""
    if not isinstance(module, nn.AvgPool2d):
        return True  # a max pool pads with -inf
    zeros = module.padding not in (0, (0, 0)) and module.count_include_pad
    return not zeros and module.divisor_override is None


def _groups(module: nn.Module) -> int:
    return int(getattr(module, "groups", 1))


def _depthwise(module: nn.Module) -> bool:
    groups = _groups(module)
    return groups > 1 and groups == getattr(module, "in_channels", None)


def _shared(network: fx.GraphModule) -> frozenset[str]:
    """Modules with parameters that are called twice, or whose parameters another one has, too."""
    calls = Counter(str(n.target) for n in network.graph.nodes if n.op == "call_module")
    owners = Counter(
        id(value)
        for name in calls
        for value in network.get_submodule(name).parameters(recurse=True)
    )
    return frozenset(
        name
        for name, count in calls.items()
        for value in network.get_submodule(name).parameters(recurse=True)
        if count > 1 or owners[id(value)] > 1
    )
