"""A packed network under one modulus chain: limbs and scales of every value, operations to count.

The same assignment is planned by the static rung (with nominal or real primes) and executed by the
back end, so that a plan that holds is a run that holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Operation = Literal[
    "encode", "encrypt", "decrypt", "decode", "add", "add_plain", "add_scalar", "multiply_plain",
    "multiply_scalar", "multiply", "square", "relinearise", "rescale", "rotate", "mod_switch",
]  # fmt: skip


@dataclass(frozen=True)
class Count:
    """``count`` times ``operation`` on ciphertexts that have ``limbs`` limbs before it.

    ``place`` tells who does it: the client's encoding, encryption and decryption are apart.
    """

    operation: Operation
    limbs: int
    count: int
    place: Literal["server", "client"] = "server"


@dataclass(frozen=True)
class Stage:
    """One node of the graph at run time.

    Args:
        node: its name; ``input`` and ``output`` for what the client does.
        kind: of the node.
        limbs_in, limbs_out: of its operands (after switching to common ones) and of its result.
        scale_in, scale_out: log2 of the scales.
        counts: operations, with the limbs at which each is done.
    """

    node: str
    kind: str
    limbs_in: int
    limbs_out: int
    scale_in: float
    scale_out: float
    counts: tuple[Count, ...]


@dataclass(frozen=True)
class Circuit:
    """Every stage of one inference.

    Args:
        stages: client's encryption, the nodes in order, client's decryption.
        rotations: distinct steps for which the server needs a Galois key.
        relinearise: whether it needs a relinearisation key.
        weights: node -> limbs at which its diagonals are encoded, and how many there are.
    """

    stages: tuple[Stage, ...]
    rotations: tuple[int, ...]
    relinearise: bool
    weights: Mapping[str, tuple[int, int]]
