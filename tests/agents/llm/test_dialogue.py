"""Limits of a conversation, attempts, and what is written down."""

from __future__ import annotations

import time
from typing import Any

import pytest

from agents.llm.dialogue import Dialogue, OutOfBudget
from agents.llm.model import ModelFailure, Reply, Request
from agents.llm.scripted import ScriptedModel
from agents.transcript import Transcript

HELLO = [{"role": "user", "content": "hello"}]


def dialogue_of(bench: Any, tools: Any, lines: list[Any], **options: Any) -> Dialogue:
    """A dialogue that never sleeps."""
    price = options.pop("price", 0.0)
    options.setdefault("pause", lambda seconds: None)
    return Dialogue(ScriptedModel(lines, price=price), bench, tools, Transcript(), **options)


def test_what_an_endpoint_does_not_count_is_estimated(tiny_bench: Any, tools_of: Any) -> None:
    bench = tiny_bench()
    dialogue_of(bench, tools_of(bench), [Reply("x" * 300)]).ask(HELLO)
    assert 100 < bench.spent.tokens < 200


def test_no_question_is_asked_that_would_break_a_limit(tiny_bench: Any, tools_of: Any) -> None:
    bench = tiny_bench(tokens=1000)
    dialogue = dialogue_of(bench, tools_of(bench), [Reply("a")])
    with pytest.raises(OutOfBudget, match="tokens"):
        dialogue.ask([{"role": "user", "content": "x" * 3000}])
    assert bench.spent.tokens == 0
    dear = tiny_bench(money=0.001)
    dialogue = dialogue_of(dear, tools_of(dear), [Reply("a")], price=0.001)
    with pytest.raises(OutOfBudget, match="money"):
        dialogue.ask(HELLO)


def test_the_longest_reply_fits_into_what_is_left(tiny_bench: Any, tools_of: Any) -> None:
    bench = tiny_bench(tokens=300)
    model = ScriptedModel([Reply("a", tokens_in=1, tokens_out=1)])
    Dialogue(model, bench, tools_of(bench), Transcript()).ask(HELLO)
    assert 64 <= model.requests[0].max_tokens < 300


def test_busy_endpoints_are_asked_again_and_faulty_ones_given_up(
    tiny_bench: Any, tools_of: Any
) -> None:
    bench, pauses = tiny_bench(), []
    busy = ModelFailure("busy", again=True, after_s=3.0)
    fault = ModelFailure("fault", again=True)
    dialogue = dialogue_of(
        bench, tools_of(bench), [busy, fault, Reply("at last"), busy, busy, busy, Reply("never")],
        pause=pauses.append,
    )  # fmt: skip
    assert dialogue.ask(HELLO).text == "at last"
    assert pauses == [3.0, 2.0]
    with pytest.raises(ModelFailure, match="busy"):
        dialogue.ask(HELLO)
    assert bench.spent.turns == 2


def test_a_wait_longer_than_the_limit_is_not_begun(tiny_bench: Any, tools_of: Any) -> None:
    bench, pauses = tiny_bench(seconds=50), []
    busy = ModelFailure("busy", again=True, after_s=3600.0)
    dialogue = dialogue_of(bench, tools_of(bench), [busy], pause=pauses.append)
    with pytest.raises(OutOfBudget, match="seconds"):
        dialogue.ask(HELLO)
    assert not pauses


def test_a_reply_that_trickles_in_ends_at_the_limit(tiny_bench: Any, tools_of: Any) -> None:
    bench = tiny_bench(seconds=0.3)

    def slow(request: Request) -> Reply:
        time.sleep(1.5)
        return Reply("too late")

    with pytest.raises(OutOfBudget, match="seconds"):
        dialogue_of(bench, tools_of(bench), [slow]).ask(HELLO)


def test_the_clock_is_the_sessions(tiny_bench: Any, tools_of: Any) -> None:
    bench, now = tiny_bench(seconds=10), [100.0]
    bench.spent.seconds = 4.0
    dialogue = dialogue_of(bench, tools_of(bench), [], now=lambda: now[0])
    assert dialogue.seconds_left == 6.0
    now[0] = 107.0
    with pytest.raises(OutOfBudget, match="seconds"):
        dialogue.call("history", {})


def test_calls_are_counted_and_written_down(tiny_bench: Any, tools_of: Any) -> None:
    bench = tiny_bench(tool_calls=1)
    dialogue = dialogue_of(bench, tools_of(bench), [])
    assert dialogue.call("history", {}, ["note"]) == '{"trials": 0, "mended": ["note"]}'
    with pytest.raises(OutOfBudget, match="tool calls"):
        dialogue.call("history", {})
    (event,) = dialogue.transcript.events("tool")
    assert event["name"] == "history"


def test_encrypted_runs_can_be_kept_back(tiny_bench: Any, tools_of: Any) -> None:
    bench = tiny_bench(encrypted_runs=1)
    dialogue = dialogue_of(bench, tools_of(bench), [], reserve=1)
    point = {"log_n": 13, "scale": 30}
    assert "kept for" in dialogue.call("evaluate", {"point": point, "up_to": "encrypted"})
    assert '"trial": 0' in dialogue.call("evaluate", {"point": point})
    assert bench.spent.encrypted_runs == 0
