"""From a trained network in canonical form to a :class:`~.program.Program`.

Batch normalisation is folded into the convolution or linear layer before it; where there is none
it becomes a product with secret factors of its own. What has no secure form here is an error that
names the site.
"""

from __future__ import annotations

import operator
from collections.abc import Set
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from evaluators.lowered.activations import Lowered, lower_activation
from evaluators.lowered.pools import lower_pool
from evaluators.lowered.program import Program, Step
from search.api.errors import EvaluationError
from search.workloads.canonical import canonicalise

_FREE = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
_MOVES = {
    torch.flatten: "flatten", "flatten": "flatten", operator.getitem: "slice", F.pad: "pad",
    torch.cat: "cat", "view": "reshape", "reshape": "reshape", torch.reshape: "reshape",
}  # fmt: skip
_ADDS = (operator.add, torch.add, "add")
_SIGMOIDS = (torch.sigmoid, F.sigmoid, "sigmoid")
_SAME = ("contiguous", "clone", "detach")


def lower(
    network: nn.Module,
    input_shape: tuple[int, ...],
    *,
    functions: Set[str] = frozenset(),
    dtype: torch.dtype = torch.float32,
) -> Program:
    """``network`` as a program.

    Args:
        network: maps ``[n, *input_shape]`` to ``[n, classes]``; brought into canonical form if it
            is not. Its evaluation mode counts: running statistics, no dropout.
        input_shape: of one sample, ``(C, H, W)``.
        functions: names of :data:`~.activations.FUNCTIONS` that the reader knows what to do with.
        dtype: of weights and biases in the program.

    Raises:
        EvaluationError: an operator has no secure form here; names the site.
        ConfigError: the network cannot be traced.
    """
    modes = {child: child.training for child in network.modules()}
    graph = network if isinstance(network, fx.GraphModule) else canonicalise(network, input_shape)
    graph.eval()
    try:
        return _Lowering(graph, input_shape, functions, dtype).program()
    finally:
        for child, training in modes.items():
            child.training = training


