"""A tiny trained network with squares, the context of a trial, and graphs built by hand."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from torch import nn

from evaluators.fhe.graph import Graph, Linear, Node, Polynomial
from evaluators.fhe.packed import PackedNetwork
from evaluators.fhe.reference import run
from evaluators.fhe.slot_run import simulate_slots
from search.api.candidate import Candidate
from search.api.network import Site
from search.workloads.canonical import canonicalise
from search.workloads.data.splits import Split, Splits
from search.workloads.plan import save_weights
from search.workloads.sites import trace_sites
from search.workloads.square import Square
from spaces.ckks.params import Chain, CkksParams

SHAPE = (1, 6, 6)


def split(n: int, seed: int) -> Split:
    x = torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(seed)) - 0.5
    return Split(x, (x.sum(dim=(1, 2, 3)) > 0).long())


@dataclass
class SmallSquares:
    """A convolution and two linear layers, five levels, for images of 6x6."""

    name: str = "small_squares"
    digest: str = "0123456789abcdef"
    input_shape: tuple[int, int, int] = SHAPE
    data: Splits = field(
        default_factory=lambda: Splits(
            split(20, 0), split(16, 1), split(4, 2), 3, SHAPE, "signs", "0" * 16, (0.0,), (1.0,)
        )
    )

    def build(self, seed: int) -> nn.Module:
        torch.manual_seed(seed)
        network = nn.Sequential(
            nn.Conv2d(1, 3, 3), Square(), nn.Flatten(), nn.Linear(48, 8), Square(), nn.Linear(8, 3)
        )
        return canonicalise(network, SHAPE)

    def sites(self) -> tuple[Site, ...]:
        return trace_sites(self.build(0), SHAPE)  # type: ignore[arg-type]


@dataclass
class Here:
    """The context of a trial that keeps its notes."""

    seed: int = 0
    workdir: Path = Path()
    device: str = "cpu"
    notes: dict[str, Any] = field(default_factory=dict)
    stop: bool = False

    def report(self, step: int, **values: float) -> None: ...

    def note(self, name: str, value: object) -> None:
        self.notes[name] = value

    def should_stop(self) -> bool:
        return self.stop


@pytest.fixture(scope="session")
def small_squares() -> SmallSquares:
    return SmallSquares()


@pytest.fixture
def here() -> Here:
    return Here()


@pytest.fixture(scope="session")
def squares_candidate(
    small_squares: SmallSquares, tmp_path_factory: pytest.TempPathFactory
) -> Candidate[CkksParams]:
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    save_weights(small_squares.build(5), path)
    return Candidate("ckks", CkksParams(12, Chain(35, (26,) * 5, (48,)), 26), path)


Shape = tuple[int, ...]
Layer = tuple[str] | tuple[str, int] | tuple[str, int, int, int, int]


def dense(rng: np.random.Generator, outputs: int, inputs: int) -> Linear:
    """A linear layer with random weights."""
    weights = rng.standard_normal((outputs, inputs)) / np.sqrt(inputs)
    return Linear(csr_array(weights), rng.standard_normal(outputs) * 0.1)


def convolution(
    rng: np.random.Generator, shape: Shape, channels: int, kernel: int, stride: int, padding: int
) -> tuple[Linear, Shape]:
    """A convolution with random weights, and the shape of its result."""
    c, h, w = shape
    tall, wide = ((side + 2 * padding - kernel) // stride + 1 for side in (h, w))
    whole = (channels, tall, wide, c, kernel, kernel)
    co, y, x, ci, a, b = (v.reshape(-1) for v in np.indices(whole))
    weights = rng.standard_normal((channels, c, kernel, kernel)) / np.sqrt(c * kernel**2)
    row, column = y * stride + a - padding, x * stride + b - padding
    ok = (row >= 0) & (row < h) & (column >= 0) & (column < w)
    outputs, inputs = (co * tall + y) * wide + x, (ci * h + row) * w + column
    matrix = csr_array(
        (weights[co, ci, a, b][ok], (outputs[ok], inputs[ok])),
        shape=(channels * tall * wide, c * h * w),
    )
    bias = np.repeat(rng.standard_normal(channels) * 0.1, tall * wide)
    return Linear(matrix, bias, stride), (channels, tall, wide)


def chain(shape: Shape, *layers: Layer, seed: int = 0) -> Graph:
    """Layers one after another: fc (outputs), conv (channels, kernel, stride, padding), square,
    polynomial (degree)."""
    rng = np.random.default_rng(seed)
    nodes = [Node("input", "input", (), shape)]
    for number, layer in enumerate(layers, 1):
        before, name, options = nodes[-1].name, f"{layer[0]}{number}", layer[1:]
        if layer[0] == "fc":
            linear = dense(rng, options[0], prod(shape))
            shape = (options[0],)
            nodes.append(Node(name, "linear", (before,), shape, linear))
        elif layer[0] == "conv":
            linear, shape = convolution(rng, shape, *options)
            nodes.append(Node(name, "linear", (before,), shape, linear))
        elif layer[0] == "square":
            nodes.append(Node(name, "square", (before,), shape))
        else:
            polynomial = Polynomial(tuple(0.5 ** np.arange(1, options[0] + 2)))
            nodes.append(Node(name, "polynomial", (before,), shape, polynomial=polynomial))
    return Graph(tuple(nodes), {})


def residual(size: int = 8, widths: tuple[int, int] = (2, 4), seed: int = 0) -> Graph:
    """A stem, a block with an identity shortcut, and one with a strided shortcut."""
    rng = np.random.default_rng(seed)
    shape: Shape = (3, size, size)
    nodes = [Node("input", "input", (), shape)]

    def linear(name: str, source: str, given: Shape, *options: int) -> Shape:
        found, made = convolution(rng, given, *options)
        nodes.append(Node(name, "linear", (source,), made, found))
        return made

    shape = linear("stem", "input", shape, widths[0], 3, 1, 1)
    nodes.append(Node("act0", "square", ("stem",), shape))
    linear("a1", "act0", shape, widths[0], 3, 1, 1)
    nodes.append(Node("act1", "square", ("a1",), shape))
    linear("a2", "act1", shape, widths[0], 3, 1, 1)
    nodes.append(Node("add1", "add", ("a2", "act0"), shape))
    nodes.append(Node("act2", "square", ("add1",), shape))
    small = linear("b1", "act2", shape, widths[1], 3, 2, 1)
    nodes.append(Node("act3", "square", ("b1",), small))
    linear("b2", "act3", small, widths[1], 3, 1, 1)
    linear("short", "act2", shape, widths[1], 1, 2, 0)
    nodes.append(Node("add2", "add", ("short", "b2"), small))
    nodes.append(Node("act4", "square", ("add2",), small))
    nodes.append(Node("fc", "linear", ("act4",), (10,), dense(rng, 10, prod(small))))
    return Graph(tuple(nodes), {})


class Networks:
    """Builders of graphs, and the networks of Orion's sizes for images of 28 x 28."""

    chain = staticmethod(chain)
    residual = staticmethod(residual)
    convolution = staticmethod(convolution)

    def mlp(self) -> Graph:
        """784-128-128-10."""
        return chain((1, 28, 28), ("fc", 128), ("square",), ("fc", 128), ("square",), ("fc", 10))

    def lola(self) -> Graph:
        """A convolution of 5 channels, 2 x 2, stride 2; 100; 10."""
        return chain(
            (1, 28, 28), ("conv", 5, 2, 2, 0), ("square",), ("fc", 100), ("square",), ("fc", 10)
        )

    @staticmethod
    @cache
    def lenet() -> Graph:
        """Two convolutions of 32 and 64 channels, 5 x 5, stride 2; 512; 10."""
        return chain(
            (1, 28, 28), ("conv", 32, 5, 2, 2), ("square",), ("conv", 64, 5, 2, 2), ("square",),
            ("fc", 512), ("square",), ("fc", 10),
        )  # fmt: skip


@pytest.fixture(scope="session")
def networks() -> Networks:
    """Graphs built by hand: what tracing gives, without tracing."""
    return Networks()


@pytest.fixture(scope="session")
def agree() -> Callable[[PackedNetwork], None]:
    """A check: the packed network gives on random inputs what its graph gives."""

    def check(packed: PackedNetwork) -> None:
        x = np.random.default_rng(1).random(prod(packed.graph.nodes[0].shape))
        expected = run(packed.graph, x[None, :])[0]
        found = simulate_slots(packed, x)
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9 * abs(expected).max())

    return check
