"""Limbs and scales of every value of a network, and the operations that follow from them.

Limbs are given backwards from the output, which ends on the last limb: every operation is done as
late in the chain as it can be, with as few limbs as possible, and of two branches the shorter one
loses its spare limbs first. Scales are followed forwards and exactly, prime by prime.
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluators.fhe.circuit import Circuit, Count, Stage
from evaluators.fhe.counting import counts_of
from evaluators.fhe.failures import BackendFailure
from evaluators.fhe.polynomial_plan import plan

if TYPE_CHECKING:
    from evaluators.fhe.graph import Graph, Node
    from evaluators.fhe.packed import PackedNetwork
    from spaces.ckks.params import CkksParams, Drops

RISES_FROM = 2.0**0.5
"""By what factor the scale behind a pair must exceed the usual one to rise: primes of a size differ
among each other by less."""
_SAME = 1e-9  # relative; scales that agree on paper differ by rounding only


@dataclass(frozen=True)
class Assigned:
    """Limbs and scales of one node.

    Args:
        limbs_in, limbs_out: of its operands (after switching to common ones) and of its result.
        scale_in, scale_out: the scales themselves, not their logarithms.
        weight_scale: scale at which the diagonals of a linear map are encoded; 1 elsewhere.
    """

    limbs_in: int
    limbs_out: int
    scale_in: float
    scale_out: float
    weight_scale: float = 1.0


def deferred(graph: Graph, drops: Drops) -> frozenset[str]:
    """Squares that are not rescaled: those that only linear maps read, if these rescale for both.

    Before an addition, a polynomial or the output a value has the scale of its own, so that a
    square there is rescaled at once.

    Source: Dathathri et al., "EVA: an encrypted vector arithmetic language and compiler" (PLDI
        2020): waterline rescaling, which waits until a scale has grown enough.
    """
    if drops == "each":
        return frozenset()
    readers: dict[str, set[str]] = {}
    for node in graph.nodes:
        for name in node.inputs:
            readers.setdefault(name, set()).add(node.kind)
    squares = (node.name for node in graph.nodes if node.kind == "square")
    return frozenset(name for name in squares if readers.get(name) == {"linear"})


def consumed(node: Node, unscaled: Container[str] = ()) -> int:
    """Limbs between the operands and the result of ``node``.

    Args:
        node: of a graph.
        unscaled: squares that are not rescaled, see :func:`deferred`.
    """
    if node.name in unscaled:
        return 0
    if node.kind in ("linear", "square"):
        return 1
    if node.kind == "polynomial" and node.polynomial is not None:
        return plan(node.polynomial).levels
    return 0


def limbs(graph: Graph, drops: Drops = "each") -> dict[str, int]:
    """Limbs of the result of each node, as few as the nodes behind it need; the output has one."""
    unscaled = deferred(graph, drops)
    needed = dict.fromkeys((node.name for node in graph.nodes), 1)
    for node in reversed(graph.nodes):
        for name in node.inputs:
            needed[name] = max(needed[name], needed[node.name] + consumed(node, unscaled))
    return needed


def depth(graph: Graph, drops: Drops = "each") -> int:
    """Levels that one inference consumes."""
    return limbs(graph, drops)[graph.nodes[0].name] - 1


def nominal_primes(params: CkksParams) -> tuple[float, ...]:
    """Powers of two in place of the data primes, that which is never dropped first."""
    return tuple(2.0**bits for bits in (params.chain.first, *params.chain.levels))


def assign(
    graph: Graph, params: CkksParams, primes: Sequence[float] | None = None
) -> Mapping[str, Assigned]:
    """Limbs and scales of every node.

    Args:
        graph: the network.
        params: its configuration.
        primes: the data primes, that which is never dropped first; nominal ones by default.

    Raises:
        BackendFailure: ``depth`` if there are too few levels, ``scale_mismatch`` if operands of an
            addition have different scales that no linear map before it can bring together.
    """
    values = tuple(float(p) for p in primes) if primes is not None else nominal_primes(params)
    needed = limbs(graph, params.drops)
    fresh = needed[graph.nodes[0].name]
    if fresh > len(values):
        raise BackendFailure(
            "depth",
            f"the network consumes {fresh - 1} levels (got a chain of {len(values) - 1}; add "
            f"{fresh - len(values)} primes of about {params.scale} bits, or lower the degree of "
            "its polynomials)",
        )
    aims: dict[str, float] = {}
    for _ in graph.nodes:
        found, changed = _scales(graph, params, values, needed, aims)
        if not changed:
            break
    return found


def _scales(
    graph: Graph,
    params: CkksParams,
    primes: Sequence[float],
    needed: Mapping[str, int],
    aims: dict[str, float],
) -> tuple[dict[str, Assigned], bool]:
    """One pass forwards; an addition that does not fit sets the aim of a linear map before it."""
    nodes = {node.name: node for node in graph.nodes}
    unscaled = deferred(graph, params.drops)
    found: dict[str, Assigned] = {}
    for node in graph.nodes:
        after = needed[node.name]
        before = after + consumed(node, unscaled)
        if node.kind == "input":
            scale = 2.0**params.scale
            found[node.name] = Assigned(after, after, scale, scale)
            continue
        scale = found[node.inputs[0]].scale_out
        if node.kind == "linear":
            aim = 2.0**params.scale
            if node.inputs[0] in unscaled:
                risen = scale * 2.0**params.weight_bits / primes[before - 1]
                aim = risen if risen > aim * RISES_FROM else aim
            aim = aims.get(node.name, aim)
            weight = aim * primes[before - 1] / scale
            found[node.name] = Assigned(before, after, scale, aim, weight)
        elif node.name in unscaled:
            found[node.name] = Assigned(before, after, scale, scale * scale)
        elif node.kind == "square":
            found[node.name] = Assigned(before, after, scale, scale * scale / primes[before - 1])
        elif node.kind == "polynomial":
            found[node.name] = Assigned(before, after, scale, 2.0**params.scale)
        else:
            if not _agree(node, nodes, found, aims):
                return found, True
            scale = found[node.inputs[0]].scale_out
            found[node.name] = Assigned(after, after, scale, scale)
    return found, False


def _agree(
    node: Node, nodes: Mapping[str, Node], found: Mapping[str, Assigned], aims: dict[str, float]
) -> bool:
    """Whether the operands of an addition have one scale; if not, aim a linear map at it."""
    one, other = node.inputs
    if math.isclose(found[one].scale_out, found[other].scale_out, rel_tol=_SAME):
        return True
    for name, target in ((one, other), (other, one)):
        if nodes[name].kind == "linear" and name not in aims:
            aims[name] = found[target].scale_out
            return False
    raise BackendFailure(
        "scale_mismatch",
        f"{node.name}: {one} has scale 2^{math.log2(found[one].scale_out):.6f}, {other} "
        f"2^{math.log2(found[other].scale_out):.6f}, and no linear map stands directly before the "
        "addition to bring them together. Make the level primes equal the scale",
    )


def circuit_of(
    packed: PackedNetwork, params: CkksParams, primes: Sequence[float] | None = None
) -> Circuit:
    """Every operation of one inference, with the limbs at which it is done.

    Args:
        packed: the network in slots.
        params: its configuration.
        primes: the data primes, that which is never dropped first; nominal ones by default.

    Raises:
        BackendFailure: as :func:`assign`.
    """
    graph = packed.graph
    found = assign(graph, params, primes)
    stages = [_client(packed, found, "input")]
    steps: set[int] = set()
    weights: dict[str, tuple[int, int]] = {}
    for node in graph.nodes[1:]:
        own = found[node.name]
        switched = tuple(
            Count("mod_switch", found[name].limbs_out, packed.layouts[name].ciphertexts)
            for name in node.inputs
            if found[name].limbs_out > own.limbs_in
        )
        counts = switched + counts_of(node, packed, own.limbs_in, own.limbs_out)
        stages.append(
            Stage(node.name, node.kind, own.limbs_in, own.limbs_out,
                  math.log2(own.scale_in), math.log2(own.scale_out), counts)
        )  # fmt: skip
        if node.kind == "linear":
            linear = packed.linears[node.name]
            weights[node.name] = (own.limbs_in, len(linear.terms))
            steps.update(step % packed.slots for _, step in linear.babies | linear.giants)
            steps.update(step % packed.slots for step in linear.folds)
    stages.append(_client(packed, found, "output"))
    return Circuit(
        tuple(stages),
        tuple(sorted(steps - {0})),
        any(count.operation == "relinearise" for stage in stages for count in stage.counts),
        weights,
    )


def _client(packed: PackedNetwork, found: Mapping[str, Assigned], stage: str) -> Stage:
    """What the client does before and after."""
    node = packed.graph.nodes[0 if stage == "input" else -1].name
    own, number = found[node], packed.layouts[node].ciphertexts
    first, second = ("encode", "encrypt") if stage == "input" else ("decrypt", "decode")
    scale = math.log2(own.scale_out)
    return Stage(
        stage, stage, own.limbs_out, own.limbs_out, scale, scale,
        (Count(first, own.limbs_out, number, "client"),   # type: ignore[arg-type]
         Count(second, own.limbs_out, number, "client")),  # type: ignore[arg-type]
    )  # fmt: skip
