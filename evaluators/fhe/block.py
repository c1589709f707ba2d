"""One block of a packed network as a network of its own: same layouts, same limbs, same scales."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluators.fhe.graph import Graph, Node
from evaluators.fhe.input_packing import InputSlots, OutputSlots, contents
from evaluators.fhe.levels import Assigned, assign, circuit_of
from evaluators.fhe.packed import PackedNetwork
from spaces.ckks.primes import primes_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from evaluators.fhe.circuit import Circuit
    from evaluators.fhe.costs import OperationTimes
    from spaces.ckks.params import CkksParams


@dataclass(frozen=True)
class Block:
    """A linear map and the square behind it, if there is one.

    Args:
        nodes: names of its nodes in the network.
        source: name of the node that it reads.
        packed: the block as a network of its own.
        levels: limbs and scales as in the whole network.
        predicted_ms: of its nodes on the server, in the whole network.
    """

    nodes: tuple[str, ...]
    source: str
    packed: PackedNetwork
    levels: Mapping[str, Assigned]
    predicted_ms: float


def most_expensive(
    packed: PackedNetwork,
    params: CkksParams,
    times: OperationTimes,
    primes: Sequence[float] | None = None,
) -> Block:
    """The linear map with the longest predicted time, and the square that reads it.

    Args:
        packed: the whole network.
        params: its configuration.
        times: of operations.
        primes: the data primes; nominal ones by default.

    Raises:
        BackendFailure: the chain is too short.
    """
    circuit = circuit_of(packed, params, primes)
    prices = _prices(circuit, params, times)
    linear = max(packed.linears, key=lambda name: prices.get(name, 0.0))
    nodes = {node.name: node for node in packed.graph.nodes}
    readers = [node for node in packed.graph.nodes if linear in node.inputs]
    names = [linear]
    if len(readers) == 1 and readers[0].kind == "square":
        names.append(readers[0].name)
    source = nodes[linear].inputs[0]
    levels = assign(packed.graph, params, primes)
    first = levels[linear]
    fresh = Assigned(first.limbs_in, first.limbs_in, first.scale_in, first.scale_in)
    return Block(
        tuple(names),
        source,
        _cut(packed, [nodes[name] for name in names], nodes[source]),
        {source: fresh, **{name: levels[name] for name in names}},
        sum(prices.get(name, 0.0) for name in names),
    )


def predicted_bits(
    block: Block, graph: Graph, params: CkksParams, given: np.ndarray, exact: np.ndarray
) -> float:
    """Mean precision that the noise model gives the block, by drawing noise.

    Args:
        block: of the network.
        graph: the whole network, whose limbs and scales count.
        params: its configuration.
        given: ``[n, elements]``, what the block reads.
        exact: ``[n, elements]``, what it gives in the clear.
    """
    from evaluators.fhe.noise import Source, Variance, variances
    from evaluators.fhe.noise_simulation import simulate
    from evaluators.fhe.precision import compare

    primes = primes_of(params.chain, params.log_n, params.ring)[: params.chain.limbs]
    found = variances(graph, params, [float(p) for p in primes])
    fresh = found[Source(graph.nodes[0].name, "fresh")]
    # It is encrypted at the scale that the whole network has there.
    ratio = assign(graph, params)[graph.nodes[0].name].scale_out / _scale_in(block)
    entered = Variance(fresh.white * ratio**2)
    drawn = simulate(block.packed, {**found, Source(block.source, "fresh"): entered}, given)
    return compare(drawn[0], exact).mean


def _scale_in(block: Block) -> float:
    return block.levels[block.source].scale_out


def _prices(circuit: Circuit, params: CkksParams, times: OperationTimes) -> dict[str, float]:
    from evaluators.fhe.costs import latency

    found: dict[str, float] = {}
    for stage in latency(circuit, params.log_n, times, len(params.chain.special)).stages:
        if stage.place == "server":
            found[stage.node] = found.get(stage.node, 0.0) + stage.milliseconds
    return found


def _cut(packed: PackedNetwork, nodes: list[Node], source: Node) -> PackedNetwork:
    """The network of ``nodes``, reading what ``source`` gives as it stands in the whole one."""
    whole = packed.graph
    graph = Graph((Node(source.name, "input", (), source.shape), *nodes), whole.ranges)
    names = [source.name, *(node.name for node in nodes)]
    layouts = {name: packed.layouts[name] for name in names}
    linears = {name: packed.linears[name] for name in names[1:] if name in packed.linears}
    slots = packed.slots
    inner = source.name != whole.nodes[0].name
    encode = InputSlots(contents(layouts[source.name], slots)) if inner else packed.encode_input
    return PackedNetwork(
        graph, slots, layouts, linears, encode, OutputSlots(layouts[names[-1]], slots)
    )
