"""Closed forms: traffic of protocols whose messages are known from their construction.

``l`` is the width of the ring (or of the prime field) in bits; ``lam`` the computational security
in bits. Bytes are online and count both directions.
"""

from __future__ import annotations

import math

from evaluators.linear import Rate
from evaluators.mpc.flows import Flow, Flows, levels, tree_of_relus


def crypten(l: int, fraction_bits: int = 16) -> Flows:  # noqa: E741
    """CrypTen with two parties and triples from a dealer (its trusted first party).

    - ReLU: ``l/2 (2 log2 l + 2) + l/4`` bytes in ``log2 l + 3`` hops. That is an adder of
      ``2 log2 l + 1`` ANDs on whole words (each opens two words both ways: ``l/2`` bytes), one bit
      converted to an arithmetic share (``l/4``), and the product with the sign (``l/2``).
    - A comparison of ``b`` bits has words of ``b`` bits in its adder. That is a model: CrypTen
      itself always sends words of 64 bits.
    - square: one opened value, ``l/4``; product: two, ``l/2``; one hop. Truncation is local with
      two parties.
    - convolution, linear and a batch norm that stands alone: input and weights are opened once,
      ``l/4`` bytes each, one hop.
    - max pool: see :func:`crypten_argmax`.

    Source: counted on CrypTen 0.4.1 (its communication statistics); formulas derived from its
    algorithms.
    """
    word = l / 8

    def relu(bits: int) -> Flow:
        adder = bits / 2 * (2 * levels(bits) + 1)
        return Flow(Rate(element=adder + 2 * word + 4 * word), levels(bits) + 3)

    def pool(window: int) -> Flow:
        return crypten_argmax(l, window, fraction_bits)

    opened = Rate(element=2 * word, weight=2 * word)
    operators = {
        "relu": relu(l),
        "square": Flow(Rate(element=2 * word), 1),
        "product": Flow(Rate(element=4 * word), 1),
        "scale": Flow(),
        "affine": Flow(opened, 1),
        "conv": Flow(opened, 1),
        "linear": Flow(opened, 1),
        "avgpool": Flow(),
        "globalavgpool": Flow(),
        "add": Flow(),
    }
    return Flows(operators, pool, relu)


def crypten_argmax(l: int, window: int, fraction_bits: int = 16) -> Flow:  # noqa: E741
    """CrypTen's own max pool: an argmax over the ``window`` elements of each output.

    ``floor(ln window)`` steps halve the window by a comparison and a selection; the rest is
    compared all pairs at once; equality with the maximum and two draws among ties follow. At
    l = 64: 5920 B and 46 hops for a window of 4, 13,392 B and 57 hops for one of 9.

    Source: derived from CrypTen 0.4.1; equal to its counted traffic for windows of 4, 9, 16, 36
    and 144 elements.
    """
    word, depth = l / 8, levels(l)
    less = l / 2 * (2 * depth + 1) + 2 * word
    equal = l / 2 * depth + 2 * word
    less_hops, equal_hops = depth + 2, depth + 1

    def draw(n: int) -> float:
        return less * n + 4 * word + 2 * word * fraction_bits

    draw_hops = less_hops + 2
    steps, left, total = int(math.log(window)), window, 0.0
    for _ in range(steps):
        total += (left // 2) * (less + 8 * word)
        left -= left // 2
    factors = left - 1
    total += less * left * factors + 4 * word * left * max(0, factors - 1)
    total += draw(left) + 4 * word * left + equal * window + draw(window)
    hops = steps * (less_hops + 2) + less_hops + levels(factors) + 1 + equal_hops + 2 * draw_hops
    return Flow(Rate(output=total), hops)


def cryptflow2_ring(l: int, lam: int = 128) -> Flows:  # noqa: E741
    """CrypTFlow2 in a ring, oblivious transfer by extension (IKNP, KKOT).

    - ReLU: ``(lam l + 18 l) / 8`` bytes, ``log2 l + 2`` hops (rounds, as the paper counts them).
      Of these the multiplexer on the full ring is ``4 l / 8``.
    - product: two cross terms, each by ``l`` correlated transfers of ``lam + (l + 1) / 2`` bits;
      a square has one cross term. Truncation local, with an error in the last bit.
    - max pool: a tree of ReLUs.
    - Convolutions need homomorphic encryption and are not modelled.

    Source: CrypTFlow2 (CCS 2020), table of ReLU protocols, recalled and not verified; the product
    is derived from Gilboa's multiplication.
    """
    cross = (lam * l + l * (l + 1) / 2) / 8

    def relu(bits: int) -> Flow:
        return Flow(Rate(element=((lam + 14) * bits + 4 * l) / 8), levels(bits) + 2)

    operators = {
        "relu": relu(l),
        "square": Flow(Rate(element=cross), 2),
        "product": Flow(Rate(element=2 * cross), 2),
        **_local(),
    }
    return Flows(operators, lambda window: tree_of_relus(relu(l), window), relu)


def cryptflow2_field(eta: int, lam: int = 128) -> Flows:
    """CrypTFlow2 in a prime field of ``eta`` bits: ReLU and max pool (a tree) alone.

    ReLU: ``(1.5 lam (eta + 1) + 31 eta) / 8`` bytes, ``log2 eta + 4`` hops.

    Source: CrypTFlow2 (CCS 2020), table of ReLU protocols, recalled and not verified.
    """
    relu = Flow(Rate(element=(1.5 * lam * (eta + 1) + 31 * eta) / 8), levels(eta) + 4)
    return Flows({"relu": relu, **_local()}, lambda window: tree_of_relus(relu, window))


def gc_ring(l: int, lam: int = 128) -> Flows:  # noqa: E741
    """Garbled circuits in a ring: ReLU ``(8 lam l - 4 lam) / 8`` bytes, 2 hops.

    A max pool is one circuit of ``window - 1`` times that size, so its hops do not grow.

    Source: CrypTFlow2 (CCS 2020), table of ReLU protocols, recalled and not verified; the max pool
    is derived.
    """
    return _garbled((8 * lam * l - 4 * lam) / 8)


def gc_field(eta: int, lam: int = 128) -> Flows:
    """Garbled circuits in a prime field: ReLU ``(18 lam eta - 6 lam) / 8`` bytes, 2 hops.

    Source: as for :func:`gc_ring`.
    """
    return _garbled((18 * lam * eta - 6 * lam) / 8)


def _garbled(size: float) -> Flows:
    def pool(window: int) -> Flow:
        return Flow(Rate(output=size * (window - 1)), 2)

    return Flows({"relu": Flow(Rate(element=size), 2), **_local()}, pool)


def _local() -> dict[str, Flow]:
    """What needs no message on additive shares when truncation is local."""
    return {name: Flow() for name in ("scale", "avgpool", "globalavgpool", "add")}
