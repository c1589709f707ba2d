"""The controller by native tool calls: LangChain's loop, our limits."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from agents.controllers.closing import Backing
from agents.controllers.llm_tools import LlmTools
from agents.llm.model import ModelFailure, Reply, ToolCall
from agents.llm.openai_model import OpenAIModel
from agents.llm.scripted import ScriptedModel
from agents.llm.scripted_server import Answer, ScriptedServer
from agents.llm.settings import ModelSettings
from agents.transcript import Transcript

GOOD = {"log_n": 13, "scale": 35}


def calls(*wanted: tuple[str, dict[str, Any] | None]) -> Reply:
    """A reply that calls tools."""
    found = [ToolCall(n, a, f"id{i}", "{oops" if a is None else "") for i, (n, a) in
             enumerate(wanted)]  # fmt: skip
    return Reply("", tuple(found), 50, 10)


FINISH = calls(("finish", {"trial": 1, "summary": "Trial 1 takes 1 s."}))
EXPERT_LIKE = (
    calls(("describe_network", {})),
    calls(("check", {"point": GOOD}), ("evaluate", {"point": GOOD, "up_to": "predicted"})),
    calls(("evaluate", {"point": GOOD, "up_to": "encrypted"})),
    FINISH,
)


def silent(text: str) -> None:
    """Say nothing."""


def test_a_run_like_an_experts_reaches_the_goal(tiny_bench: Any, tools_of: Any) -> None:
    bench = tiny_bench()
    model = ScriptedModel(EXPERT_LIKE)
    result = LlmTools(model).run(bench, tools_of(bench), silent)
    assert result.ending == "reached"
    assert result.reason == "Trial 1 takes 1 s."
    assert bench.spent.turns == 4
    assert bench.spent.tool_calls == 4
    names = [t["name"] for t in model.requests[0].tools]
    assert names == ["describe_network", "check", "evaluate", "history", "finish"]
    assert model.requests[0].tools[1]["parameters"]["properties"]["point"]["type"] == "object"


def test_calls_of_one_reply_run_one_by_one_in_this_thread(tiny_bench: Any, tools_of: Any) -> None:
    """A study runs one trial at a time, and Ctrl-C reaches the main thread alone."""
    bench, threads = tiny_bench(), []
    evaluate = bench.evaluate

    def watched(*arguments: Any) -> Any:
        threads.append(threading.current_thread() is threading.main_thread())
        return evaluate(*arguments)

    bench.evaluate = watched
    points = [{"log_n": 14, "scale": 30 + n} for n in range(5)]
    many = calls(*[("evaluate", {"point": p, "up_to": "static"}) for p in points])
    model = ScriptedModel([many, calls(("finish", {"trial": -1, "summary": ""}))])
    LlmTools(model).run(bench, tools_of(bench), silent)
    assert threads == [True] * 5
    assert [t.point["scale"] for t in bench.trials()] == [30, 31, 32, 33, 34]
    answers = [m for m in model.requests[-1].messages if m["role"] == "tool"]
    assert len(answers) == 5


def test_a_transcript_replays_byte_for_byte(
    tiny_bench: Any, tools_of: Any, expert: Any, tmp_path: Path
) -> None:
    lines = [
        ModelFailure("the endpoint answered 500", again=True, after_s=0.0),
        Reply("let me think", (), 10, 10),
        calls(("check", None)),
        *EXPERT_LIKE,
    ]
    for name in ("one", "two"):
        bench, transcript = tiny_bench(), Transcript(tmp_path / f"{name}.jsonl")
        model = (
            ScriptedModel(lines)
            if name == "one"
            else ScriptedModel.from_transcript(tmp_path / "one.jsonl")
        )
        result = LlmTools(model, Backing(expert), transcript).run(bench, tools_of(bench), silent)
        assert result.ending == "reached"
    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "two.jsonl").read_bytes()
    assert len(Transcript(None).text) == 0


@pytest.mark.parametrize(
    "nonsense",
    [
        Reply("I think the answer is 42.", (), 10, 10),
        Reply("", (), 10, 10),
        calls(("shell", {"command": "rm -rf /"})),
        calls(("evaluate", None)),
        calls(("evaluate", {"point": "everything"})),
        calls(("evaluate", {"point": {"log_n": 12, "scale": 50}})),
        calls(("finish", {"trial": 5, "summary": ""})),
    ],
)
def test_repeated_nonsense_hands_over_to_the_expert(
    nonsense: Reply, tiny_bench: Any, tools_of: Any, expert: Any
) -> None:
    bench = tiny_bench()
    result = LlmTools(ScriptedModel([nonsense] * 50), Backing(expert)).run(
        bench, tools_of(bench), silent
    )
    assert result.fallback
    assert result.ending == "reached"
    assert "no use" in result.reason
    assert bench.spent.turns <= 5


def test_a_flood_of_calls_is_dammed(tiny_bench: Any, tools_of: Any, expert: Any) -> None:
    bench = tiny_bench(tool_calls=30)
    flood = [calls(*[("check", {"point": {"log_n": 14, "scale": 20 + (n + k) % 31}})
                     for n in range(100)]) for k in range(50)]  # fmt: skip
    model = ScriptedModel(flood)
    result = LlmTools(model, Backing(expert)).run(bench, tools_of(bench), silent)
    assert result.fallback
    assert bench.spent.tool_calls <= 30
    assert bench.spent.turns <= 8


def test_bad_arguments_come_back_in_words(tiny_bench: Any, tools_of: Any) -> None:
    bench = tiny_bench()
    model = ScriptedModel([calls(("evaluate", {"point": {"log_n": "big", "scale": 35}})),
                           *EXPERT_LIKE])  # fmt: skip
    LlmTools(model).run(bench, tools_of(bench), silent)
    told = model.requests[1].messages[-1]["content"]
    assert "valid integer" in told


@pytest.mark.parametrize(
    ("limits", "named"), [({"turns": 2}, "turns"), ({"tool_calls": 2}, "tool calls")]
)
def test_limits_end_the_model_in_good_order(
    limits: dict[str, Any], named: str, tiny_bench: Any, tools_of: Any
) -> None:
    bench = tiny_bench(**limits)
    result = LlmTools(ScriptedModel(EXPERT_LIKE)).run(bench, tools_of(bench), silent)
    assert result.ending == "budget"
    assert f"limit on {named}" in result.reason


def test_over_an_endpoint_that_stumbles(tiny_bench: Any, tools_of: Any, tmp_path: Path) -> None:
    """429, 500, a body that is no completion, and arguments that are no JSON: all end well."""
    bench = tiny_bench()
    now = {"Retry-After": "0"}
    script = [
        Answer("busy", status=429, headers=now),
        Answer("fault", status=500, headers=now),
        Answer(calls=(("check", "{no json"),)),
        Answer(calls=(("check", {"point": GOOD}), ("evaluate", {"point": GOOD}))),
        Answer(calls=(("evaluate", {"point": GOOD, "up_to": "encrypted"}),)),
        Answer(calls=(("finish", {"trial": 1, "summary": "Trial 1 holds."}),)),
    ]
    transcript = Transcript(tmp_path / "t.jsonl", ("sk-very-secret",))
    with ScriptedServer(script) as server:
        model = OpenAIModel(ModelSettings("tools", server.base_url, "sk-very-secret"))
        result = LlmTools(model, transcript=transcript).run(bench, tools_of(bench), silent)
    assert result.ending == "reached"
    assert len(server.requests) == 6
    assert {k.lower(): v for k, v in server.headers[0].items()}[
        "authorization"
    ] == "Bearer sk-very-secret"
    written = (tmp_path / "t.jsonl").read_text()
    assert "sk-very-secret" not in written
    assert "uthorization" not in written
    assert [f["text"] for f in transcript.events("failure")] == [
        "the endpoint answered 429", "the endpoint answered 500"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer("fault", status=500, headers={"Retry-After": "0"}), "answered 500"),
        (Answer(raw="<html>gateway</html>"), "cannot be read"),
        (Answer(raw='{"choices": []}'), "cannot be read"),
        (Answer("bad key sk-very-secret", status=400), "answered 400"),
        (Answer("gone", status=404), "no model"),
    ],
)
def test_an_endpoint_that_fails_for_good_leaves_it_to_the_expert(
    answer: Answer, said: str, tiny_bench: Any, tools_of: Any, expert: Any
) -> None:
    bench = tiny_bench()
    with ScriptedServer([answer]) as server:
        model = OpenAIModel(ModelSettings("tools", server.base_url, "sk-very-secret"))
        transcript = Transcript(secrets=model.secrets)
        result = LlmTools(model, Backing(expert), transcript).run(bench, tools_of(bench), silent)
    assert result.fallback
    assert result.ending == "reached"
    assert said in result.reason
    assert "sk-very-secret" not in result.reason + transcript.text


def test_time_outs_end_at_the_limit(tiny_bench: Any, tools_of: Any) -> None:
    bench = tiny_bench(seconds=1.0)
    with ScriptedServer([Answer("late", wait_s=2.5)]) as server:
        model = OpenAIModel(ModelSettings("tools", server.base_url, timeout_s=30))
        result = LlmTools(model).run(bench, tools_of(bench), silent)
    assert result.ending in ("budget", "stuck")
    assert bench.spent.seconds < 20
