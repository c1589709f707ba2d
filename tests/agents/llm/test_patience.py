"""How much nonsense is borne."""

from __future__ import annotations

from agents.llm.patience import Patience


def test_strikes_in_a_row_and_in_all() -> None:
    patience = Patience(in_a_row=2, in_all=4)
    patience.strike("a")
    patience.useful()
    patience.strike("b")
    assert not patience.lost
    patience.strike("c")
    assert patience.lost
    assert patience.last == "c"
    patience.useful()
    assert not patience.lost
    patience.strike("d")
    assert patience.lost


def test_the_same_call_is_answered_twice() -> None:
    patience = Patience()
    assert [patience.repeats("x") for _ in range(4)] == [False, False, True, True]
    assert not patience.repeats("y")
    assert patience.spent("x")
    assert not patience.spent("y")
