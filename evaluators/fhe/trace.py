"""From a trained network to the graph that encrypted inference runs.

Three steps: the network's operators are read (:mod:`evaluators.lowered`), linear ones as sparse
matrices (:mod:`.matrices`); neighbours are multiplied (:mod:`.fuse`); squares are completed and
functions replaced by polynomials (:mod:`.complete`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_array

from evaluators.fhe import matrices
from evaluators.fhe.chebyshev import FUNCTIONS
from evaluators.fhe.complete import complete
from evaluators.fhe.draft import INPUT, Draft, Op
from evaluators.fhe.fuse import fuse
from evaluators.fhe.graph import Graph
from search.api.errors import EvaluationError
from spaces.ckks.params import ActivationChoice

if TYPE_CHECKING:
    from torch import nn

    from evaluators.lowered.program import Program, Step

Choose = Callable[[str], ActivationChoice]
Tensors = Mapping[str, np.ndarray]


def graph_of(
    network: nn.Module,
    input_shape: tuple[int, ...],
    activations: Choose = ActivationChoice,
    calibration: np.ndarray | None = None,
) -> Graph:
    """``network`` as linear maps, squares, polynomials and additions.

    Args:
        network: maps ``[n, *input_shape]`` to ``[n, outputs]``; in evaluation mode.
        input_shape: of one sample.
        activations: site -> what stands there; by default the network's own.
        calibration: ``[n, *input_shape]`` or ``[n, elements]``: fits polynomials to the values
            that sites see, and gives the graph its ranges.

    Raises:
        EvaluationError: an operator or an activation has no encrypted form; names the site.
        ConfigError: the network cannot be traced, or a choice does not fit its site.
    """
    draft = draft_of(network, input_shape)
    fuse(draft)
    samples = None
    if calibration is not None:
        samples = np.asarray(calibration, dtype=np.float64).reshape(len(calibration), -1)
    return complete(draft, activations, samples)


def draft_of(network: nn.Module, input_shape: tuple[int, ...]) -> Draft:
    """Every operator of ``network`` in execution order, nothing fused but batch normalisation.

    Raises:
        EvaluationError, ConfigError: as :func:`graph_of`.
    """
    import torch

    from evaluators.lowered.lower import lower

    program = lower(network, input_shape, functions=frozenset(FUNCTIONS), dtype=torch.float64)
    return _Reading(program).draft()


class _Reading:
    """Turns the steps of a program into operators, one after another."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._ops = {INPUT: Op(INPUT, "input", (), program.input_shape, label=INPUT)}
        self._value = {"x": INPUT}
        self._shape: dict[str, tuple[int, ...]] = {"x": program.input_shape}

    def draft(self) -> Draft:
        for step in self._program.steps:
            self._step(step)
        return Draft(self._ops, self._value[self._program.output])

    def _step(self, step: Step) -> None:
        shapes = [self._shape[name] for name in step.inputs]
        tensors = self._tensors(step)
        if step.operator in ("flatten", "reshape", "identity"):
            count = math.prod(shapes[0])
            shape = tuple(step.attributes.get("shape", shapes[0]))
            self._value[step.output] = self._value[step.inputs[0]]
            self._shape[step.output] = (count,) if step.operator == "flatten" else shape
        elif step.operator == "cat":
            self._cat(step, shapes)
        elif step.operator == "add":
            self._keep(step, Op("", "add", (), shapes[0]))
        elif step.operator == "x2act" or step.operator.startswith("poly"):
            self._keep(step, _polynomial(step, shapes[0], tensors))
        elif step.operator in FUNCTIONS:
            self._keep(step, Op("", "function", (), shapes[0], function=step.operator))
        else:
            self._keep(step, _linear(step, shapes[0], tensors))

    def _keep(self, step: Step, op: Op) -> None:
        op.name, op.label, op.sites = step.output, step.site, (step.site,)
        op.inputs = tuple(self._value[name] for name in step.inputs)
        self._ops[op.name] = op
        self._value[step.output] = op.name
        self._shape[step.output] = op.shape

    def _cat(self, step: Step, shapes: list[tuple[int, ...]]) -> None:
        """The sum of its parts, each moved to its place."""
        axis = int(step.attributes["axis"])
        along = axis if axis < 0 else axis - 1
        shape = list(shapes[0])
        shape[along] = sum(s[along] for s in shapes)
        total = ""
        for number, matrix in enumerate(matrices.joined(shapes, along)):
            name = f"{step.output}:{number}"
            part = _moving(matrix, tuple(shape))
            part.name, part.label = name, f"{step.site}.part{number + 1}"
            part.inputs = (self._value[step.inputs[number]],)
            part.sites = (step.site,) if number == 0 else ()
            self._ops[name] = part
            if total:
                label = f"{step.site}.sum{number}"
                name = f"{name}:sum"
                self._ops[name] = Op(name, "add", (total, part.name), tuple(shape), label=label)
            total = name
        self._value[step.output], self._shape[step.output] = total, tuple(shape)

    def _tensors(self, step: Step) -> dict[str, np.ndarray]:
        """Role -> tensor of the step, private ones too."""
        stem = f"{step.output}:"
        program = self._program
        return {
            key.removeprefix(stem): tensor.double().numpy()
            for part in (program.private, program.public)
            for key, tensor in part.items()
            if key.startswith(stem)
        }


