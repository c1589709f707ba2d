"""Short texts about trials and budgets."""

from __future__ import annotations

from agents.api import Limits, Spent
from agents.chat.tables import added, budget_line, changed, known, left, measured, point_line
from search.api.metric import Measurement
from search.api.trial import Origin, Outcome, RungResult, Trial


def test_points_and_differences() -> None:
    assert point_line({"a": 1, "v": tuple(range(9)), "x": 0.123456}) == (
        "a=1, v=(0 1 2 3 4 5 …), x=0.1235"
    )
    assert changed({"a": 1, "b": 2}, {"a": 3, "c": 4}) == "a 1 -> 3, b 2 -> -, c - -> 4"


def test_numbers_carry_unit_and_evidence() -> None:
    assert measured(Measurement("t", 1234.5, "ms", "top", "measured")) == "t 1234 ms (measured)"
    assert measured(Measurement("n", 3, "1", "top", "bound")) == "n 3 (bound)"


def test_what_foretells_a_metric_stands_in_for_it() -> None:
    found = Measurement("predicted_precision", 20.0, "bit", "predicted", "model")
    outcome = Outcome(0, "gated", (RungResult("predicted", 0.1, (found,)),))
    trial = Trial(0, {}, 0, Origin("user"), "gated", None, outcome)
    assert known(trial, "precision_ckks") is found
    assert known(trial, "latency_ckks") is None


def test_budgets_add_up() -> None:
    spent = added(Spent(turns=3, seconds=1.5), Spent(turns=2, encrypted_runs=9))
    assert spent == Spent(turns=5, seconds=1.5, encrypted_runs=9)
    rest = left(Limits(turns=4, encrypted_runs=10), spent)
    assert (rest.turns, rest.encrypted_runs) == (0, 1)
    assert "turns 5 of 40" in budget_line(spent, Limits())
    assert "seconds 1.5 of 1800 s" in budget_line(spent, Limits())
