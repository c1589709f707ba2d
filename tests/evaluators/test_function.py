import math

import pytest

from evaluators.function import FunctionEvaluator
from search.api.candidate import Candidate
from search.api.errors import ConfigError, EvaluationError
from search.api.metric import Fidelity, Measurement, Metric

LATENCY = Metric("latency", "ms", "min", "test")
LOSS = Metric("loss", "1", "min", "test")
CANDIDATE = Candidate("parameters", {"x": 2.0})


def run(values: object, *metrics: Metric) -> tuple[Measurement, ...]:
    def mine(candidate: Candidate[dict[str, float]]) -> object:
        return values(candidate) if callable(values) else values

    evaluator = FunctionEvaluator(mine, metrics or (LATENCY,), "simulated")  # type: ignore[arg-type]
    return tuple(evaluator.evaluate(CANDIDATE, Fidelity("rung", 0), None))  # type: ignore[arg-type]


def test_values_become_measurements_in_the_metrics_unit() -> None:
    found = run(lambda c: {"loss": 1, "latency": c.payload["x"] ** 2}, LATENCY, LOSS)
    assert found == (
        Measurement("latency", 4.0, "ms", "rung", "simulated"),
        Measurement("loss", 1.0, "1", "rung", "simulated"),
    )


def test_a_measurement_keeps_its_spread_and_evidence_and_is_converted() -> None:
    given = Measurement("latency", 0.5, "s", "?", "measured", std=0.1, n=9, low=0.4, high=0.6)
    assert run({"latency": given}) == (
        Measurement("latency", 500.0, "ms", "rung", "measured", std=100.0, n=9, low=400.0,
                    high=600.0),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, r"mine: expected one value for each of latency \(got \)"),
        ({"latency": 1.0, "x": 2.0}, "got latency, x"),
        (3.0, "got 3.0"),
        ({"latency": math.nan}, "mine: latency: expected a finite number"),
        ({"latency": "fast"}, "expected a number"),
        ({"latency": Measurement("loss", 1.0, "1", "f", "model")}, "of another metric"),
        ({"latency": Measurement("latency", 1.0, "MB", "f", "model")}, "cannot be converted"),
    ],
)
def test_wrong_values(values: object, message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        run(values)


def test_what_the_function_raises_passes_through() -> None:
    def broken(candidate: object) -> dict[str, float]:
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        FunctionEvaluator(broken, [LOSS]).evaluate(CANDIDATE, Fidelity("f", 0), None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([],), "expected metrics of different names"),
        (([LOSS, LOSS],), "expected metrics of different names"),
        (([LOSS], "guessed"), "unknown evidence 'guessed'"),
        (([LOSS], "model", frozenset({"gpu"})), "unknown needs"),
    ],
)
def test_wrong_construction(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FunctionEvaluator(lambda c: {}, *arguments)  # type: ignore[arg-type]


def test_needs() -> None:
    evaluator = FunctionEvaluator(lambda c: {}, [LOSS], needs=frozenset({"weights"}))
    assert evaluator.needs == {"weights"}
    assert FunctionEvaluator(lambda c: {}, [LOSS]).needs == frozenset()
