"""The conversation as a model sees it, kept to a length it can read."""

from __future__ import annotations

from collections.abc import Sequence

from agents.llm.model import Message

KEPT = 20
"""Messages kept besides the first two; older ones are in the state anyway."""


def trimmed(messages: Sequence[Message], keep: int = KEPT) -> list[Message]:
    """The first two messages and the last ones, cut where the model spoke.

    A tool's answer without the call before it is refused by endpoints, so the tail begins with a
    message of the model.
    """
    if len(messages) <= keep + 2:
        return list(messages)
    start = len(messages) - keep
    while start < len(messages) and messages[start].get("role") != "assistant":
        start += 1
    return [*messages[:2], *messages[start:]]
