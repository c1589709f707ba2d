"""A language model that answers with JSON actions: for models without tool calling."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from agents.api import SessionResult, Toolbox, Workbench
from agents.controllers.closing import Backing, Choice, Closing, pursue
from agents.llm.actions import FINISH, BadAction, action_schema, read_action, schemas
from agents.llm.data import as_data, clean
from agents.llm.dialogue import Dialogue, Lost
from agents.llm.messages import trimmed
from agents.llm.model import ChatModel, Message
from agents.llm.prompt import WITH_JSON, state, system_text
from agents.outcome import params_of
from agents.transcript import Transcript

_KEPT = 8
"""Messages kept besides the first two: small models read little, and the state is repeated."""


class LlmJson:
    """Asks for one action at a time, as JSON that fits a schema.

    Args:
        model: who is asked.
        backing: who takes over.
        transcript: where everything is written.
    """

    name = "llm_json"

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
    known = schemas(dialogue.tools, params_of(dialogue.bench))
    closing = Closing(dialogue)
    messages: list[Message] = [
        {"role": "system", "content": f"{system_text(WITH_JSON)}\nActions: {_listed(dialogue)}"},
        {"role": "user", "content": _state_text(dialogue)},
    ]
    while True:
        reply = dialogue.ask(trimmed(messages, _KEPT), schema=action_schema(_open(dialogue, known)))
        messages.append({"role": "assistant", "content": reply.text[:2000] or "{}"})
        try:
            action = read_action(reply.text, known)
        except BadAction as problem:
            dialogue.refuse(str(problem))
            answer = as_data({"error": str(problem)})
        else:
            if action.why:
                say(f"{dialogue.model.name}: {clean(action.why)}")
            if action.name == FINISH:
                reason = closing.offer(action.arguments)
                if closing.choice is not None:
                    return closing.choice
                dialogue.refuse(reason)
                answer = as_data({"error": reason})
            else:
                answer = dialogue.call(action.name, action.arguments, action.notes)
        if dialogue.patience.lost:
            raise Lost(dialogue.patience.last)
        messages.append({"role": "user", "content": f"result: {answer}\n{_state_text(dialogue)}"})


def _open(dialogue: Dialogue, known: Mapping[str, Any]) -> dict[str, Any]:
    """Actions that may still be taken: small models repeat themselves as long as they can."""
    return {
        name: schema
        for name, schema in known.items()
        if name == FINISH or schema.get("properties") or not dialogue.is_spent(name, {})
    }


def _state_text(dialogue: Dialogue) -> str:
    return f"state: {as_data(state(dialogue.bench), 3000)}\nNext action?"


def _listed(dialogue: Dialogue) -> str:
    found = [f"{tool.name}: {tool.doc}" for tool in dialogue.tools.tools.values()]
    found.append(f"{FINISH}: End with a confirmed trial that meets every demand, or -1.")
    return json.dumps(found, ensure_ascii=False)
