"""Which sites read which: the topology of a network as plain data, for use without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import fx

from search.api.network import Site


def trace_links(
    graph_module: fx.GraphModule, sites: Sequence[Site]
) -> Mapping[str, tuple[str, ...]]:
    """Site -> sites whose results it reads, in order, each once; none for the network's input.

    Operators that only move data (flatten, cat, pad) are looked through.

    Args:
        graph_module: in canonical form.
        sites: as :func:`~search.workloads.sites.trace_sites` found them in it.
    """
    waiting = list(sites)
    results: dict[fx.Node, tuple[str, ...]] = {}
    links: dict[str, tuple[str, ...]] = {}
    for node in graph_module.graph.nodes:
        read = tuple(dict.fromkeys(s for arg in node.all_input_nodes for s in results[arg]))
        # Sites stand in the order of the nodes they were made of, so the next one is the only
        # candidate; later calls of one module have a suffix.
        own = str(node.target) if node.op == "call_module" else node.name
        if waiting and waiting[0].name.split("#")[0] == own.split("#")[0]:
            name = waiting.pop(0).name
            links[name] = read
            read = (name,)
        results[node] = read
    return links
