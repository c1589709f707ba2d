"""The graph of a network: what every reader of it relies on."""

from __future__ import annotations

from evaluators.fhe.reference import values


def test_nodes_read_only_what_stands_before_them(networks) -> None:
    for name in ("mlp", "lola", "residual"):
        seen: set[str] = set()
        for node in getattr(networks, name)().nodes:
            assert set(node.inputs) <= seen
            assert len(node.inputs) == {"input": 0, "add": 2}.get(node.kind, 1)
            seen.add(node.name)


def test_matrices_have_the_shapes_that_the_nodes_say(networks) -> None:
    graph = networks.lola()
    sizes = {
        node.name: value.shape[1]
        for node, value in zip(graph.nodes, values(graph, _image(graph)).values(), strict=True)
    }
    for node in graph.nodes:
        if node.linear is not None:
            assert node.linear.matrix.shape == (sizes[node.name], sizes[node.inputs[0]])
            assert node.linear.bias.shape == (sizes[node.name],)


def _image(graph):
    import math

    import numpy as np

    return np.zeros((1, math.prod(graph.nodes[0].shape)))
