"""The scripted endpoint itself, spoken to without any client library."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

import pytest

from agents.llm.scripted_server import Answer, ScriptedServer, payload


def post(server: ScriptedServer, body: dict[str, Any]) -> Any:
    """The decoded answer to one request."""
    request = urllib.request.Request(
        f"{server.base_url}/chat/completions", json.dumps(body).encode(), {"X-A": "b"}
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.loads(answer.read())


def test_a_script_in_order_the_last_line_for_ever() -> None:
    script = [Answer("one"), lambda body: Answer(f"you sent {len(body['messages'])}")]
    with ScriptedServer(script) as server:
        texts = [
            post(server, {"model": "m", "messages": [1, 2]})["choices"][0]["message"]["content"]
            for _ in range(3)
        ]
        assert texts == ["one", "you sent 2", "you sent 2"]
        assert server.requests[0]["messages"] == [1, 2]
        assert server.headers[0]["X-A"] == "b"


def test_errors_have_a_status_and_headers() -> None:
    with ScriptedServer([Answer("slow", status=429, headers={"Retry-After": "3"})]) as server:
        with pytest.raises(urllib.error.HTTPError) as caught:
            post(server, {})
        assert caught.value.code == 429
        assert caught.value.headers["Retry-After"] == "3"
        caught.value.close()


def test_payloads() -> None:
    calls = json.loads(payload(Answer(calls=(("a", {"x": 1}), ("b", "{"))), 4, "m"))
    message = calls["choices"][0]["message"]
    assert [c["function"]["arguments"] for c in message["tool_calls"]] == ['{"x": 1}', "{"]
    assert calls["choices"][0]["finish_reason"] == "tool_calls"
    assert payload(Answer(raw="?"), 1, "m") == "?"
    assert "usage" not in json.loads(payload(Answer("x", usage=None), 1, "m"))


def test_an_empty_script_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one answer"):
        ScriptedServer([])
