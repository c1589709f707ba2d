"""A language model with native tool calls, by LangChain's ``create_agent``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from agents.api import SessionResult, Toolbox, Workbench
from agents.controllers.closing import Backing, Choice, Closing, pursue
from agents.llm.actions import FINISH, schemas
from agents.llm.data import as_data, clean
from agents.llm.dialogue import Dialogue, Lost
from agents.llm.model import ChatModel
from agents.llm.prompt import WITH_TOOLS, state, system_text
from agents.llm.schema import mended
from agents.outcome import params_of
from agents.transcript import Transcript

_FINISH_DOC = "End with a confirmed trial that meets every demand, or with -1 for none."


class LlmTools:
    """Lets LangChain's agent loop call the tools; limits are the dialogue's, and middleware's.

    Args:
        model: who is asked.
        backing: who takes over.
        transcript: where everything is written.
    """

    name = "llm_tools"

    def __init__(
        self,
        model: ChatModel,
        backing: Backing | None = None,
        transcript: Transcript | None = None,
    ) -> None:
        self._model, self._backing = model, backing or Backing()
        self._transcript = transcript or Transcript(secrets=model.secrets)

    def run(self, bench: Workbench, tools: Toolbox, say: Callable[[str], None]) -> SessionResult:
        """Pursue the bench's goal within its limits."""
        dialogue = Dialogue(
            self._model, bench, tools, self._transcript, reserve=self._backing.reserve
        )
        return pursue(self.name, dialogue, self._backing, say, lambda d: _converse(d, say))


def _converse(dialogue: Dialogue, say: Callable[[str], None]) -> Choice:
    closing = Closing(dialogue)
    agent = _agent(dialogue, closing, say)
    limits = dialogue.bench.limits
    settings = {"recursion_limit": 4 * (limits.turns + limits.tool_calls) + 20}
    opening = f"state: {as_data(state(dialogue.bench), 3000)}"
    messages: list[Any] = [{"role": "user", "content": opening}]
    while True:
        messages = agent.invoke({"messages": messages}, settings)["messages"]
        if closing.choice is not None:
            return closing.choice
        if not _answered(messages[-1]):
            dialogue.refuse("the reply calls no tool")
            hint = "Call a tool, or finish. " + opening
            messages = [*messages, {"role": "user", "content": hint}]
        if dialogue.patience.lost:
            raise Lost(dialogue.patience.last)


def _answered(message: Any) -> bool:
    """Whether the last message is a tool's, so that it is the model's turn again."""
    return bool(message.type == "tool")


def _agent(dialogue: Dialogue, closing: Closing, say: Callable[[str], None]) -> Any:
    from langchain.agents import create_agent
    from langchain.agents.middleware import ModelCallLimitMiddleware, ToolCallLimitMiddleware
    from langchain_core.tools import StructuredTool

    from agents.llm.langchain_chat import DialogueChat

    known = schemas(dialogue.tools, params_of(dialogue.bench))

    def carry_out(name: str, arguments: Mapping[str, Any]) -> str:
        given, notes = mended(known.get(name, {}), arguments)
        if name != FINISH:
            say(f"{dialogue.model.name} calls {clean(name, 60)}")
            return dialogue.call(name, given, notes)
        reason = closing.offer(given)
        if reason:
            dialogue.refuse(reason)
        return as_data({"error": reason} if reason else {"finished": True})

    chat = DialogueChat(dialogue, carry_out)
    docs = {tool.name: tool.doc for tool in dialogue.tools.tools.values()}
    # Given as plain schemas, LangChain leaves checking to the toolbox, which answers in words.
    tools = [
        StructuredTool.from_function(
            lambda **arguments: chat.answer, name=name, args_schema=schema,
            description=docs.get(name, _FINISH_DOC), return_direct=name == FINISH,
        )
        for name, schema in known.items()
    ]  # fmt: skip
    limits = dialogue.bench.limits
    # The dialogue's limits come first; these hold even if the loop went another way.
    calls = limits.turns + limits.tool_calls + 1
    middleware: list[Any] = [
        ModelCallLimitMiddleware(run_limit=calls, exit_behavior="end"),
        ToolCallLimitMiddleware(run_limit=calls, exit_behavior="end"),
    ]
    return create_agent(chat, tools, system_prompt=system_text(WITH_TOOLS), middleware=middleware)
