"""Fixtures for all tests: small real studies, and no network or usage statistics."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from search import Choice, Integer, Metric, Param, Real, Study, Vector

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("LANGSMITH_TRACING", "false")
os.environ.setdefault("MPLBACKEND", "Agg")


LOSS = Metric("loss", "1", "min", "Squared distance from 0.3, plus the share of ones.")
COST = Metric("cost", "ms", "min", "Number of ones in the mask.")

PARAMS = (
    Param("x", Real(0.0, 1.0)),
    Param("n", Integer(1, 8)),
    Param("kind", Choice(("u", "v"))),
    Param("y", Real(0.01, 1.0, log=True), when={"kind": ("u",)}),
    Param("mask", Vector(Choice((0, 1)), 12)),
)


def toy_values(candidate: Any) -> dict[str, float]:
    """The toy objectives: ``loss`` falls and ``cost`` grows with the ones in the mask."""
    payload = candidate.payload
    ones = sum(payload["mask"])
    return {"loss": (payload["x"] - 0.3) ** 2 + (12 - ones) / 12, "cost": float(ones)}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep teachers and traces of tests out of the user's cache, but shared among tests."""
    base = tmp_path_factory.getbasetemp() / "cache"
    if "CIPHER_SEARCH_TEST_CACHE" in os.environ:
        base = Path(os.environ["CIPHER_SEARCH_TEST_CACHE"])
    monkeypatch.setenv("CIPHER_SEARCH_CACHE", str(base))


@pytest.fixture
def toy_study(tmp_path: Path) -> Iterator[Callable[..., Study]]:
    """Makes small studies of real parts: parameter space, function evaluator, random search."""
    from evaluators.function import FunctionEvaluator
    from spaces.parameters import ParameterSpace

    made: list[Study] = []

    def make(**changes: Any) -> Study:
        function = changes.pop("function", toy_values)
        params = changes.pop("space_params", PARAMS)
        metrics = changes.pop("metrics", (LOSS, COST))
        arguments: dict[str, Any] = {
            "name": "toy",
            "space": ParameterSpace(params),
            "evaluators": [FunctionEvaluator(function, metrics)],
            "objectives": [m.name for m in metrics],
            "searcher": "random",
            "trials": 10,
            "directory": tmp_path / "runs",
        }
        arguments.update(changes)
        if "ladder" in changes:
            arguments.pop("evaluators")
        study = Study(**arguments)
        made.append(study)
        return study

    yield make
    for study in made:
        study.close()
