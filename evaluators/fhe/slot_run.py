"""Runs a packed network on plain slots: what an engine computes, without noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evaluators.fhe.reference import evaluate

if TYPE_CHECKING:
    from evaluators.fhe.packed import PackedLinear, PackedNetwork


def simulate_slots(packed: PackedNetwork, x: np.ndarray) -> np.ndarray:
    """Outputs of one input by rotations, products and sums of slots.

    Args:
        packed: the network.
        x: flattened input ``[elements]``.

    Returns:
        ``[outputs]``.
    """
    return packed.decode_output(slot_values(packed, x)[packed.graph.nodes[-1].name])


def slot_values(packed: PackedNetwork, x: np.ndarray) -> dict[str, np.ndarray]:
    """Node -> what its ciphertexts hold, ``[ciphertexts, slots]``, unused slots included.

    Args:
        packed: the network.
        x: flattened input ``[elements]``.
    """
    values: dict[str, np.ndarray] = {}
    for node in packed.graph.nodes:
        given = [values[name] for name in node.inputs]
        if node.kind == "input":
            values[node.name] = packed.encode_input(x)
        elif node.kind == "linear":
            values[node.name] = run_linear(packed.linears[node.name], given[0])
        elif node.kind == "square":
            values[node.name] = given[0] ** 2
        elif node.kind == "add":
            values[node.name] = given[0] + given[1]
        elif node.polynomial is not None:
            values[node.name] = evaluate(node.polynomial, given[0])
    return values


def run_linear(linear: PackedLinear, x: np.ndarray) -> np.ndarray:
    """``[input ciphertexts, slots]`` -> ``[result ciphertexts, slots]``."""
    inner: dict[tuple[int, int], np.ndarray] = {}
    for index, term in enumerate(linear.terms):
        product = linear.diagonal(index) * np.roll(x[term.source], -term.baby)
        key = (term.result, term.giant)
        inner[key] = inner.get(key, 0.0) + product
    result = np.zeros((linear.result.ciphertexts, x.shape[1]))
    for (number, giant), value in inner.items():
        result[number] += np.roll(value, -giant)
    for step in linear.folds:
        result = result + np.roll(result, -step, axis=1)
    return np.asarray(result + linear.bias())
