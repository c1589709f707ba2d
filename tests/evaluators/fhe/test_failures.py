"""Failures cross processes and read as one sentence."""

import pickle

from evaluators.fhe.failures import BackendFailure
from search.api.errors import EvaluationError


def test_a_failure_keeps_its_kind_through_a_process() -> None:
    failure = pickle.loads(pickle.dumps(BackendFailure("depth", "one level is missing")))
    assert isinstance(failure, EvaluationError)
    assert (failure.kind, failure.detail) == ("depth", "one level is missing")
    assert str(failure) == "depth: one level is missing"