class _Lowering:
    """Walks over the graph once; the names of values are those of the graph's nodes."""

    def __init__(
        self,
        graph: fx.GraphModule,
        input_shape: tuple[int, ...],
        functions: Set[str],
        dtype: torch.dtype,
    ) -> None:
        self._graph, self._input_shape = graph, input_shape
        self._functions, self._dtype = functions, dtype
        self._shapes = _Shapes(graph).of(input_shape)
        self._steps: dict[str, Step] = {}
        self._private: dict[str, Tensor] = {}
        self._public: dict[str, Tensor] = {}
        self._value: dict[fx.Node, str] = {}
        self._calls: dict[str, int] = {}

    def program(self) -> Program:
        output = ""
        for node in self._graph.graph.nodes:
            if node.op == "placeholder":
                self._value[node] = "x"
            elif node.op == "output":
                if not isinstance(node.args[0], fx.Node):
                    raise EvaluationError("network: its output must be one tensor")
                output = self._value[node.args[0]]
            elif node.op == "call_module":
                self._module(node)
            else:
                self._call(node)
        steps = tuple(self._steps.values())
        return Program(self._input_shape, steps, output, self._private, self._public)

    def _module(self, node: fx.Node) -> None:
        path = str(node.target)
        module = self._graph.get_submodule(path)
        count = self._calls.get(path, 0)
        self._calls[path] = count + 1
        site = f"{path}#{count}" if count else path
        source = node.args[0]
        if not isinstance(source, fx.Node) or len(node.args) != 1 or node.kwargs:
            raise EvaluationError(f"{site}: expected one tensor as its input")
        if isinstance(module, _FREE):
            self._value[node] = self._value[source]
        elif isinstance(module, _BATCH_NORMS):
            self._batch_norm(node, source, site, module)
        else:
            self._add(node, (source,), site, self._lowered(site, module, self._shapes[source]))

    def _lowered(self, site: str, module: nn.Module, shape: tuple[int, ...]) -> Lowered:
        """``shape``: of the input, per sample."""
        if isinstance(module, nn.Conv2d):
            return _convolution(site, module)
        if isinstance(module, nn.Linear):
            if len(shape) != 1:
                raise EvaluationError(f"{site}: a linear layer on {len(shape)} axes is unknown")
            return Lowered(
                "linear", {}, {"weight": module.weight.T, **_bias(module.bias, module.out_features)}
            )
        if isinstance(module, nn.Flatten):
            if (module.start_dim, module.end_dim) not in ((1, -1), (1, len(shape))):
                raise EvaluationError(f"{site}: only whole samples can be flattened")
            return Lowered("flatten")
        found = lower_activation(module, shape, self._functions) or lower_pool(module, shape, site)
        if found is None:
            raise EvaluationError(
                f"{site}: {type(module).__name__} has no secure form (known: Conv2d, Linear, "
                "BatchNorm, ReLU, ReLU6, X2Act, Square, polynomials, masked activations, "
                f"{''.join(f'{name}, ' for name in sorted(self._functions))}pools, add, flatten)"
            )
        return found

    def _batch_norm(self, node: fx.Node, source: fx.Node, site: str, norm: Any) -> None:
        if norm.running_mean is None:
            raise EvaluationError(f"{site}: batch normalisation without running statistics")
        factor, shift = _affine_of(norm)
        name = self._value[source]
        before = self._steps.get(name)
        if before is None or before.operator not in ("conv", "linear") or len(source.users) != 1:
            axes = (1,) * (len(self._shapes[source]) - 1)
            private = {"factor": factor.view(1, -1, *axes), "shift": shift.view(1, -1, *axes)}
            self._add(node, (source,), site, Lowered("affine", {}, private))
            return
        weight, bias = f"{name}:weight", f"{name}:bias"
        along = (1, -1) if before.operator == "linear" else (-1, 1, 1, 1)
        self._keep(weight, self._private[weight].double() * factor.view(along))
        self._keep(bias, self._private[bias].double() * factor + shift)
        self._value[node] = name

    def _call(self, node: fx.Node) -> None:
        """A function or a tensor method: additions and what moves data without arithmetic."""
        site, target = node.name, node.target
        tensors: list[fx.Node] = []  # each as often as it is read, unlike node.all_input_nodes
        fx.node.map_arg(node.args, lambda arg: tensors.append(arg))
        if target in _ADDS and len(tensors) == 2 and not node.kwargs:
            if self._shapes[tensors[0]] != self._shapes[tensors[1]]:
                raise EvaluationError(f"{site}: cannot add tensors of different shapes")
            self._add(node, tuple(tensors), site, Lowered("add"))
        elif target in _SIGMOIDS and len(tensors) == 1 and "sigmoid" in self._functions:
            self._add(node, tuple(tensors), site, Lowered("sigmoid"))
        elif target in _SAME and len(tensors) == 1:
            self._value[node] = self._value[tensors[0]]
        elif target in _MOVES and tensors and (target is torch.cat or len(tensors) == 1):
            self._add(node, tuple(tensors), site, self._move(node, _MOVES[target]))
        elif node.op == "call_method" and target == "size":
            raise EvaluationError(f"{site}: sizes must be constants")
        else:
            word = getattr(target, "__name__", str(target))
            raise EvaluationError(f"{site}: {word} has no secure form")

    def _move(self, node: fx.Node, word: str) -> Lowered:
        if word == "flatten":
            start = node.args[1] if len(node.args) > 1 else node.kwargs.get("start_dim", 0)
            if start != 1 or len(self._shapes[node]) != 1:
                raise EvaluationError(f"{node.name}: only whole samples can be flattened")
            return Lowered("flatten")
        if word == "reshape":
            return Lowered("reshape", {"shape": list(self._shapes[node])})
        if word == "cat":
            axis = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)
            return Lowered("cat", {"axis": axis})
        if word == "pad":
            if node.kwargs.get("mode", "constant") != "constant" or len(node.args) > 2:
                raise EvaluationError(f"{node.name}: only padding with zeros is known")
            if node.kwargs.get("value") or not isinstance(node.args[1], (tuple, list)):
                raise EvaluationError(f"{node.name}: only padding with zeros is known")
            return Lowered("pad", {"sides": list(node.args[1])})
        return Lowered("slice", {"slices": _slices(node)})

    def _add(
        self, node: fx.Node, sources: tuple[fx.Node, ...], site: str, lowered: Lowered
    ) -> None:
        name = node.name
        for role, tensor in lowered.private.items():
            self._keep(f"{name}:{role}", tensor)
        for role, tensor in lowered.public.items():
            self._public[f"{name}:{role}"] = tensor.detach().to("cpu").contiguous().clone()
        self._steps[name] = Step(
            site,
            lowered.operator,
            tuple(self._value[source] for source in sources),
            name,
            lowered.attributes,
            {role: tuple(tensor.shape) for role, tensor in lowered.private.items()},
        )
        self._value[node] = name

    def _keep(self, name: str, tensor: Tensor) -> None:
        found = tensor.detach().to("cpu", self._dtype).contiguous().clone()
        if not bool(torch.isfinite(found).all()):
            raise EvaluationError(f"{name}: a weight is NaN or infinite: its training diverged")
        self._private[name] = found


