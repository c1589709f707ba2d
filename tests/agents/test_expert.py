"""The expert on real studies: results, few runs, ways back, limits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agents.api import Goal, Limits, Toolbox
from agents.expert import Expert, ExpertOptions
from agents.memory import Lessons
from agents.workbench import StudyBench
from search import Study
from search.api.errors import ConfigError


def run(bench: StudyBench, expert: Expert | None = None) -> tuple[Any, list[str]]:
    said: list[str] = []
    return (expert or Expert()).run(bench, Toolbox(), said.append), said


def test_it_meets_a_goal_with_one_encrypted_run(digits_bench: Callable[..., StudyBench]) -> None:
    bench = digits_bench("latency_ckks", ("precision_ckks >= 14 bit",), encrypted=True)
    result, said = run(bench)
    assert result.ending == "reached"
    assert result.spent.encrypted_runs == 1
    assert bench.committed is not None
    assert result.chosen is not None
    assert bench.confirmed(result.chosen)
    assert result.chosen.measurement("security_slack").value >= 0
    assert said[0].startswith("understand: 2 linear layers")
    assert {t.origin.by for t in bench.study.trials()} == {"agent"}
    assert all(t.origin.reason for t in bench.study.trials())


@pytest.mark.parametrize(
    ("minimise", "demands"),
    [
        ("predicted_latency_ckks", ("predicted_precision >= 20 bit",)),
        ("predicted_precision", ("predicted_latency_ckks <= 40 ms",)),
        ("predicted_latency_ckks", ("key_mb <= 25 MB", "predicted_precision >= 10 bit")),
    ],
)
def test_the_predicted_rung_confirms_where_nothing_is_encrypted(
    digits_bench: Callable[..., StudyBench], minimise: str, demands: tuple[str, ...]
) -> None:
    bench = digits_bench(minimise, demands)
    result, _ = run(bench)
    assert result.ending == "reached", result.reason
    assert result.spent.encrypted_runs == 0
    assert bench.feasible(result.chosen)


def test_what_cannot_be_is_said_so_with_the_closest(
    digits_bench: Callable[..., StudyBench],
) -> None:
    bench = digits_bench("predicted_latency_ckks", ("predicted_precision >= 50 bit",))
    result, _ = run(bench)
    assert result.ending == "infeasible"
    assert result.chosen is None
    assert "the closest: " in result.reason
    assert bench.study.trials() == ()


def test_a_failed_run_sends_it_back_and_corrects_the_forecast(
    digits_bench: Callable[..., StudyBench],
) -> None:
    bench = digits_bench("latency_ckks", ("precision_ckks >= 14 bit",), encrypted=True)
    assert bench.forecast is not None
    # As if the models promised ten bits too many: the first candidate is then not precise enough.
    bench.forecast.corrections.offsets["precision_ckks"] = [10.0]
    hopeful = digits_bench("latency_ckks", ("precision_ckks >= 27 bit",), encrypted=True)
    assert hopeful.forecast is not None
    hopeful.forecast.corrections.offsets["precision_ckks"] = [10.0]
    result, said = run(hopeful)
    assert any(text.startswith("failed: ") for text in said)
    assert any(text.startswith("back to global") for text in said)
    assert result.spent.encrypted_runs <= 4
    assert result.ending in ("reached", "stuck", "infeasible")


def test_limits_end_it_in_order(digits_bench: Callable[..., StudyBench]) -> None:
    bench = digits_bench("latency_ckks", ("precision_ckks >= 14 bit",), Limits(encrypted_runs=0),
                         encrypted=True)  # fmt: skip
    result, _ = run(bench)
    assert result.ending == "budget"
    assert "encrypted runs" in result.reason
    again = digits_bench("latency_ckks", (), Limits(seconds=0.0), encrypted=True)
    result, _ = run(again)
    assert result.ending == "budget"
    assert "seconds" in result.reason


def test_it_can_be_stopped(digits_bench: Callable[..., StudyBench]) -> None:
    bench = digits_bench()
    bench.cancelled = lambda: True
    assert run(bench)[0].ending == "stopped"


def test_parts_can_be_left_out(digits_bench: Callable[..., StudyBench]) -> None:
    bench = digits_bench("predicted_latency_ckks", ("predicted_precision >= 12 bit",))
    bare, _ = run(bench, Expert(ExpertOptions(global_search=False, repair=False)))
    assert bare.ending == "reached"
    whole, _ = run(digits_bench("predicted_latency_ckks", ("predicted_precision >= 12 bit",)))
    assert bench.value(whole.chosen) <= bench.value(bare.chosen)


def test_lessons_are_kept_and_used(digits_bench: Callable[..., StudyBench], tmp_path: Any) -> None:
    path = tmp_path / "lessons.json"
    bench = digits_bench("latency_ckks", ("precision_ckks >= 12 bit",), encrypted=True)
    run(bench, Expert(lessons=Lessons(path)))
    (lesson,) = Lessons(path).all()
    assert lesson.ended == "held"
    assert Lessons(path).factors()["latency_ckks"] > 0


def test_studies_without_models_are_refused(toy_study: Callable[..., Study]) -> None:
    with pytest.raises(ConfigError, match="ckks_static and ckks_predicted"):
        Expert().run(StudyBench(toy_study(), Goal("loss")), Toolbox(), print)
