"""What a chat remembers, in the run directory: what was said, the goal, the choice, the budget."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agents.api import Goal, Limits
from search.api.errors import StoreError

FILE = "chat.jsonl"
REMOVED = "[removed]"


@dataclass(frozen=True)
class State:
    """What ``/undo`` goes back to.

    Args:
        goal: what is wanted.
        chosen: trial that was taken; None before.
        limits: budgets of the whole chat.
    """

    goal: Goal
    chosen: int | None = None
    limits: Limits = field(default_factory=Limits)


class Record:
    """Appends to ``chat.jsonl``; reading it again restores the chat.

    Args:
        run: run directory; made if it is not there.
        secrets: texts that are never written.
    """

    def __init__(self, run: Path, secrets: Sequence[str] = ()) -> None:
        self.path = run / FILE
        self._secrets = tuple(s for s in secrets if s)

    def said(self, who: str, text: str) -> None:
        """Something was said by ``person`` or ``agent``."""
        self._add({"who": who, "text": text})

    def changed(self, state: State) -> None:
        """The state is another one now."""
        self._add({"state": dataclasses.asdict(state)})

    def lines(self) -> list[tuple[str, str]]:
        """Who said what, from the beginning."""
        return [(e["who"], e["text"]) for e in self._events() if "who" in e]

    def states(self) -> list[State]:
        """Every state there was, the last one last.

        Raises:
            StoreError: the file is damaged.
        """
        return [_state(e["state"]) for e in self._events() if "state" in e]

    def _add(self, event: Mapping[str, Any]) -> None:
        text = json.dumps(event, ensure_ascii=False)
        for secret in self._secrets:
            text = text.replace(secret, REMOVED).replace(json.dumps(secret)[1:-1], REMOVED)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(text + "\n")

    def _events(self) -> list[dict[str, Any]]:
        if not self.path.exists():
            return []
        found = []
        for number, line in enumerate(self.path.read_text(encoding="utf-8").splitlines(), 1):
            try:
                event = json.loads(line)
            except ValueError as error:
                raise StoreError(
                    f"{self.path}: line {number} cannot be read ({error}). Remove the line to go on"
                ) from error
            found.append(event)
        return found


def _state(data: Mapping[str, Any]) -> State:
    goal = Goal(data["goal"]["minimise"], tuple(data["goal"]["demands"]))
    return State(goal, data["chosen"], Limits(**data["limits"]))
