import numpy as np
import pytest

from evaluators.fhe.graph import Graph, Linear, Node, Polynomial
from evaluators.fhe.matrices import diagonal
from evaluators.fhe.reference import evaluate, ranges, run, values
from search.api.errors import EvaluationError

GRAPH = Graph(
    (
        Node("input", "input", (), (2,)),
        Node(
            "half", "linear", ("input",), (2,), Linear(diagonal(np.array([0.5, 0.5])), np.ones(2))
        ),
        Node("sq", "square", ("half",), (2,)),
        Node("t2", "polynomial", ("half",), (2,), polynomial=Polynomial((0.0, 0.0, 1.0))),
        Node("sum", "add", ("sq", "t2"), (2,)),
    ),
    {},
)
X = np.array([[0.0, 2.0], [-2.0, -4.0]])


def test_every_kind_of_node() -> None:
    half = X / 2 + 1
    np.testing.assert_array_equal(run(GRAPH, X), half**2 + 2 * half**2 - 1)


def test_values_and_ranges_of_all_nodes() -> None:
    found = values(GRAPH, X.reshape(2, 1, 2))
    assert list(found) == ["input", "half", "sq", "t2", "sum"]
    np.testing.assert_array_equal(found["sq"], (X / 2 + 1) ** 2)
    assert ranges(GRAPH, X) == {"input": 4.0, "half": 2.0, "sq": 4.0, "t2": 7.0, "sum": 11.0}


def test_composites_and_gates() -> None:
    t = np.linspace(-1, 1, 5)
    twice = Polynomial((0.0, 0.5), composite=((0.0, 0.0, 1.0),))
    np.testing.assert_allclose(evaluate(twice, t), 2 * (t / 2) ** 2 - 1)
    np.testing.assert_allclose(evaluate(Polynomial((0.0, 1.0), gate=True), t), t * (1 + t) / 2)


def test_inputs_of_another_size() -> None:
    with pytest.raises(EvaluationError, match=r"input: 3 elements \(expected 2"):
        run(GRAPH, np.zeros((1, 3)))
