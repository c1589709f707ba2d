"""Asking an endpoint once."""

from __future__ import annotations

import pytest

from agents.llm.model import ModelFailure, Request
from agents.llm.openai_model import OpenAIModel
from agents.llm.scripted_server import Answer, ScriptedServer
from agents.llm.settings import ModelSettings

HELLO = Request([{"role": "user", "content": "hello"}], max_tokens=64, timeout_s=5)


def ask(answer: Answer, request: Request = HELLO) -> object:
    """The reply to one request, or the failure."""
    with ScriptedServer([answer]) as server:
        model = OpenAIModel(ModelSettings("m", server.base_url, "sk-secret", 1.0, 2.0))
        assert model.money(1_000_000, 1_000_000) == 3.0
        assert (model.name, model.secrets) == ("m", ("sk-secret",))
        try:
            return model.answer(request)
        except ModelFailure as failure:
            return failure


def test_text_calls_and_counts() -> None:
    reply = ask(Answer("hi", calls=(("look", {"a": 1}), ("look", "{bad")), usage=(7, 3)))
    assert reply.text == "hi"  # type: ignore[attr-defined]
    good, bad = reply.calls  # type: ignore[attr-defined]
    assert (good.name, good.arguments) == ("look", {"a": 1})
    assert (bad.arguments, bad.text) == (None, "{bad")
    assert (reply.tokens_in, reply.tokens_out) == (7, 3)  # type: ignore[attr-defined]


def test_an_endpoint_need_not_count() -> None:
    reply = ask(Answer("hi", usage=None))
    assert reply.tokens_in is None  # type: ignore[attr-defined]


@pytest.mark.parametrize("schema", [None, {"type": "object", "properties": {}}])
def test_a_reply_that_is_cut_off_is_kept(schema: dict[str, object] | None) -> None:
    request = Request(HELLO.messages, (), schema, 64, 5)
    reply = ask(Answer('{"a": "endl', finish="length"), request)
    assert reply.cut  # type: ignore[attr-defined]
    assert reply.text == '{"a": "endl'  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("answer", "text", "again"),
    [
        (Answer("slow down", status=429, headers={"Retry-After": "7"}), "429", True),
        (Answer("fault", status=503), "503", True),
        (Answer("no", status=401), "not accepted", False),
        (Answer("what", status=404), "wrong base URL", False),
        (Answer("bad schema", status=400), "bad schema", False),
        (Answer(raw="no json"), "cannot be read", False),
        (Answer(raw="[]"), "cannot be read", False),
    ],
)
def test_failures_have_names(answer: Answer, text: str, again: bool) -> None:
    failure = ask(answer)
    assert isinstance(failure, ModelFailure)
    assert text in str(failure)
    assert failure.again is again
    assert failure.after_s == (7.0 if answer.status == 429 else None)


def test_time_outs_and_closed_ports() -> None:
    late = ask(Answer("late", wait_s=0.6), Request(HELLO.messages, timeout_s=0.1))
    assert isinstance(late, ModelFailure)
    assert late.again
    assert "in time" in str(late)
    closed = OpenAIModel(ModelSettings("m", "http://me:word@127.0.0.1:9/v1"))
    with pytest.raises(ModelFailure, match=r"no connection to http://127.0.0.1:9/v1"):
        closed.answer(HELLO)
