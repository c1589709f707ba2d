"""Errors say where; their exit codes are what scripts rely on."""

from __future__ import annotations

import inspect
import pickle

import pytest

from search.api import errors
from search.api.candidate import Violation

ALL = [
    e for _, e in inspect.getmembers(errors, inspect.isclass) if issubclass(e, errors.SearchError)
]
CODES = {
    "ConfigError": 2,
    "MissingExtra": 2,
    "PlacedError": 2,
    "PluginError": 2,
    "TooManyFailures": 3,
}


@pytest.mark.parametrize("error", ALL)
def test_exit_codes(error: type[errors.SearchError]) -> None:
    assert error.exit_code == CODES.get(error.__name__, 1)


def test_a_missing_extra_is_a_fault_of_a_plugin() -> None:
    assert issubclass(errors.MissingExtra, errors.PluginError)


@pytest.mark.parametrize(
    ("where", "text"),
    [
        ({}, "too few (got 0; expected 1)"),
        ({"path": "budget.trials"}, "budget.trials: too few (got 0; expected 1)"),
        (
            {"path": "budget.trials", "source": "a.yaml"},
            "a.yaml: budget.trials: too few (got 0; expected 1)",
        ),
    ],
)
def test_a_wrong_configuration_says_where(where: dict[str, str], text: str) -> None:
    error = errors.ConfigError("too few (got 0; expected 1)", **where)
    assert str(error) == text
    assert error.message == "too few (got 0; expected 1)"
    assert error.path == where.get("path", "")


def test_a_place_is_completed_from_outside() -> None:
    error = errors.MissingExtra("not installed", path="name").within("ladder[0]", "a.yaml")
    assert type(error) is errors.MissingExtra
    assert str(error) == "a.yaml: ladder[0].name: not installed"
    assert str(error.within("baselines.x")) == "a.yaml: baselines.x.ladder[0].name: not installed"
    assert str(errors.ConfigError("wrong").within()) == "wrong"


def test_an_infeasible_candidate_names_every_rule() -> None:
    violations = [Violation("budget", "5 of 4", 1.0, "1"), Violation("size", "too wide", 2.0, "1")]
    error = errors.InfeasibleCandidate(violations)
    assert str(error) == "budget: 5 of 4; size: too wide"
    assert error.violations == tuple(violations)


@pytest.mark.parametrize("error", [errors.StoreError, errors.EvaluationError, errors.PluginError])
def test_plain_errors_cross_processes(error: type[errors.SearchError]) -> None:
    again = pickle.loads(pickle.dumps(error("disk full")))
    assert type(again) is error
    assert str(again) == "disk full"


def test_where_a_configuration_is_wrong_crosses_processes() -> None:
    error = errors.ConfigError("wrong", path="ladder", source="a.yaml")
    again = pickle.loads(pickle.dumps(error))
    assert (again.path, again.source) == ("ladder", "a.yaml")


def test_infeasible_candidates_cross_processes() -> None:
    violation = Violation("budget", "9 of 4", 5.0, "")
    again = pickle.loads(pickle.dumps(errors.InfeasibleCandidate([violation])))
    assert again.violations == (violation,)
    assert str(again) == "budget: 9 of 4"