def _linear(step: Step, shape: tuple[int, ...], tensors: Tensors) -> Op:
    attributes: Any = step.attributes
    if step.operator == "conv":
        weight = tensors["weight"]
        matrix = matrices.convolution(weight, shape, attributes)
        sides = _sides(shape[1:], weight.shape[2:], attributes)
        bias = np.repeat(tensors["bias"], math.prod(sides))
        strides = attributes["stride"]
        return Op("", "linear", (), (len(weight), *sides), matrix, bias, max(strides), True)
    if step.operator == "linear":
        matrix = csr_array(tensors["weight"].T)
        return Op("", "linear", (), (matrix.shape[0],), matrix, tensors["bias"], 1, True)
    if step.operator == "affine":
        factor, shift = (_spread(tensors[role], shape) for role in ("factor", "shift"))
        return Op("", "linear", (), shape, matrices.diagonal(factor), shift)
    if step.operator in ("avgpool", "globalavgpool"):
        matrix = matrices.average(shape, attributes)
        sides = (len(attributes["rows"]), len(attributes["columns"]))
        after = (shape[0],) if attributes["squeeze"] else (shape[0], *sides)
        stride = 1 if step.operator == "globalavgpool" else max(1, shape[1] // sides[0])
        return _moving(matrix, after, stride)
    if step.operator == "slice":
        batch, *parts = attributes["slices"]
        if list(batch) != [None, None, None]:
            raise EvaluationError(f"{step.site}: samples of a batch cannot be picked")
        index = np.empty(shape)[tuple(slice(*part) for part in parts)]
        steps = [abs(part[2] or 1) for part in parts]
        return _moving(matrices.slices(shape, parts), index.shape, max(steps, default=1))
    if step.operator == "pad":
        sides = attributes["sides"]
        added = [sides[i] + sides[i + 1] for i in range(0, len(sides), 2)][::-1]
        after = tuple(
            n + a for n, a in zip(shape, [0] * (len(shape) - len(added)) + added, strict=True)
        )
        return _moving(matrices.padded(shape, sides), after)
    hint = " Use an average pool" if step.operator == "maxpool" else ""
    raise EvaluationError(
        f"{step.site}: {step.operator} has no encrypted form (known: convolutions, linear layers, "
        f"batch normalisation, average pools, additions, data movement, polynomials, and "
        f"{', '.join(FUNCTIONS)} by polynomials).{hint}"
    )


def _moving(matrix: Any, shape: tuple[int, ...], stride: int = 1) -> Op:
    """A linear operator without weights."""
    return Op("", "linear", (), shape, matrix, np.zeros(matrix.shape[0]), stride)


def _polynomial(step: Step, shape: tuple[int, ...], tensors: Tensors) -> Op:
    """A polynomial of degree 1 or 2 per element. Its form may have normalised inputs."""
    c = tensors["c"]
    degree = len(c) - 1
    rows = [_spread(row, shape) for row in c]
    scale = _spread(tensors.get("scale", np.ones(1)), shape)
    mean = _spread(tensors.get("mean", np.zeros(1)), shape)
    if degree > 2:
        raise EvaluationError(
            f"{step.site}: a polynomial of degree {degree} with coefficients of its own per "
            "channel has no encrypted form here (known: degree 1 and 2)"
        )
    c0, c1, c2 = (*rows, np.zeros_like(rows[0]))[:3]
    square = c2 * scale**2
    slope = c1 * scale - 2.0 * c2 * scale**2 * mean
    offset = c0 - c1 * scale * mean + c2 * (scale * mean) ** 2
    if not square.any():
        return Op("", "linear", (), shape, matrices.diagonal(slope), offset)
    if not square.all():
        raise EvaluationError(
            f"{step.site}: the quadratic coefficient is zero in {int((square == 0).sum())} of "
            f"{square.size} elements, but not in all: no square can be completed"
        )
    return Op("", "quadratic", (), shape, square=square, slope=slope, offset=offset)


def _spread(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """One value per element of values per channel (``[..., C, 1, 1]``) or for all channels."""
    flat = np.asarray(values, dtype=np.float64).reshape(-1)
    if flat.size not in (1, shape[0]):
        return np.array(np.broadcast_to(flat, (math.prod(shape),)))
    return np.array(
        np.broadcast_to(flat.reshape(-1, *[1] * (len(shape) - 1)), shape), dtype=np.float64
    ).reshape(-1)


def _sides(sizes: tuple[int, ...], kernel: tuple[int, ...], attributes: Any) -> tuple[int, ...]:
    entries = zip(
        sizes, kernel, attributes["stride"], attributes["padding"], attributes["dilation"],
        strict=True,
    )  # fmt: skip
    return tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in entries)
