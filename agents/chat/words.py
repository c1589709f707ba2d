"""What the chat says that does not depend on the study, and how it reads short answers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from agents.llm.settings import HOW_TO_SET
from search.api.domain import Choice, Integer, Ordinal, Param, Real, Value, Vector

HELP = """Say what you want: "under 2 s at 20 bits, 16 GiB", "as fast as possible at 22 bits".
Ask why: "why is trial 3 slow?"  Change a knob: "log_n = 14".
  /run            go on towards the goal
  /plan           what would be done next, and what it may cost
  /try A=1 B=2    change knobs of the chosen point: verdict and prediction, no key is made
  /try ... !      and run it encrypted (asks first)
  /why [N|A=1]    why trial N (default: the chosen one), or why a change is not legal
  /front          confirmed trials that no other one beats
  /history [N]    the last N trials (default 10)
  /take N         choose trial N
  /budget [A=1]   what is spent and left; change a limit
  /goal [TEXT]    show or change the goal
  /undo           back to the goal, choice and budget before
  /export [DIR]   write the chosen trial as an artefact to deploy
  /quit           leave; everything is kept"""

NO_MODEL = f"No language model is set, so the expert answers. To talk to a model, {HOW_TO_SET}."

_PAIR = re.compile(r"([A-Za-z_]\w*)\s*(?:=|to\b)\s*(\([^)]*\)|\[[^\]]*\]|\S+)")
_YES = {"y": "yes", "yes": "yes", "a": "all", "all": "all", "n": "no", "no": "no", "": "no"}


def approval(answer: str) -> str | None:
    """``yes``, ``all`` or ``no``; None if the answer is neither."""
    return _YES.get(answer.strip().lower().rstrip("."))


def is_question(text: str) -> bool:
    """Whether a person asks rather than states."""
    first = text.strip().lower().split(maxsplit=1)[:1]
    return text.rstrip().endswith("?") or first in ([w] for w in ("why", "what", "how", "which"))


def pairs(text: str) -> dict[str, str]:
    """``name=value`` pairs in ``text``, also ``name to value``."""
    return {name: value.strip("\"'!,;?") for name, value in _PAIR.findall(text)}


def changes(text: str, params: Sequence[Param]) -> dict[str, Value]:
    """Knobs that ``text`` changes, as values of their domains where they can be read as such."""
    known = {p.name: p for p in params}
    return {
        name: read_value(value, known[name]) for name, value in pairs(text).items() if name in known
    }


def unknown_names(text: str, params: Sequence[Param], besides: Mapping[str, object]) -> list[str]:
    """Names in pairs of ``text`` that are neither parameters nor in ``besides``."""
    known = {p.name for p in params}
    return [name for name in pairs(text) if name not in known and name not in besides]


def read_value(text: str, param: Param) -> Value:
    """``text`` as a value of the parameter; as it stands if it cannot be read."""
    domain = param.domain
    if isinstance(domain, Vector):
        entries = re.split(r"[\s,]+", text.strip("()[] "))
        return tuple(_scalar(e, domain.element) for e in entries if e)
    return _scalar(text, domain)


def _scalar(text: str, domain: object) -> bool | int | float | str:
    if isinstance(domain, (Choice, Ordinal)):
        return next((o for o in domain.options if str(o).lower() == text.lower()), text)
    kind = float if isinstance(domain, Real) else int if isinstance(domain, Integer) else str
    try:
        return kind(text)
    except ValueError:
        return text
