"""Operations of single nodes."""

from __future__ import annotations

import pytest

from evaluators.fhe.counting import counts_of, linear_counts
from evaluators.fhe.graph import Node
from evaluators.fhe.layout import rows
from evaluators.fhe.packed import PackedLinear, Term
from evaluators.fhe.packing import pack
from evaluators.fhe.polynomial_plan import plan
from spaces.ckks.params import Chain, CkksParams

TERMS = (Term(0, 0, 0, 0), Term(0, 0, 1, 0), Term(1, 0, 0, 4), Term(0, 1, 1, 4), Term(1, 1, 1, 0))


def linear(early: bool, fold_first: bool) -> PackedLinear:
    layout = rows((32,), 16)
    return PackedLinear(
        "fc", layout, layout, TERMS, (8,), early, lambda index: None, lambda: None, fold_first  # type: ignore[arg-type, return-value]
    )  # fmt: skip


@pytest.mark.parametrize(("early", "first"), [(False, False), (True, False), (False, True)])
def test_linear_map(early: bool, first: bool) -> None:
    # rotations of both inputs by 1, and of the inner sums of both results by 4; 4 inner sums in all
    expected = {
        ("rotate", 5): 2,
        ("multiply_plain", 5): 5,
        ("add", 5): 5 - 4,
        ("rescale", 5): 4 if early else 2,
        ("rotate", 4): 0,
        ("add", 4): 0,
        ("add_plain", 4): 2,
    }
    late, folded = 4 if early else 5, 5 if first else 4
    expected["rotate", late] += 2
    expected["add", late] += 4 - 2
    expected["rotate", folded] += 2
    expected["add", folded] += 2
    expected = {key: count for key, count in expected.items() if count}
    counted: dict[tuple[str, int], int] = {}
    for count in linear_counts(linear(early, first), 5, 4):
        key = (count.operation, count.limbs)
        counted[key] = counted.get(key, 0) + count.count
    assert counted == expected


def test_polynomials_and_additions_are_done_on_every_ciphertext(networks) -> None:
    graph = networks.chain((40,), ("fc", 40), ("polynomial", 3), ("fc", 2))
    packed = pack(graph, 16, CkksParams(5, Chain(31, (26,) * 4, (45,)), 26))
    node = graph.nodes[2]
    number = packed.layouts[node.name].ciphertexts
    assert number == 3
    found = counts_of(node, packed, 4, 2)
    assert node.polynomial is not None
    assert [(c.operation, c.limbs, c.count) for c in found] == [
        (c.operation, c.limbs, c.count * number) for c in plan(node.polynomial).counts(4)
    ]
    add = Node(node.name, "add", (), (40,))
    assert [(c.operation, c.count) for c in counts_of(add, packed, 2, 2)] == [("add", 3)]
    assert counts_of(Node(node.name, "input", (), (40,)), packed, 2, 2) == ()


def test_polynomial_without_one(networks) -> None:
    graph = networks.chain((4,), ("fc", 4))
    packed = pack(graph, 16, CkksParams(5, Chain(31, (26,), (45,)), 26))
    with pytest.raises(ValueError, match="fc1: a node of kind polynomial without one"):
        counts_of(Node("fc1", "polynomial", (), (4,)), packed, 2, 1)
