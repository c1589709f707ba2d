"""What must fit into the modulus: coefficients of polynomials, and not the numbers in their slots.

A ciphertext holds a polynomial modulo q, and decryption is right if every coefficient of it is less
than q / 2. A coefficient is a mean of the slots with signs and phases, so it is no larger than the
largest slot, and much smaller where slots differ: ten results among thousands of slots of partial
sums leave coefficients of a hundredth of the largest result. Only what the client decrypts must
fit. In between values may wrap around: sums, products and rescaling are right modulo q, whatever
multiple of q stands beside them.
Source: Cheon, Kim, Kim, Song, Homomorphic Encryption for Arithmetic of Approximate Numbers
(ASIACRYPT 2017), section 3.2 (canonical embedding) and 3.3 (rescaling).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evaluators.fhe import reference
from evaluators.fhe.input_packing import contents
from evaluators.fhe.slot_run import run_linear

if TYPE_CHECKING:
    from evaluators.fhe.graph import Graph, Node
    from evaluators.fhe.packed import PackedNetwork

MARGIN = 1.5
"""By how much coefficients of further inputs may exceed those of calibration: 0.6 bit. Largest
ratio seen between 1,000 validation images and 256 of calibration: 1.22 (two networks)."""
_INPUTS = 16  # of the largest, by each of two norms: the others have smaller coefficients


def coefficients(slots: np.ndarray) -> np.ndarray:
    """Coefficients ``[..., 2 s]`` of the polynomials with real values ``[..., s]`` in their slots.

    The inverse of the canonical embedding: slot j is the value at the root ``zeta^(3^j)`` of
    ``X^N + 1``, N = 2 s. Source: as above, and ``seal/ckks.h`` for the order of slots (there the
    powers of 3, as here).
    """
    n = 2 * slots.shape[-1]
    powers = _powers_of_three(n)
    values = np.zeros((*slots.shape[:-1], 2 * n))
    values[..., powers] = slots
    values[..., 2 * n - powers] = slots  # the conjugate root; slots are real
    return np.asarray(np.fft.fft(values, axis=-1)[..., :n].real / n)


def largest_coefficient(packed: PackedNetwork, x: np.ndarray) -> float:
    """Largest absolute coefficient of what the client decrypts, for inputs ``[n, elements]``.

    Those inputs count that have the largest results, or the largest values before the last node.
    Infinite where a result is (a polynomial far outside its interval).

    Raises:
        EvaluationError: the inputs have another number of elements.
    """
    node = packed.graph.nodes[-1]
    values = reference.values(packed.graph, x)
    largest = 0.0
    for row in _telling(packed.graph, values):
        own = {name: value[row] for name, value in values.items()}
        with np.errstate(over="ignore", invalid="ignore"):
            slots = _slots(packed, node, own)
        if not np.isfinite(slots).all():
            return float("inf")
        largest = max(largest, float(np.abs(coefficients(slots)).max()))
    return largest


def telling(graph: Graph, x: np.ndarray) -> np.ndarray:
    """Those of the inputs ``[n, elements]`` that :func:`largest_coefficient` looks at.

    They follow from the network alone, not from its layout: who tries many layouts finds them once.

    Raises:
        EvaluationError: the inputs have another number of elements.
    """
    return np.asarray(x[_telling(graph, reference.values(graph, x))])


def _telling(graph: Graph, values: dict[str, np.ndarray]) -> list[int]:
    node = graph.nodes[-1]
    chosen: set[int] = set()
    for name in (node.name, *node.inputs):
        with np.errstate(over="ignore", invalid="ignore"):
            norms = np.linalg.norm(values[name], axis=1)
        norms = np.nan_to_num(norms, nan=np.inf)
        chosen.update(np.argsort(-norms)[:_INPUTS].tolist())
    return sorted(chosen)


def largest_of_bias(packed: PackedNetwork, node: str) -> float:
    """Largest absolute coefficient of the bias of a linear node, as it is encoded."""
    bias = packed.linears[node].bias()
    return float(np.abs(coefficients(bias)).max(initial=0.0)) if bias.any() else 0.0


def _slots(packed: PackedNetwork, node: Node, values: dict[str, np.ndarray]) -> np.ndarray:
    """``[ciphertexts, slots]`` of the result of ``node``, partial sums in unused slots included.

    Linear maps read no slot but those of their input's elements (diagonals are zero elsewhere), so
    what an earlier one left in unused slots does not matter.
    """
    graph: Graph = packed.graph
    if node.kind == "input":
        return np.asarray(packed.encode_input(values[node.name]))
    sources = [next(n for n in graph.nodes if n.name == name) for name in node.inputs]
    if node.kind == "linear":
        if sources[0].kind == "input":
            held = packed.encode_input(values[sources[0].name])
        else:
            elements = np.append(values[sources[0].name], 0.0)
            held = elements[contents(packed.layouts[sources[0].name], packed.slots)]
        return run_linear(packed.linears[node.name], held)
    given = [_slots(packed, source, values) for source in sources]
    if node.kind == "square":
        return np.asarray(given[0] ** 2)
    if node.kind == "add":
        return np.asarray(given[0] + given[1])
    return reference.evaluate(node.polynomial, given[0])  # type: ignore[arg-type]


def _powers_of_three(n: int) -> np.ndarray:
    found = np.empty(n // 2, dtype=np.int64)
    power = 1
    for slot in range(n // 2):
        found[slot] = power
        power = power * 3 % (2 * n)
    return found
