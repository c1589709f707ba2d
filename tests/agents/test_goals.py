"""Goals in words of a study and in words of people."""

from __future__ import annotations

import pytest

from agents.api import Goal
from agents.goals import aims, checked, describe, find_metric, read_goal, study_goal
from search.api.errors import ConfigError
from search.api.metric import Metric

METRICS = {
    m.name: m
    for m in (
        Metric("latency_ckks", "ms", "min", ""),
        Metric("precision_ckks", "bit", "max", ""),
        Metric("memory_ckks", "MB", "min", ""),
        Metric("agreement_ckks", "%", "max", ""),
    )
}
DEFAULT = Goal("latency_ckks", ("agreement_ckks >= 99 %",))


@pytest.mark.parametrize(
    ("text", "minimise", "demands"),
    [
        ("under 2 s at 20 bits, 16 GiB", "latency_ckks",
         {"latency_ckks <= 2 s", "precision_ckks >= 20 bit", "memory_ckks <= 16 GiB"}),
        ("precision_ckks >= 20 bit", "latency_ckks", {"precision_ckks >= 20 bit"}),
        ("precision at least 12 bits, minimise memory", "memory_ckks",
         {"precision_ckks >= 12 bit"}),
        ("latency below 300 ms", "precision_ckks", {"latency_ckks <= 300 ms"}),
        ("as fast as possible", "latency_ckks", {"agreement_ckks >= 99 %"}),
        ("maximise precision", "precision_ckks", {"agreement_ckks >= 99 %"}),
        ("agreement at least 98 %", "latency_ckks", {"agreement_ckks >= 98 %"}),
    ],
)  # fmt: skip
def test_words_of_people(text: str, minimise: str, demands: set[str]) -> None:
    goal = read_goal(text, METRICS, DEFAULT)
    assert goal.minimise == minimise
    assert set(goal.demands) == demands


@pytest.mark.parametrize("text", ["hello", "make it nice", ""])
def test_words_without_a_goal_are_told_so(text: str) -> None:
    with pytest.raises(ConfigError, match="cannot read a goal"):
        read_goal(text, METRICS, DEFAULT)


def test_an_unknown_metric_is_refused_with_a_near_one() -> None:
    with pytest.raises(ConfigError, match=r"Did you mean 'latency_ckks'"):
        checked(Goal("latency_cks"), METRICS)
    with pytest.raises(ConfigError, match="is no metric"):
        read_goal("minimise happiness", METRICS, DEFAULT)


def test_a_unit_that_measures_something_else_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"demands\[0\].*cannot be converted"):
        checked(Goal("latency_ckks", ("latency_ckks <= 2 MB",)), METRICS)
    with pytest.raises(ConfigError, match="cannot be converted"):
        read_goal("latency under 2 MB", METRICS, DEFAULT)


def test_demands_are_compared_in_the_metrics_unit() -> None:
    (aim,) = aims(Goal("latency_ckks", ("latency_ckks <= 2 s",)), METRICS)
    assert aim.excess(2500.0) == pytest.approx(500.0)
    assert aim.excess(1500.0) == pytest.approx(-500.0)


def test_a_configuration_implies_a_goal() -> None:
    goal = study_goal(("precision_ckks",), ["latency_ckks <= 1 s"], METRICS)
    assert describe(goal, METRICS) == "maximise precision_ckks under latency_ckks <= 1 s"


def test_words_find_metrics() -> None:
    assert find_metric("latency", METRICS) == "latency_ckks"
    assert find_metric("upload", METRICS) is None
