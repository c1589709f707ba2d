"""One prompt, one point, no loop: the baseline that shows what the loop is worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from agents.api import SessionResult, Tool, Toolbox, ToolError, Workbench
from agents.controllers.closing import Backing, Choice, pursue
from agents.llm.actions import first_object
from agents.llm.data import as_data
from agents.llm.dialogue import Dialogue, Lost
from agents.llm.model import ChatModel
from agents.llm.prompt import PART, state
from agents.outcome import refusal
from agents.transcript import Transcript
from search.api.domain import point_from_json

_HOW = (
    "You have one answer and no tools. Reply with one JSON object: the value of every parameter "
    "of the configuration you choose, and nothing else."
)


class OneShot:
    """Shows a model the network and the parameters, takes its point and confirms that alone.

    Args:
        model: who is asked.
        transcript: where everything is written.
    """

    name = "one_shot"

    def __init__(
        self,
        model: ChatModel,
        transcript: Transcript | None = None,
    ) -> None:
        self._model = model
        self._transcript = transcript or Transcript(secrets=model.secrets)

    def run(self, bench: Workbench, tools: Toolbox, say: Callable[[str], None]) -> SessionResult:
        """Ask once, evaluate once."""
        dialogue = Dialogue(self._model, bench, tools, self._transcript)
        return pursue(self.name, dialogue, Backing(), say, _converse)


def _converse(dialogue: Dialogue) -> Choice:
    bench = dialogue.bench
    shown = {"state": state(bench), **_descriptions(dialogue)}
    reply = dialogue.ask(
        [
            {"role": "system", "content": f"{PART} {_HOW}"},
            {"role": "user", "content": as_data(shown, 12000)},
        ]
    )
    data = first_object(reply.text)
    if data is None:
        raise Lost("no JSON object in the answer")
    inner = data.get("point", data)
    try:
        point = point_from_json(inner if isinstance(inner, Mapping) else data)
        trial = bench.evaluate(point, bench.rungs[-1], "one-shot proposal of a model")
    except (ToolError, ValueError, TypeError) as problem:
        raise Lost(f"its point was refused: {problem}") from problem
    reason = refusal(bench, trial.number)
    if reason:
        raise Lost(reason)
    return Choice(trial.number, f"trial {trial.number} is the point of one prompt")


def _descriptions(dialogue: Dialogue) -> dict[str, Any]:
    """What tools without arguments tell about the network, in place of a conversation."""
    return {
        name: dialogue.tools.call(name, {})
        for name, tool in dialogue.tools.tools.items()
        if name.startswith("describe") and _plain(tool)
    }


def _plain(tool: Tool) -> bool:
    return not any(f.is_required() for f in tool.arguments.model_fields.values())
