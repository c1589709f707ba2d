"""Extreme inputs make values large and stay in the box of the samples."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from evaluators.fhe import reference
from evaluators.fhe.extremes import extreme_inputs
from evaluators.fhe.graph import Graph, Linear, Node


@pytest.fixture
def graph() -> Graph:
    rng = np.random.default_rng(0)
    nodes = (
        Node("x", "input", (), (6,)),
        Node("a", "linear", ("x",), (5,),
             linear=Linear(csr_array(rng.normal(size=(5, 6))), rng.normal(size=5))),
        Node("b", "square", ("a",), (5,)),
        Node("c", "linear", ("b",), (3,),
             linear=Linear(csr_array(rng.normal(size=(3, 5))), np.zeros(3))),
    )  # fmt: skip
    return Graph(nodes, {})


def test_they_are_larger_than_samples_and_within_their_box(graph: Graph) -> None:
    samples = np.random.default_rng(1).uniform(-1, 1, size=(50, 6))
    found = extreme_inputs(graph, samples, 8)
    assert found.shape == (8, 6)
    assert (found >= samples.min(axis=0)).all()
    assert (found <= samples.max(axis=0)).all()
    usual = np.abs(reference.run(graph, samples)).max(axis=1)
    assert np.abs(reference.run(graph, found[:1])).max() == usual.max()
    assert (
        np.abs(reference.values(graph, found)["b"]).max()
        > np.abs(reference.values(graph, samples)["b"]).max()
    )


def test_a_corner_is_the_largest_value_of_the_first_map(graph: Graph) -> None:
    samples = np.random.default_rng(1).uniform(-1, 1, size=(50, 6))
    corner = extreme_inputs(graph, samples, 4)[3]
    low, high = samples.min(axis=0), samples.max(axis=0)
    picks = np.array(np.meshgrid(*zip(low, high, strict=True))).reshape(6, -1).T
    largest = np.abs(reference.values(graph, picks)["a"]).max()
    assert np.abs(reference.values(graph, corner[None])["a"]).max() == pytest.approx(largest)


def test_few_samples_give_what_they_can(graph: Graph) -> None:
    found = extreme_inputs(graph, np.ones((1, 6)), 20)
    assert 3 <= len(found) < 20
    assert extreme_inputs(graph, np.ones((2, 6)), 0).shape == (0, 6)
