"""Complete squares and put polynomials in place of functions; what is left over moves into layers.

While the nodes are made, each one stands for the network's true values by an affine map per
element: true = scale * node + shift. A linear map takes both into its matrix and bias, a square
passes them on, so that ``a x^2 + b x + c`` costs one level: ``a (x + b / 2a)^2`` and a shift. What
must come before a node (``b / 2a``, the factor into [-1, 1]) goes into the linear maps that give
its input, or, where those have other readers, into a diagonal map of its own, at a level.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_array

from evaluators.fhe.chebyshev import fit
from evaluators.fhe.composite_sign import sign_relu
from evaluators.fhe.draft import Draft, Op
from evaluators.fhe.graph import Graph, Linear, Node, Polynomial
from evaluators.fhe.matrices import diagonal
from evaluators.fhe.reference import evaluate, ranges
from search.api.errors import ConfigError, EvaluationError
from spaces.ckks.params import ActivationChoice

_NARROWEST = 1e-6  # half width of a fitted interval where all samples agree


@dataclass
class _Affine:
    """true = scale * node + shift, per element."""

    scale: np.ndarray
    shift: np.ndarray

    @property
    def plain(self) -> bool:
        return bool((self.scale == 1.0).all() and not self.shift.any())


def complete(
    draft: Draft,
    activations: Callable[[str], ActivationChoice],
    samples: np.ndarray | None,
) -> Graph:
    """The graph of ``draft``.

    Args:
        draft: fused.
        activations: site -> what stands there.
        samples: ``[n, elements]`` to fit polynomials on and to take ranges from.

    Raises:
        ConfigError: a choice does not fit its site, or there are no samples to fit on.
        EvaluationError: the network gives NaN or infinity on the samples.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # told below, by name
        graph = Graph(_Completion(draft, activations, samples).nodes(), {})
        found = {} if samples is None else ranges(graph, samples)
    for name, largest in found.items():
        _check_finite(name, largest)
    return replace(graph, ranges=found)


