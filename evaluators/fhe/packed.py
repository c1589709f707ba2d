"""A network laid out in slots: which rotations, diagonals and sums each linear map needs.

It depends on the number of slots and the choices of packing, not on the modulus chain: one packed
network serves every chain.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from evaluators.fhe.graph import Graph


@dataclass(frozen=True)
class Layout:
    """Where the elements of a tensor stand.

    Args:
        slots: ``[elements]``, position of each element; position // slots of a ciphertext is the
            ciphertext it stands in.
        period: the content of a ciphertext repeats with this period (a power of two that divides
            the slots; equal to the slots if nothing repeats).
        ciphertexts: how many there are.
        name: for people, such as ``rows``, ``phases 2``.
    """

    slots: np.ndarray
    period: int
    ciphertexts: int
    name: str


@dataclass(frozen=True)
class Term:
    """One product of a diagonal with a rotated ciphertext.

    The result ``o`` is ``sum over giant g of rot(sum of terms with that g, g)``, each term being
    ``diagonal * rot(input i, baby)``; rot(x, k)[j] = x[j + k].
    """

    source: int
    result: int
    baby: int
    giant: int


@dataclass(frozen=True)
class PackedLinear:
    """A linear map on packed ciphertexts.

    Args:
        name: of the graph's node.
        source, result: layouts of input and output.
        terms: every product.
        folds: rotations of the rotate-and-add steps at the end; the same for all results.
        early: whether inner sums are rescaled before their giant rotation, one limb cheaper.
        diagonal: index of a term -> its diagonal ``[slots]`` (already rotated back by its giant
            step), made on demand: all of them at once may not fit into memory.
        bias: ``[result ciphertexts, slots]``.
        fold_first: whether folds come before rescaling: with one limb more, but each fold doubles
            the noise of what is folded, and before rescaling there is hardly any.
        period: slots after which diagonals repeat; 0 if not known.

    Raises:
        ValueError: both ``early`` and ``fold_first``: what is rescaled cannot be folded before.
    """

    name: str
    source: Layout
    result: Layout
    terms: tuple[Term, ...]
    folds: tuple[int, ...]
    early: bool
    diagonal: Callable[[int], np.ndarray]
    bias: Callable[[], np.ndarray]
    fold_first: bool = False
    period: int = 0

    def __post_init__(self) -> None:
        if self.early and self.fold_first:
            raise ValueError(
                f"{self.name}: folds cannot come before a rescaling that comes before giant steps "
                "(got early and fold_first; expected one of them at most)"
            )

    @property
    def babies(self) -> frozenset[tuple[int, int]]:
        """(input ciphertext, rotation) of every rotation before products; 0 is none."""
        return frozenset((t.source, t.baby) for t in self.terms if t.baby)

    @property
    def giants(self) -> frozenset[tuple[int, int]]:
        """(result ciphertext, rotation) of every rotation of inner sums; 0 is none."""
        return frozenset((t.result, t.giant) for t in self.terms if t.giant)

    @property
    def rotations(self) -> int:
        """Rotations in all: baby steps, giant steps and folds."""
        return len(self.babies) + len(self.giants) + len(self.folds) * self.result.ciphertexts


@dataclass(frozen=True)
class PackedNetwork:
    """A graph in slots.

    Args:
        graph: what is evaluated.
        slots: numbers in one ciphertext.
        layouts: node -> layout of its result (that of the input: as the client sends it).
        linears: node of kind ``linear`` -> how it is evaluated.
        encode_input: flattened input ``[elements]`` -> ``[input ciphertexts, slots]``.
        decode_output: ``[output ciphertexts, slots]`` -> ``[outputs]``.
    """

    graph: Graph
    slots: int
    layouts: Mapping[str, Layout]
    linears: Mapping[str, PackedLinear]
    encode_input: Callable[[np.ndarray], np.ndarray]
    decode_output: Callable[[np.ndarray], np.ndarray]
