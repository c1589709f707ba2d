"""A small packed network made by hand: plain diagonals, dense matrices, one ciphertext."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.sparse import csr_array

from evaluators.fhe.graph import Graph, Linear, Node
from evaluators.fhe.packed import Layout, PackedLinear, PackedNetwork, Term
from spaces.ckks.params import Chain, CkksParams
from spaces.ckks.primes import primes_of


@dataclass(frozen=True)
class Level:
    limbs_in: int
    limbs_out: int
    scale_in: float
    scale_out: float
    weight_scale: float = 1.0


@dataclass(frozen=True)
class Hand:
    """A packed network with what belongs to it."""

    packed: PackedNetwork
    params: CkksParams
    levels: dict[str, Level]
    plain: Callable[[np.ndarray], np.ndarray]
    inputs: np.ndarray

    def replace(self, **changes: object) -> "Hand":
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]


def _row(elements: int, slots: int, period: int) -> Layout:
    return Layout(np.arange(elements), period, 1, "rows")


def _linear(
    name: str, matrix: np.ndarray, bias: np.ndarray, slots: int, *, early: bool, baby: int = 4
) -> PackedLinear:
    """Diagonals of a matrix padded to a square of side m that divides the slots; fold: none."""
    outputs, inputs = matrix.shape
    m = 1 << (max(outputs, inputs) - 1).bit_length()
    padded = np.zeros((m, m))
    padded[:outputs, :inputs] = matrix
    rows = np.arange(slots) % m
    terms, diagonals = [], []
    for k in range(m):
        giant = k // baby * baby
        diagonal = padded[rows, (rows + k) % m]
        terms.append(Term(0, 0, k - giant, giant))
        diagonals.append(np.roll(diagonal, giant))
    row = np.zeros(slots)
    row[:outputs] = bias
    return PackedLinear(
        name,
        _row(inputs, slots, m),
        _row(outputs, slots, m),
        tuple(terms),
        (),
        early,
        lambda i: diagonals[i],
        lambda: np.tile(row[:m], slots // m)[None],
    )


def make_hand(
    log_n: int = 12,
    widths: Sequence[int] = (16, 8, 4),
    chain: Chain | None = None,
    scale: int = 25,
    early: bool = False,
    residual: bool = False,
    n: int = 3,
) -> Hand:
    """widths[0] -> linear -> square -> linear -> square ... -> linear; all with real weights."""
    rng = np.random.default_rng(0)
    depth = 2 * (len(widths) - 1) - 1
    chain = chain or Chain(scale + 5, (scale,) * depth, (min(60, scale + 17),))
    params = CkksParams(log_n, chain, scale)
    slots = params.slots
    primes = primes_of(chain, log_n)[: chain.limbs]
    period = 1 << (max(widths) - 1).bit_length()
    one = float(2**scale)
    nodes = [Node("x", "input", (), (widths[0],))]
    levels = {"x": Level(depth + 1, depth + 1, one, one)}
    linears, layouts = {}, {"x": _row(widths[0], slots, period)}
    steps: list[Callable[[np.ndarray], np.ndarray]] = []
    limbs, last, value_scale = depth + 1, "x", one
    for i, (a, b) in enumerate(zip(widths, widths[1:], strict=False)):
        matrix = np.zeros((period, period))
        matrix[:b, :a] = rng.normal(size=(b, a)) / np.sqrt(a)
        bias = np.zeros(period)
        bias[:b] = rng.normal(size=b)
        name = f"fc{i}"
        linears[name] = _linear(name, matrix, bias, slots, early=early)
        layouts[name] = _row(b, slots, period)
        linear = Linear(csr_array(matrix[:b, :a]), bias[:b])
        nodes.append(Node(name, "linear", (last,), (b,), linear=linear))
        dropped = primes[limbs - 1]
        levels[name] = Level(limbs, limbs - 1, value_scale, one, one * dropped / value_scale)
        limbs, last, value_scale = limbs - 1, name, one
        steps.append(lambda v, m=matrix[:b, :a], c=bias[:b]: v @ m.T + c)
        if i + 2 < len(widths):
            name = f"act{i}"
            nodes.append(Node(name, "square", (last,), (b,)))
            layouts[name] = layouts[last]
            dropped = primes[limbs - 1]
            levels[name] = Level(limbs, limbs - 1, one, one * one / dropped)
            limbs, last, value_scale = limbs - 1, name, one * one / dropped
            steps.append(np.square)
    if residual:
        nodes.append(Node("twice", "add", (last, last), (widths[-1],)))
        layouts["twice"] = layouts[last]
        levels["twice"] = Level(limbs, limbs, one, one)
        steps.append(lambda v: 2 * v)

    def encode(x: np.ndarray) -> np.ndarray:
        return np.tile(np.pad(x, (0, period - len(x))), slots // period)[None]

    def plain(x: np.ndarray) -> np.ndarray:
        for step in steps:
            x = step(x)
        return x

    packed = PackedNetwork(
        Graph(tuple(nodes), {}), slots, layouts, linears, encode, lambda y: y[0, : widths[-1]]
    )
    return Hand(packed, params, levels, plain, rng.uniform(-1, 1, size=(n, widths[0])))


@pytest.fixture(scope="session")
def hand() -> Hand:
    return make_hand()


@pytest.fixture(scope="session")
def hands() -> Callable[..., Hand]:
    return make_hand