def _convolution(site: str, module: nn.Conv2d) -> Lowered:
    if module.padding_mode != "zeros":
        raise EvaluationError(f"{site}: padding mode {module.padding_mode!r} is unknown")
    padding: Any = module.padding
    if padding == "valid":
        padding = (0, 0)
    elif padding == "same":
        sides = [d * (k - 1) for d, k in zip(module.dilation, module.kernel_size, strict=True)]
        if any(side % 2 for side in sides):
            raise EvaluationError(f"{site}: 'same' padding of an even kernel is uneven")
        padding = tuple(side // 2 for side in sides)
    attributes = {
        "stride": list(module.stride),
        "padding": list(padding),
        "dilation": list(module.dilation),
        "groups": module.groups,
    }
    bias = _bias(module.bias, module.out_channels)
    return Lowered("conv", attributes, {"weight": module.weight, **bias})


def _bias(bias: Tensor | None, width: int) -> dict[str, Tensor]:
    """Always there, zero if the layer has none: batch normalisation is folded into it."""
    return {"bias": torch.zeros(width) if bias is None else bias}


def _affine_of(norm: Any) -> tuple[Tensor, Tensor]:
    """Factor and shift per channel of a batch normalisation in evaluation mode, in double."""
    mean, variance = norm.running_mean.detach().double(), norm.running_var.detach().double()
    factor = (variance + norm.eps).rsqrt()
    if norm.weight is not None:
        factor = factor * norm.weight.detach().double()
    shift = -mean * factor
    if norm.bias is not None:
        shift = shift + norm.bias.detach().double()
    return factor.cpu(), shift.cpu()


def _slices(node: fx.Node) -> list[list[int | None]]:
    index = node.args[1]
    parts = index if isinstance(index, tuple) else (index,)
    if not all(isinstance(part, slice) for part in parts):
        raise EvaluationError(f"{node.name}: only slices are known as indices")
    return [[part.start, part.stop, part.step] for part in parts if isinstance(part, slice)]


class _Shapes(fx.Interpreter):
    """Runs the network once on zeros and keeps each tensor's shape, batch axis left out."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph)
        self.found: dict[fx.Node, tuple[int, ...]] = {}

    def of(self, input_shape: tuple[int, ...]) -> dict[fx.Node, tuple[int, ...]]:
        like = next((p for p in self.module.parameters()), torch.empty(0))
        with torch.no_grad():
            self.run(like.new_zeros((1, *input_shape)))
        return self.found

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if isinstance(result, Tensor):
            self.found[n] = tuple(result.shape[1:])
        return result