class _Completion:
    def __init__(
        self,
        draft: Draft,
        activations: Callable[[str], ActivationChoice],
        samples: np.ndarray | None,
    ) -> None:
        self._draft, self._choose, self._samples = draft, activations, samples
        self._nodes: dict[str, Node] = {}
        self._affine: dict[str, _Affine] = {}
        self._level: dict[str, int] = {}  # levels on the way to a node, for a choice between two
        self._node_of: dict[str, str] = {}  # operator -> the node that stands for it
        self._owner: dict[str, str] = {}  # the other way; inserted nodes have none
        self._stands: dict[str, Callable[[np.ndarray], np.ndarray]] = {}
        self._true: dict[str, np.ndarray] = {}
        self._last = {source: op.name for op in draft.ops.values() for source in op.inputs}

    def nodes(self) -> tuple[Node, ...]:
        fits = any(op.kind == "function" for op in self._draft.ops.values())
        for op in self._draft.ops.values():
            self._add(op)
            if fits and self._samples is not None:
                self._follow(op)
        last = self._node_of[self._draft.output]
        node, affine = self._nodes[last], self._affine[last]
        if not affine.plain or node.kind == "input":
            last = self._insert(f"{node.name}.scaled", last, affine.scale, affine.shift)
        # The result comes last; nothing reads it, so the others keep their order.
        return (*(n for n in self._nodes.values() if n.name != last), self._nodes[last])

    def _add(self, op: Op) -> None:
        op.label = self._free(op.label)
        if op.kind == "input":
            self._put(op, Node(op.label, "input", (), op.shape))
        elif op.kind == "linear":
            self._linear(op)
        elif op.kind == "add":
            self._sum(op)
        elif op.kind == "quadratic":
            self._own(op)
            self._quadratic(op, *op.quadratic)
        else:
            self._function(op)

    def _own(self, op: Op) -> None:
        choice, site = self._choose(op.sites[-1]), op.sites[-1]
        if choice.kind not in ("own", "square"):
            raise ConfigError(
                f"{site}: is a polynomial of degree 2 already (got the choice {choice.kind!r}; "
                "expected 'own')"
            )

    def _put(self, op: Op, node: Node, affine: _Affine | None = None) -> None:
        self._nodes[node.name] = replace(node, sites=op.sites)
        self._affine[node.name] = affine or _Affine(np.ones(op.elements), np.zeros(op.elements))
        self._node_of[op.name], self._owner[node.name] = node.name, op.name
        before = max((self._level[source] for source in node.inputs), default=0)
        self._level[node.name] = before + (node.kind not in ("input", "add"))

    def _linear(self, op: Op) -> None:
        matrix, bias = op.linear
        source = self._node_of[op.inputs[0]]
        affine = self._affine[source]
        if not affine.plain:
            bias = bias + matrix @ affine.shift
            matrix = csr_array(matrix @ diagonal(affine.scale))
        linear = Linear(matrix, np.asarray(bias), op.stride)
        self._put(op, Node(op.label, "linear", (source,), op.shape, linear))

    def _quadratic(self, op: Op, square: np.ndarray, slope: np.ndarray, offset: np.ndarray) -> None:
        source = self._node_of[op.inputs[0]]
        affine = self._affine[source]
        a = square * affine.scale**2
        b = (2.0 * square * affine.shift + slope) * affine.scale
        c = (square * affine.shift + slope) * affine.shift + offset
        half = b / (2.0 * a)
        if half.any():
            source = self._steer(op, op.inputs[0], np.ones_like(half), half)
        self._put(op, Node(op.label, "square", (source,), op.shape), _Affine(a, c - a * half**2))

    def _function(self, op: Op) -> None:
        choice, site = self._choose(op.sites[-1]), op.sites[-1]
        if choice.kind == "square":
            zero = np.zeros(op.elements)
            self._stands[op.name] = np.square
            return self._quadratic(op, zero + 1.0, zero, zero)
        if choice.kind == "own":
            raise ConfigError(
                f"{site}: {op.function} is no polynomial (got the choice 'own'). Choose square or "
                f"polynomial{', or sign_relu,' if op.function == 'relu' else ''} for it"
            )
        low, high = self._interval(op, choice)
        polynomial = _polynomial(op, choice, (low, high))
        half, middle = (high - low) / 2.0, (high + low) / 2.0
        gain = high if polynomial.gate else 1.0  # a gate gives relu(x / high)
        self._stands[op.name] = lambda x: gain * evaluate(polynomial, (x - middle) / half)
        if len(polynomial.coefficients) == 3 and not polynomial.gate:
            return self._quadratic(op, *_monomials(polynomial, middle, half, op.elements))
        affine = self._affine[self._node_of[op.inputs[0]]]
        source = self._steer(op, op.inputs[0], affine.scale / half, (affine.shift - middle) / half)
        node = Node(op.label, "polynomial", (source,), op.shape, polynomial=polynomial)
        self._put(op, node, _Affine(np.full(op.elements, gain), np.zeros(op.elements)))
        return None

    def _interval(self, op: Op, choice: ActivationChoice) -> tuple[float, float]:
        """Where ``op`` is fitted: the range of its samples, ``margin`` times as wide."""
        site = op.sites[-1]
        if choice.margin < 1.0:
            raise ConfigError(f"{site}: margin must be at least 1 (got {choice.margin})")
        if self._samples is None:
            raise ConfigError(
                f"{site}: a polynomial for {op.function} is fitted to the values of the site, "
                "which takes calibration data (got none)"
            )
        x = self._true[op.inputs[0]]
        low, high = float(x.min()), float(x.max())
        if choice.kind == "sign_relu":
            reach = max(choice.margin * max(-low, high), _NARROWEST)
            return -reach, reach
        middle = (low + high) / 2.0
        half = max(choice.margin * (high - low) / 2.0, _NARROWEST)
        return middle - half, middle + half

    def _sum(self, op: Op) -> None:
        left, right = (self._node_of[name] for name in op.inputs)
        a, b = self._affine[left], self._affine[right]
        shift = a.shift + b.shift
        scale = a.scale
        if not np.array_equal(a.scale, b.scale):
            # One operand comes to the other's scale: the one that can for nothing, else the one
            # that has seen fewer levels.
            zero = np.zeros(op.elements)
            ratio = a.scale / b.scale
            free = (
                self._steerable(left, op, ratio, zero),
                self._steerable(right, op, 1.0 / ratio, zero),
            )
            move_left = free[0] if free[0] != free[1] else self._level[left] < self._level[right]
            if move_left:
                scale = b.scale
                left = self._steer(op, op.inputs[0], ratio, zero)
            else:
                right = self._steer(op, op.inputs[1], 1.0 / ratio, zero)
        self._put(op, Node(op.label, "add", (left, right), op.shape), _Affine(scale, shift))

    def _steer(self, op: Op, name: str, factor: np.ndarray, offset: np.ndarray) -> str:
        """A node that gives ``factor * x + offset``, x being the node of operator ``name``.

        Only ``op`` reads it: it is the old node, changed, where no other reader minds.
        """
        node = self._node_of[name]
        if self._steerable(node, op, factor, offset):
            self._change(node, op, factor, offset)
            return node
        return self._insert(f"{op.label}.scaled", node, factor, offset)

    def _steerable(self, name: str, op: Op, factor: np.ndarray, offset: np.ndarray) -> bool:
        """Whether node ``name``, which ``op`` is to read, can become ``factor * x + offset``."""
        node, owner = self._nodes[name], self._owner.get(name)
        if node.kind == "polynomial":
            return _uniform(factor) and _uniform(offset) and self._rescalable(node, op)
        if owner is not None and not self._draft.alone(owner):
            return False
        if node.kind != "add":
            return node.kind == "linear"
        zero, above = np.zeros_like(offset), self._draft.ops[self._owner[name]]
        able = [self._steerable(s, above, factor, zero) for s in node.inputs]
        if (factor == 1.0).all():
            return any(self._steerable(s, above, factor, offset) for s in node.inputs)
        takers = [self._steerable(s, above, factor, offset) for s in node.inputs]
        return all(able) and any(takers)

    def _rescalable(self, node: Node, op: Op) -> bool:
        """Whether a series can give another multiple of itself: its other readers make up for it.

        Those that are made already must be linear; those that come later read what is left over.
        """
        readers = [n for n in self._nodes.values() if node.name in n.inputs]
        others = [n for n in readers if self._owner.get(n.name) != op.name]
        plain = node.polynomial is not None and not node.polynomial.gate
        return plain and all(n.kind == "linear" for n in others)

    def _change(self, name: str, op: Op, factor: np.ndarray, offset: np.ndarray) -> None:
        """Do what :meth:`_steerable` allows."""
        node = self._nodes[name]
        if node.polynomial is not None:
            self._rescale(node, node.polynomial, op, float(factor[0]), float(offset[0]))
        elif node.linear is not None:
            matrix, bias, stride = node.linear.matrix, node.linear.bias, node.linear.stride
            if (factor != 1.0).any():
                matrix, bias = csr_array(diagonal(factor) @ matrix), factor * bias
            self._nodes[name] = replace(node, linear=Linear(matrix, bias + offset, stride))
        else:
            above, left, zero = self._draft.ops[self._owner[name]], offset, np.zeros_like(offset)
            # Linear operands first: an offset in a series is one more thing for its readers.
            for source in sorted(node.inputs, key=lambda s: self._nodes[s].kind != "linear"):
                takes = self._steerable(source, above, factor, left)
                if takes or (factor != 1.0).any():
                    self._change(source, above, factor, left if takes else zero)
                    left = zero if takes else left

    def _rescale(
        self, node: Node, polynomial: Polynomial, op: Op, factor: float, offset: float
    ) -> None:
        """A series becomes ``factor * itself + offset``, and its readers but ``op`` undo that."""
        stages = [polynomial.coefficients, *polynomial.composite]
        first, *rest = (factor * c for c in stages[-1])
        stages[-1] = (first + offset, *rest)
        changed = replace(polynomial, coefficients=stages[0], composite=tuple(stages[1:]))
        self._nodes[node.name] = replace(node, polynomial=changed)
        affine = self._affine[node.name]
        shift = affine.shift - affine.scale * (offset / factor)
        self._affine[node.name] = _Affine(affine.scale / factor, shift)
        for reader in list(self._nodes.values()):
            if node.name in reader.inputs and self._owner.get(reader.name) != op.name:
                if reader.linear is None:
                    raise RuntimeError(f"{reader.name}: not linear")
                matrix = csr_array(reader.linear.matrix / factor)
                bias = reader.linear.bias - matrix.sum(axis=1) * offset
                linear = Linear(matrix, bias, reader.linear.stride)
                self._nodes[reader.name] = replace(reader, linear=linear)

    def _insert(self, name: str, source: str, factor: np.ndarray, offset: np.ndarray) -> str:
        """A diagonal map ``factor * source + offset``, for one reader."""
        name = self._free(name)
        linear = Linear(diagonal(factor), np.array(offset, dtype=np.float64))
        shape = self._nodes[source].shape
        self._nodes[name] = Node(name, "linear", (source,), shape, linear)
        self._level[name] = self._level[source] + 1
        return name

    def _free(self, name: str) -> str:
        """``name``, with a number behind it if it is taken."""
        number, free = 1, name
        while free in self._nodes:
            number += 1
            free = f"{name}.{number}"
        return free

    def _follow(self, op: Op) -> None:
        """The true values of ``op`` on the samples; those that nothing reads later are dropped."""
        operands = [self._true[name] for name in op.inputs]
        if op.kind == "input":
            if self._samples is None:
                return
            value = self._samples
        elif op.kind == "linear":
            matrix, bias = op.linear
            value = np.asarray((matrix @ operands[0].T).T + bias)
        elif op.kind == "add":
            value = operands[0] + operands[1]
        elif op.kind == "quadratic":
            square, slope, offset = op.quadratic
            value = (square * operands[0] + slope) * operands[0] + offset
        else:
            value = self._stands[op.name](operands[0])
        _check_finite(op.label, value)
        self._true[op.name] = value
        for name in op.inputs:
            if self._last[name] == op.name:
                self._true.pop(name, None)


