"""The graph in the clear, in double precision: what every encrypted answer is compared with."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.polynomial.chebyshev import chebval

from evaluators.fhe.graph import Graph, Node, Polynomial
from search.api.errors import EvaluationError


def run(graph: Graph, x: np.ndarray) -> np.ndarray:
    """Outputs ``[n, outputs]`` of inputs ``[n, elements]`` (or ``[n, C, H, W]``), float64.

    Raises:
        EvaluationError: the inputs have another number of elements.
    """
    output = graph.nodes[-1].name
    found = (value for name, value in _walk(graph, x, keep=False) if name == output)
    return next(found)


def values(graph: Graph, x: np.ndarray) -> dict[str, np.ndarray]:
    """Node -> its result ``[n, elements]``, the input's included; all of them at once."""
    return dict(_walk(graph, x, keep=True))


def ranges(graph: Graph, x: np.ndarray) -> dict[str, float]:
    """Node -> largest absolute value of its result on ``x``."""
    return {name: float(np.abs(value).max()) for name, value in _walk(graph, x, keep=False)}


def evaluate(polynomial: Polynomial, t: np.ndarray) -> np.ndarray:
    """The polynomial of values ``t``, of any shape."""
    result = np.asarray(chebval(t, polynomial.coefficients))
    for stage in polynomial.composite:
        result = np.asarray(chebval(result, stage))
    return np.asarray(t * (1.0 + result) / 2.0) if polynomial.gate else result


def _walk(graph: Graph, x: np.ndarray, *, keep: bool) -> Iterator[tuple[str, np.ndarray]]:
    """Every node's result in order; results that are no longer read are dropped unless ``keep``."""
    first = graph.nodes[0]
    known = {first.name: _flat(x, first)}
    last = {source: node.name for node in graph.nodes for source in node.inputs}
    for node in graph.nodes:
        if node.inputs:
            # Series run away outside their interval: infinity is an answer, a warning is none.
            with np.errstate(over="ignore", invalid="ignore"):
                known[node.name] = _result(node, [known[name] for name in node.inputs])
        yield node.name, known[node.name]
        if not keep:
            for name in node.inputs:
                if last[name] == node.name:
                    known.pop(name, None)


def _flat(x: np.ndarray, first: Node) -> np.ndarray:
    flat = np.asarray(x, dtype=np.float64).reshape(len(x), -1)
    elements = int(np.prod(first.shape))
    if flat.shape[1] != elements:
        raise EvaluationError(
            f"input: {flat.shape[1]} elements (expected {elements}, of shape {first.shape})"
        )
    return flat


def _result(node: Node, operands: list[np.ndarray]) -> np.ndarray:
    if node.kind == "linear" and node.linear is not None:
        return np.asarray((node.linear.matrix @ operands[0].T).T + node.linear.bias)
    if node.kind == "square":
        return np.asarray(np.square(operands[0]))
    if node.kind == "polynomial" and node.polynomial is not None:
        return evaluate(node.polynomial, operands[0])
    if node.kind == "add":
        return np.asarray(operands[0] + operands[1])
    raise EvaluationError(f"{node.name}: a node of kind {node.kind!r} without its parts")
