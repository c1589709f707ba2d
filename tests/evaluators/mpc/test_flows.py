import pytest

from evaluators.linear import Rate
from evaluators.mpc.flows import Flow, levels, polynomials, tree_of_relus

SQUARE, PRODUCT = Flow(Rate(element=16), 1), Flow(Rate(element=32), 1)


def test_one_after_the_other_and_side_by_side() -> None:
    both, three = SQUARE + PRODUCT, SQUARE * 3
    assert both == Flow(Rate(element=48), 2)
    assert three == Flow(Rate(element=48), 1)
    assert (Flow(patch=2.0) + Flow(patch=1.0)).patch == 3.0


def test_local_is_to_send_nothing() -> None:
    assert Flow().local
    assert not SQUARE.local
    assert not Flow(patch=1.0).local


def test_a_tree_has_one_relu_less_than_elements() -> None:
    relu = Flow(Rate(call=4, element=464), 9)
    assert tree_of_relus(relu, 4) == Flow(Rate(call=4, output=1392), 18)
    assert tree_of_relus(relu, 9) == Flow(Rate(call=4, output=8 * 464), 36)
    assert tree_of_relus(relu, 1).hops == 0


@pytest.mark.parametrize(("leaves", "depth"), [(1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (64, 6)])
def test_levels(leaves: int, depth: int) -> None:
    assert levels(leaves) == depth


def test_polynomials_are_made_of_products() -> None:
    found = polynomials({"scale": Flow(), "square": SQUARE, "product": PRODUCT})
    assert found == {
        "poly1": Flow(), "poly2": SQUARE, "x2act": SQUARE,
        "poly3": Flow(Rate(element=48), 2), "poly4": Flow(Rate(element=48), 2),
    }  # fmt: skip


def test_polynomials_need_what_they_are_made_of() -> None:
    assert set(polynomials({"square": SQUARE})) == {"poly2", "x2act"}
    assert polynomials({"product": PRODUCT}) == {}