def _polynomial(op: Op, choice: ActivationChoice, interval: tuple[float, float]) -> Polynomial:
    if choice.kind == "sign_relu":
        if op.function != "relu":
            raise ConfigError(f"{op.sites[-1]}: sign_relu stands for relu (got {op.function})")
        return sign_relu(choice.degree)
    coefficients = fit(op.function, choice.degree, interval)
    while len(coefficients) > 1 and coefficients[-1] == 0.0:
        coefficients = coefficients[:-1]  # a level less where symmetry makes the last one zero
    return Polynomial(coefficients, op.function)


def _monomials(
    polynomial: Polynomial, middle: float, half: float, elements: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A series of degree 2 in ``t = (x - middle) / half`` as ``(square, slope, offset)`` of x."""
    c0, c1, c2 = polynomial.coefficients
    ones = np.ones(elements)
    square = 2.0 * c2 / half**2
    slope = c1 / half - 2.0 * square * middle
    return square * ones, slope * ones, (c0 - c2 - c1 * middle / half + square * middle**2) * ones


def _uniform(values: np.ndarray) -> bool:
    return bool((values == values[0]).all())


def _check_finite(site: str, values: np.ndarray | float) -> None:
    if not np.isfinite(values).all():
        raise EvaluationError(
            f"{site}: NaN or infinite on calibration data: its training diverged, or a polynomial "
            "before it was driven beyond its interval"
        )
