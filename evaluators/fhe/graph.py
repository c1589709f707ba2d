"""A network as CKKS sees it: linear maps, squares, polynomials and additions, in order.

Every linear operator (convolution, pooling, batch normalisation, reshaping, a linear layer) is one
sparse matrix with a bias; neighbours are multiplied together. So one packer serves all, and the
graph itself is the reference that every encrypted answer is compared with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from scipy.sparse import csr_array

NodeKind = Literal["input", "linear", "square", "polynomial", "add"]


@dataclass(frozen=True)
class Linear:
    """``y = matrix @ x + bias`` on flattened tensors.

    Args:
        matrix: ``[outputs, inputs]``, float64; explicit zeros are removed.
        bias: ``[outputs]``, float64.
        stride: of the convolution it holds, as a hint for layouts; 1 if there is none.
    """

    matrix: csr_array
    bias: np.ndarray
    stride: int = 1


@dataclass(frozen=True)
class Polynomial:
    """``sum_k coefficients[k] T_k(x)`` with Chebyshev polynomials T on [-1, 1].

    The factor that brings inputs into [-1, 1] stands in the linear map before.

    Args:
        coefficients: ``[degree + 1]``.
        function: name of what it approximates, such as ``silu``; empty for a polynomial of its own.
        composite: further stages of a composite polynomial, applied one after another: the value
            goes through ``coefficients`` first. Each maps [-1, 1] into [-1, 1].
        gate: True for ``sign_relu``: the result is ``x * (1 + p(x)) / 2``.
    """

    coefficients: tuple[float, ...]
    function: str = ""
    composite: tuple[tuple[float, ...], ...] = ()
    gate: bool = False


@dataclass(frozen=True)
class Node:
    """One operation.

    Args:
        name: site of the network it stands for; unique. Fused layers have the name of the last
            one with arithmetic of its own (the convolution or linear layer).
        kind: what it does.
        inputs: names of the nodes it reads; none for the input, two for ``add``.
        shape: of its result, without the batch axis.
        linear, polynomial: for nodes of these kinds.
        sites: all sites of the network that are fused into it.
    """

    name: str
    kind: NodeKind
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    linear: Linear | None = None
    polynomial: Polynomial | None = None
    sites: tuple[str, ...] = ()


@dataclass(frozen=True)
class Graph:
    """A network in execution order; the first node is the input, the last one the output.

    Args:
        nodes: in execution order.
        ranges: node -> largest absolute value of its result seen on calibration data; empty if
            none was given.
    """

    nodes: tuple[Node, ...]
    ranges: Mapping[str, float]
