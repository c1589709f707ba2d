"""Bring any traceable network into the form that plans act on.

In canonical form a network is a :class:`torch.fx.GraphModule` in which every call of an activation
or a pool is a submodule of its own, under its own name, so that a plan can replace each one
separately. Functional calls become modules, a module called twice becomes two, and in-place
activations become out-of-place ones. Parameters are those of the original, not copies, and the
outputs are the same.
"""

from __future__ import annotations

import copy
from typing import Any

from torch import fx, nn

from search.api.errors import ConfigError
from search.workloads.dapa import Polynomial
from search.workloads.functional import inplace_twin, module_for
from search.workloads.operators import X2Act
from search.workloads.sites import trace_sites
from search.workloads.square import Square

__all__ = ["canonicalise", "trace_sites"]

_REPLACEABLE = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU,
    nn.Mish, nn.Hardswish, nn.Hardtanh, nn.Softplus, nn.Tanh, X2Act, Square,
    nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveMaxPool2d, nn.AdaptiveAvgPool2d,
)  # fmt: skip

# Activations of our own: calls to keep, not insides to trace.
_WHOLE = (X2Act, Square, Polynomial)


def canonicalise(module: nn.Module, input_shape: tuple[int, ...]) -> fx.GraphModule:
    """``module`` in canonical form; parameters are shared with ``module``.

    Args:
        module: maps ``[n, *input_shape]`` to one tensor. It is traced in evaluation mode: a branch
            on ``self.training`` is fixed to its evaluation side, but functional dropout becomes a
            module and so stays active in training.
        input_shape: shape of one sample, such as ``(C, H, W)``.

    Returns:
        the network in training mode. Names: the dotted module path, with ``#1``, ``#2``, ... for
        the later calls of a module called several times; a functional call is named after the
        module that makes it and the function, with ``_1``, ``_2``, ... for further ones.

    Raises:
        ConfigError: the network cannot be traced, or does not take inputs of this shape.
    """
    graph_module = _trace(module)
    calls: dict[str, int] = {}
    for node in list(graph_module.graph.nodes):
        if node.op == "call_module":
            _separate(graph_module, node, calls)
        elif node.op in ("call_function", "call_method"):
            _modularise(graph_module, node)
    graph_module.graph.lint()
    graph_module.delete_all_unused_submodules()
    graph_module.recompile()
    trace_sites(graph_module, input_shape)  # a wrong input shape shows here, not in training
    return graph_module.train()


class _Tracer(fx.Tracer):
    """Records which module makes a call, and where tracing stopped."""

    def __init__(self) -> None:
        super().__init__()
        self.stopped_in: str | None = None

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, _WHOLE) or super().is_leaf_module(m, module_qualified_name)

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        try:
            return super().call_module(m, forward, args, kwargs)
        except Exception:
            if self.stopped_in is None:
                self.stopped_in = f"{self.path_of_module(m)} ({type(m).__name__})"
            raise

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        node = super().create_node(*args, **kwargs)
        node.meta["scope"] = self.scope.module_path
        return node


def _trace(module: nn.Module) -> fx.GraphModule:
    tracer = _Tracer()
    while isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        module = module.module  # a wrapper would hide the whole network as one layer
    if tracer.is_leaf_module(module, ""):
        module = nn.Sequential(module)  # one layer alone: a call to trace, not its inside
    modes = {child: child.training for child in module.modules()}
    module.eval()
    try:
        graph = tracer.trace(module)
    except Exception as error:  # tracing runs user code: whatever it raises is theirs to read
        where = tracer.stopped_in or type(module).__name__
        raise ConfigError(
            f"network: cannot trace module {where}: {error}. Its forward must not branch on, loop "
            "over or convert values or shapes of tensors: use torch.where in place of `if`, drop "
            "shape checks, use constants for sizes, or put the code in a function marked with "
            "torch.fx.wrap"
        ) from error
    finally:
        for child, training in modes.items():
            child.training = training
    for node in graph.nodes:
        node.type = None  # an annotation given as text would keep the graph from being pickled
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    if len(inputs) != 1:
        raise ConfigError(
            f"network: forward must take one tensor (got {len(inputs)} arguments: "
            f"{', '.join(str(node.target) for node in inputs)})"
        )
    return fx.GraphModule(module, graph, type(module).__name__)


def _separate(root: fx.GraphModule, node: fx.Node, calls: dict[str, int]) -> None:
    """Give each call of an activation or pool module a module of its own."""
    path = str(node.target)
    module = root.get_submodule(path)
    if not isinstance(module, _REPLACEABLE):
        return
    count = calls.get(path, 0)
    calls[path] = count + 1
    if getattr(module, "inplace", False):
        _redirect(node)
    if count or getattr(module, "inplace", False):
        # A shallow copy keeps the parameters (PReLU) shared between the calls.
        module = copy.copy(module)
        if hasattr(module, "inplace"):
            module.inplace = False
    if count:
        path = f"{path}#{count}"
    root.add_submodule(path, module)
    node.target = path


def _modularise(root: fx.GraphModule, node: fx.Node) -> None:
    """Turn a functional activation, pool or dropout into a module."""
    if node.op == "call_function" and inplace_twin(node.target):
        _redirect(node)
        node.target = inplace_twin(node.target)
    made = module_for(node)
    if made is None:
        return
    word, module, inplace = made
    if inplace:
        _redirect(node)
    scope = node.meta.get("scope", "")
    name = _free_name(root, f"{scope}.{word}" if scope else word)
    root.add_submodule(name, module)
    with root.graph.inserting_before(node):
        call = root.graph.call_module(name, (node.args[0] if node.args else node.kwargs["input"],))
    call.meta["scope"] = scope
    node.replace_all_uses_with(call)
    root.graph.erase_node(node)


def _redirect(node: fx.Node) -> None:
    """Later readers of an in-place call's input see its output; say so in the graph."""
    source = node.args[0] if node.args else node.kwargs.get("input")
    if not isinstance(source, fx.Node):
        return
    later = set()
    reader = node.next
    while reader.op != "root":
        later.add(reader)
        reader = reader.next
    source.replace_all_uses_with(node, delete_user_cb=lambda user: user in later)


def _free_name(root: nn.Module, name: str) -> str:
    """``name``, or ``name_1``, ``name_2``, ... if it is taken."""
    parent_path, _, word = name.rpartition(".")
    parent = root.get_submodule(parent_path)
    number, free = 0, word
    while hasattr(parent, free):
        number += 1
        free = f"{word}_{number}"
    return f"{parent_path}.{free}" if parent_path else free
