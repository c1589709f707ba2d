import numpy as np
import pytest

from evaluators.fhe.draft import INPUT, Draft, Op, passed_on
from evaluators.fhe.matrices import identity


def draft() -> Draft:
    ops = {
        INPUT: Op(INPUT, "input", (), (2,)),
        "a": Op("a", "linear", (INPUT,), (2,), identity(2), np.ones(2)),
        "b": Op("b", "linear", (INPUT,), (2,), identity(2), np.ones(2)),
        "sum": Op("sum", "add", ("a", "a"), (2,)),
    }
    return Draft(ops, "sum")


def test_readers_count_as_often_as_they_read() -> None:
    assert draft().users("a") == ["sum", "sum"]
    assert not draft().alone("a")
    assert not draft().alone("sum")  # it is the result


def test_what_nothing_reads_is_dropped() -> None:
    found = draft()
    found.prune()
    assert list(found.ops) == [INPUT, "a", "sum"]


def test_readers_are_sent_to_another() -> None:
    found = draft()
    found.replace("sum", "b")
    assert (found.output, "sum" in found.ops) == ("b", False)
    found.replace("a", "b")
    assert "a" not in found.ops


def test_an_operator_as_a_map_of_something() -> None:
    ops = draft().ops
    matrix, bias = passed_on(ops["sum"])
    assert (matrix.toarray() == np.eye(2)).all()
    assert not bias.any()
    assert passed_on(ops["a"])[1].all()


def test_parts_belong_to_their_kind() -> None:
    ops = draft().ops
    assert ops["a"].elements == 2
    with pytest.raises(RuntimeError, match="sum: not linear"):
        _ = ops["sum"].linear
    with pytest.raises(RuntimeError, match="a: not quadratic"):
        _ = ops["a"].quadratic
