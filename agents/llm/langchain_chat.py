"""A LangChain chat model that asks through a :class:`Dialogue`, so that its limits hold.

LangChain runs tools in threads, all calls of a reply at once. A study runs one trial at a time, a
transcript needs an order, and Ctrl-C reaches the main thread alone. So calls are handed out one by
one, each as a message of its own, and carried out here; LangChain's tool hands the answer over.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.utils import convert_to_openai_messages
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import PrivateAttr

from agents.llm.dialogue import Dialogue, Lost
from agents.llm.messages import trimmed
from agents.llm.model import ToolCall

CALLS_A_REPLY = 8
"""Calls of one reply that are carried out; the rest of a flood is refused."""


class DialogueChat(BaseChatModel):
    """Hands LangChain's messages to a dialogue, and its replies back.

    Args:
        dialogue: who is asked.
        carry_out: tool's name and arguments -> its answer.
    """

    _dialogue: Dialogue = PrivateAttr()
    _carry_out: Callable[[str, Mapping[str, Any]], str] = PrivateAttr()
    _waiting: deque[ToolCall] = PrivateAttr(default_factory=deque)
    _answer: str = PrivateAttr(default="")

    def __init__(
        self, dialogue: Dialogue, carry_out: Callable[[str, Mapping[str, Any]], str]
    ) -> None:
        super().__init__()
        self._dialogue, self._carry_out = dialogue, carry_out

    @property
    def answer(self) -> str:
        """What the call handed out last gave."""
        return self._answer

    @property
    def _llm_type(self) -> str:
        return "dialogue"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        """The same model with the tools' definitions."""
        kwargs.pop("tool_choice", None)
        return self.bind(tools=[convert_to_openai_tool(t)["function"] for t in tools], **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        *,
        tools: Sequence[Any] = (),
        **kwargs: Any,
    ) -> ChatResult:
        if self._dialogue.patience.lost:
            raise Lost(self._dialogue.patience.last)
        text = ""
        if not self._waiting:
            text = self._ask(messages, tools)
        calls = [self._waiting.popleft()] if self._waiting else []
        for call in calls:
            self._answer = self._carry_out(call.name, call.arguments or {})
        message = AIMessage(
            content=text,
            tool_calls=[
                {"name": c.name, "args": dict(c.arguments or {}), "id": c.identifier} for c in calls
            ],
        )
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _ask(self, messages: list[BaseMessage], tools: Sequence[Any]) -> str:
        wire = convert_to_openai_messages(messages)
        reply = self._dialogue.ask(trimmed(wire), tools)
        readable = [c for c in reply.calls if c.arguments is not None]
        for call in reply.calls:
            if call.arguments is None:
                self._dialogue.refuse(f"{call.name}: the arguments are no JSON object")
        if len(readable) > CALLS_A_REPLY:
            self._dialogue.refuse(
                f"{len(readable)} calls in one reply; the first {CALLS_A_REPLY} are carried out"
            )
        for number, call in enumerate(readable[:CALLS_A_REPLY]):
            identifier = call.identifier or f"call-{len(messages)}-{number}"
            self._waiting.append(ToolCall(call.name, call.arguments, identifier))
        return reply.text
