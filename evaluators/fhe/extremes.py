"""Inputs on which encrypted inference errs most: random ones say little of the worst case.

Errors grow with the values that ciphertexts hold, and values beyond the head-room of the modulus
wrap around. So networks are also run on inputs that make values large.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from evaluators.fhe import reference

if TYPE_CHECKING:
    from evaluators.fhe.graph import Graph


def extreme_inputs(graph: Graph, samples: np.ndarray, count: int) -> np.ndarray:
    """``count`` inputs ``[count, elements]`` that make values large, float64.

    In turn, with the next of each kind in each round: the samples with the largest outputs; those
    with the largest inner values relative to their range; samples saturated to the ends of each
    element's range; and the corners of the box of all samples that a row of the first linear map
    is most sensitive to.

    Args:
        graph: the network.
        samples: ``[n, elements]``, n at least 1.
        count: how many.
    """
    values = reference.values(graph, samples) if count else {}
    kinds = [
        _largest_outputs(graph, samples, values),
        _largest_values(graph, samples, values),
        _saturated(samples),
        _corners(graph, samples),
    ]
    chosen: list[np.ndarray] = []
    while len(chosen) < count and kinds:
        for kind in list(kinds):
            found = next(kind, None)
            if found is None:
                kinds.remove(kind)
            elif len(chosen) < count:
                chosen.append(found)
    return np.array(chosen).reshape(len(chosen), samples.shape[1])


def _largest_outputs(
    graph: Graph, samples: np.ndarray, values: dict[str, np.ndarray]
) -> Iterator[np.ndarray]:
    largest = np.abs(values[graph.nodes[-1].name]).max(axis=1)
    yield from samples[np.argsort(-largest)]


def _largest_values(
    graph: Graph, samples: np.ndarray, values: dict[str, np.ndarray]
) -> Iterator[np.ndarray]:
    score = np.zeros(len(samples))
    inner = (node.name for node in graph.nodes[1:-1])
    for name in inner:
        largest = np.abs(values[name]).max(axis=1)
        score = np.maximum(score, largest / max(float(np.median(largest)), 1e-30))
    yield from samples[np.argsort(-score, kind="stable")]


def _saturated(samples: np.ndarray) -> Iterator[np.ndarray]:
    low, high, middle = samples.min(axis=0), samples.max(axis=0), np.median(samples, axis=0)
    for sample in samples:
        yield np.where(sample > middle, high, low)


def _corners(graph: Graph, samples: np.ndarray) -> Iterator[np.ndarray]:
    first = next((node.linear for node in graph.nodes if node.linear is not None), None)
    if first is None or first.matrix.shape[1] != samples.shape[1]:
        return
    low, high = samples.min(axis=0), samples.max(axis=0)
    matrix = first.matrix
    top = matrix.maximum(0) @ high + matrix.minimum(0) @ low + first.bias
    bottom = matrix.maximum(0) @ low + matrix.minimum(0) @ high + first.bias
    for row in np.argsort(-np.maximum(np.abs(top), np.abs(bottom))):
        weights = matrix[[row], :].toarray()[0]
        up = np.abs(top[row]) >= np.abs(bottom[row])
        yield np.where((weights > 0) == up, high, low)
