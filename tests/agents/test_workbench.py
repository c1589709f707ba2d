"""The bench: recorded trials, history, limits, rules and results, on a real small study."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agents.api import Goal, Limits, ToolError
from agents.workbench import StudyBench, plain_point, same_point
from search import Study
from search.api.errors import ConfigError

X = {"x": 0.4, "n": 2, "kind": "v", "mask": (0,) * 12}


def toy(make: Callable[..., Study], **changes: Any) -> StudyBench:
    limits = changes.pop("limits", Limits())
    goal = changes.pop("goal", Goal("loss", ("cost <= 3 ms",)))
    return StudyBench(make(**changes), goal, limits)


def test_every_evaluation_is_a_trial_with_who_and_why(toy_study: Callable[..., Study]) -> None:
    bench = toy(toy_study)
    trial = bench.evaluate(X, bench.rungs[-1], "a first try")
    stored = bench.study.trials()
    assert [t.number for t in stored] == [0]
    assert (stored[0].origin.kind, stored[0].origin.by) == ("advisor", "agent")
    assert stored[0].origin.reason == "a first try"
    assert bench.confirmed(trial)


def test_an_equal_request_is_answered_from_the_history(toy_study: Callable[..., Study]) -> None:
    bench = toy(toy_study)
    seen: list[int] = []
    bench.watch = lambda trial, up_to, reason: seen.append(trial.number)
    assert bench.evaluate(X, "full", "once").number == bench.evaluate(X, "full", "twice").number
    assert seen == [0]
    assert toy_again(bench).evaluate(X, "full", "another session").number == 0


def toy_again(bench: StudyBench) -> StudyBench:
    return StudyBench(bench.study, bench.goal)


def test_demands_decide_what_is_feasible_and_best(toy_study: Callable[..., Study]) -> None:
    bench = toy(toy_study)
    dear = bench.evaluate({**X, "mask": (1,) * 12}, "full", "")
    cheap = bench.evaluate(X, "full", "")
    better = bench.evaluate({**X, "mask": (1, 1) + (0,) * 10}, "full", "")
    assert bench.misses(dear) == {"cost <= 3 ms": pytest.approx(9.0)}
    assert not bench.feasible(dear)
    assert bench.feasible(cheap)
    best = bench.best()
    assert best is not None
    assert best.number == better.number


def test_only_a_confirmed_trial_can_be_committed(toy_study: Callable[..., Study]) -> None:
    bench = toy(toy_study)
    dear = bench.evaluate({**X, "mask": (1,) * 12}, "full", "")
    with pytest.raises(ToolError, match=r"not confirmed: cost <= 3 ms is missed by 9"):
        bench.commit(dear.number)
    assert bench.committed is None
    good = bench.evaluate(X, "full", "")
    bench.commit(good.number)
    assert bench.committed is not None
    with pytest.raises(ToolError, match=r"no trial 7 \(there are 2"):
        bench.commit(7)


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ({**X, "x": 7.0}, r"x: expected a number"),
        ({"x": 0.1}, "missing"),
        ({**X, "extra": 1}, "extra"),
        ({**X, "x": {"a": 1}}, "scalar"),
    ],
)
def test_what_is_no_point_is_refused(
    toy_study: Callable[..., Study], point: dict[str, Any], message: str
) -> None:
    with pytest.raises(ToolError, match=message):
        toy(toy_study).evaluate(point, "full", "")


def test_rules_of_the_study_are_told_with_a_legal_point(toy_study: Callable[..., Study]) -> None:
    bench = toy(toy_study, known=["n <= 4"])
    with pytest.raises(ToolError, match=r"illegal: .*Nearest legal point: .*\"n\":4"):
        bench.evaluate({**X, "n": 8}, "full", "")
    assert bench.trials() == ()


def test_an_unknown_rung_and_an_unknown_goal(toy_study: Callable[..., Study]) -> None:
    with pytest.raises(ToolError, match=r"no rung 'top' \(known: full\)"):
        toy(toy_study).evaluate(X, "top", "")
    with pytest.raises(ConfigError, match="is no metric"):
        toy(toy_study, goal=Goal("gain"))


def test_a_limit_on_seconds_ends_evaluations(toy_study: Callable[..., Study]) -> None:
    now = [0.0]
    bench = StudyBench(toy_study(), Goal("loss"), Limits(seconds=10), clock=lambda: now[0])
    bench.evaluate(X, "full", "")
    now[0] = 11.0
    with pytest.raises(ToolError, match="limit of 10 seconds"):
        bench.evaluate({**X, "x": 0.5}, "full", "")
    assert bench.exhausted() == "seconds: 10 are spent"


def test_counted_limits(toy_study: Callable[..., Study]) -> None:
    bench = toy(toy_study, limits=Limits(turns=2))
    bench.spend(turns=1, tokens=5)
    assert bench.exhausted() is None
    bench.spend(turns=1)
    assert bench.exhausted() == "turns: 2 are spent"
    assert bench.spent.tokens == 5


def test_three_failures_in_a_row_do_not_end_a_session(toy_study: Callable[..., Study]) -> None:
    def broken(candidate: Any) -> dict[str, float]:
        raise RuntimeError("no luck")

    bench = toy(toy_study, function=broken)
    with bench.opened():
        for n in range(1, 6):
            assert bench.evaluate({**X, "n": n}, "full", "").status == "failed"
    assert bench.best() is None


def test_encrypted_runs_are_counted_and_limited(
    digits_bench: Callable[..., StudyBench],
) -> None:
    bench = digits_bench(encrypted=True, limits=Limits(encrypted_runs=1))
    assert bench.dear_rungs == {"encrypted"}
    point = bench.study.components.ladder.space.synthesise((), ())
    with bench.opened():
        low = bench.evaluate(point, "predicted", "")
        assert (low.status, bench.spent.encrypted_runs) == ("gated", 0)
        assert bench.feasible(low)
        assert not bench.confirmed(low)
        top = bench.evaluate(point, "encrypted", "")
        assert (top.status, bench.spent.encrypted_runs) == ("complete", 1)
        assert bench.evaluate(point, "predicted", "").number == top.number
        other = {**point, "scale": point["scale"] - 1}
        with pytest.raises(ToolError, match="limit of 1 encrypted runs"):
            bench.evaluate(other, "encrypted", "")
        assert bench.evaluate(other, "predicted", "").status == "gated"


def test_points_as_json() -> None:
    assert plain_point(X)["mask"] == [0] * 12
    assert same_point(plain_point(X), X)
