"""What a person means: by rules first, by a model where rules find nothing and there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agents.api import Goal
from agents.goals import checked, read_goal
from agents.llm.actions import first_object
from agents.llm.claims import check_claims, facts_of, marked
from agents.llm.data import NOTICE, as_data, clean
from agents.llm.dialogue import Dialogue, OutOfBudget
from agents.llm.model import ModelFailure
from agents.llm.prompt import state
from agents.llm.settings import HOW_TO_SET
from agents.transcript import Transcript
from search.api.errors import ConfigError

if TYPE_CHECKING:
    from agents.chat.chat import Chat

_GOAL_PART = (
    "Translate what a person wants into a goal. minimise is the one metric to improve; demands are "
    "bounds on metrics such as 'latency_ckks <= 2 s'. Use only the listed metrics and their units. "
)
_ANSWER_PART = (
    "Answer the person's question in at most four sentences, from the data given and nothing else. "
    "State no number that is not in the data. "
)


def goal_of(chat: Chat, text: str) -> Goal | None:
    """The goal in ``text``; None if there is none, which is said."""
    metrics = chat.study.components.metrics()
    try:
        return read_goal(text, metrics, chat.state.goal)
    except ConfigError as problem:
        if chat.parts.model is None:
            chat.say(f"{problem.message}.")
            chat.say(f"Free talk needs a language model: {HOW_TO_SET}. /help lists what I know.")
            return None
    found = _asked(chat, text)
    if found is None:
        chat.say("I could not make a goal of that. Name bounds, such as: under 2 s at 20 bits.")
    return found


def answer(chat: Chat, question: str) -> None:
    """A model's answer to a question, numbers of no record marked."""
    with chat.bench() as bench:
        tools = chat.parts.tools(bench)
        dialogue = _dialogue(chat, bench, tools)
        shown: dict[str, Any] = {"state": state(bench), "chosen": chat.state.chosen}
        for name, tool in tools.tools.items():
            if name.startswith("describe"):
                fields = tool.arguments.model_fields.values()
                if not any(f.is_required() for f in fields):
                    shown[name] = tools.call(name, {})
        messages = [
            {"role": "system", "content": _ANSWER_PART + NOTICE},
            {"role": "user", "content": f"data: {as_data(shown, 8000)}\nquestion: {question}"},
        ]
        try:
            text = clean(dialogue.ask(messages).text, 1500)
        except (ModelFailure, OutOfBudget) as problem:
            chat.say(f"The model did not answer ({problem}). /why says what the records hold.")
            return
        claims = check_claims(text, facts_of(bench.trials(), bench.goal.demands, [shown]))
        chat.say(marked(text, claims) or "The model said nothing. /why says what is known.")


def _asked(chat: Chat, text: str) -> Goal | None:
    metrics = chat.study.components.metrics()
    schema = {
        "type": "object",
        "properties": {
            "minimise": {"type": "string", "enum": sorted(metrics)},
            "demands": {
                "type": "array",
                "maxItems": 6,
                "items": {"type": "string", "maxLength": 80},
            },
        },
        "required": ["minimise", "demands"],
        "additionalProperties": False,
    }
    known = {m.name: {"unit": m.unit, "better": m.goal, "doc": m.doc} for m in metrics.values()}
    messages = [
        {"role": "system", "content": _GOAL_PART + NOTICE},
        {"role": "user", "content": f"metrics: {as_data(known)}\nwanted: {clean(text)}"},
    ]
    with chat.bench() as bench:
        try:
            reply = _dialogue(chat, bench, chat.parts.tools(bench)).ask(messages, schema=schema)
            data = first_object(reply.text) or {}
            return checked(Goal(data["minimise"], tuple(map(str, data["demands"]))), metrics)
        except (ModelFailure, OutOfBudget) as problem:
            chat.say(f"The model did not answer ({problem}).")
        except (ConfigError, KeyError, TypeError) as problem:
            chat.say(f"The model's goal cannot be used ({problem}).")
    return None


def _dialogue(chat: Chat, bench: Any, tools: Any) -> Dialogue:
    if chat.parts.model is None:
        raise ModelFailure("no model is set")
    transcript = Transcript.within(chat.study.path, "chat", chat.parts.model.secrets)
    return Dialogue(chat.parts.model, bench, tools, transcript)
