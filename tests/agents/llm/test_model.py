"""The words of models."""

from __future__ import annotations

from agents.llm.model import ModelFailure, Reply, Request


def test_failures_say_whether_to_try_again() -> None:
    failure = ModelFailure("busy", again=True, after_s=2.0)
    assert (str(failure), failure.again, failure.after_s) == ("busy", True, 2.0)
    assert not ModelFailure("gone").again


def test_a_reply_may_be_empty_and_a_request_is_bounded() -> None:
    assert Reply() == Reply("", (), None, None, False)
    assert Request([]).max_tokens > 0
