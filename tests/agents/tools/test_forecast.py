"""Forecasts equal what the rungs say, and learn from runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from agents.api import Goal
from agents.tools.forecast import forecast_of
from agents.workbench import StudyBench
from search import Study
from search.api.metric import Measurement
from search.api.trial import RungResult


def test_a_forecast_is_what_the_rungs_say(digits_bench: Callable[..., StudyBench]) -> None:
    bench = digits_bench()
    forecast = bench.forecast
    assert forecast is not None
    space = bench.study.components.ladder.space
    for packing in ("plain", "columns"):
        point = {**space.synthesise((), ()), "input_packing": packing}
        trial = bench.evaluate(point, "predicted", "")
        told = forecast.effect(point, worst=True)
        assert trial.outcome is not None
        assert told.broken == ()
        for m in trial.outcome.measurements:
            if m.metric != "approximation_error":
                assert told.values[m.metric] == pytest.approx(m.value, rel=1e-6), m.metric


def test_a_broken_rule_is_told_as_the_static_rung_does(
    digits_bench: Callable[..., StudyBench],
) -> None:
    bench = digits_bench()
    assert bench.forecast is not None
    point = {**bench.study.components.ladder.space.synthesise((), ()), "log_n": 12}
    assert "insecure" in [v.rule for v in bench.forecast.effect(point).broken]


def test_an_encrypted_run_corrects_what_is_foretold(
    digits_bench: Callable[..., StudyBench],
) -> None:
    bench = digits_bench()
    forecast = bench.forecast
    assert forecast is not None
    point = bench.study.components.ladder.space.synthesise((), ())
    trial = bench.evaluate(point, "predicted", "")
    before = forecast.effect(point).values
    run = RungResult("encrypted", 1.0, (
        Measurement("latency_ckks", 2 * before["latency_ckks"], "ms", "encrypted", "measured"),
        Measurement("precision_ckks", before["precision_ckks"] - 1, "bit", "encrypted", "measured"),
        Measurement("memory_ckks", before["memory_ckks"] + 9, "MB", "encrypted", "measured"),
    ))  # fmt: skip
    assert trial.outcome is not None
    outcome = dataclasses.replace(trial.outcome, rungs=(*trial.outcome.rungs, run))
    measured = dataclasses.replace(trial, outcome=outcome)
    assert not forecast.learn(trial)
    assert forecast.learn(measured)
    assert not forecast.learn(measured)
    after = forecast.effect(point).values
    assert after["latency_ckks"] == pytest.approx(2 * before["latency_ckks"])
    assert after["precision_ckks"] == pytest.approx(before["precision_ckks"] - 1)
    assert after["memory_ckks"] == pytest.approx(before["memory_ckks"] + 9)
    assert after["predicted_latency_ckks"] == before["predicted_latency_ckks"]


def test_other_studies_have_no_forecast(toy_study: Callable[..., Study]) -> None:
    assert forecast_of(toy_study()) is None
    assert StudyBench(toy_study(), Goal("loss")).forecast is None


def test_bits_that_failed_runs_asked_for_are_kept_in_the_first_prime(
    digits_bench: Callable[..., StudyBench],
) -> None:
    bench = digits_bench()
    forecast = bench.forecast
    assert forecast is not None
    point = bench.study.components.ladder.space.synthesise((), ())
    assert not forecast.overflows(point)
    forecast.more_headroom = 20
    assert forecast.overflows(point)
    assert forecast.effect(point).broken == ()
