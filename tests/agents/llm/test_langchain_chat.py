"""LangChain's view of a dialogue."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import HumanMessage, SystemMessage

from agents.llm.dialogue import Dialogue, Lost
from agents.llm.langchain_chat import CALLS_A_REPLY, DialogueChat
from agents.llm.model import Reply, ToolCall
from agents.llm.scripted import ScriptedModel
from agents.transcript import Transcript

ASK = [SystemMessage("part"), HumanMessage("go")]


def test_calls_are_handed_out_one_by_one(tiny_bench: Any, tools_of: Any) -> None:
    bench, done = tiny_bench(), []
    many = tuple(ToolCall("history", {"n": n}) for n in range(20))
    model = ScriptedModel([Reply("first", many)])
    dialogue = Dialogue(model, bench, tools_of(bench), Transcript())

    def carry_out(name: str, arguments: Any) -> str:
        done.append(arguments["n"])
        return f"answer {arguments['n']}"

    chat = DialogueChat(dialogue, carry_out)
    for n in range(CALLS_A_REPLY):
        message = chat.invoke(ASK)
        assert message.text == ("first" if n == 0 else "")
        assert [c["args"] for c in message.tool_calls] == [{"n": n}]
        assert chat.answer == f"answer {n}"
    assert done == list(range(CALLS_A_REPLY))
    assert dialogue.patience.total == 1
    assert model.requests[0].messages[0] == {"role": "system", "content": "part"}


def test_a_lost_model_is_not_asked(tiny_bench: Any, tools_of: Any) -> None:
    bench = tiny_bench()
    dialogue = Dialogue(ScriptedModel([]), bench, tools_of(bench), Transcript())
    for _ in range(4):
        dialogue.refuse("nonsense")
    with pytest.raises(Lost, match="nonsense"):
        DialogueChat(dialogue, lambda name, arguments: "").invoke(ASK)
