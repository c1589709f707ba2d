"""What a language model is to this project: messages in, a reply out, failures named.

Messages are plain mappings in the form chat completions use (``role``, ``content``,
``tool_calls``, ``tool_call_id``), so that a transcript needs no library to be read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

Message = Mapping[str, Any]


class ModelFailure(Exception):
    """The model cannot be reached or answered nothing usable.

    Args:
        text: what happened, for people.
        again: whether the same request may succeed later (too busy, a time-out, a server fault).
        after_s: how long the endpoint asked to wait.
    """

    def __init__(self, text: str, *, again: bool = False, after_s: float | None = None) -> None:
        super().__init__(text)
        self.again, self.after_s = again, after_s


@dataclass(frozen=True)
class ToolCall:
    """A call a model asked for.

    Args:
        name: of the tool, as the model wrote it.
        arguments: decoded; None if they were no JSON object.
        identifier: that the answer must carry.
        text: the arguments as written, if they could not be decoded.
    """

    name: str
    arguments: Mapping[str, Any] | None
    identifier: str = ""
    text: str = ""


@dataclass(frozen=True)
class Reply:
    """What a model answered.

    Args:
        text: prose or JSON; may be empty.
        calls: tools to call, in order.
        tokens_in, tokens_out: as the endpoint counted; None if it did not say.
        cut: whether the answer ran into the limit of its length.
    """

    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    tokens_in: int | None = None
    tokens_out: int | None = None
    cut: bool = False


@dataclass(frozen=True)
class Request:
    """One question to a model.

    Args:
        messages: the whole conversation.
        tools: definitions (``name``, ``description``, ``parameters``) the model may call.
        schema: JSON schema the answer must fit; None for prose or tools.
        max_tokens: longest answer.
        timeout_s: longest wait.
    """

    messages: Sequence[Message]
    tools: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    schema: Mapping[str, Any] | None = None
    max_tokens: int = 1024
    timeout_s: float = 120.0


class ChatModel(Protocol):
    """Something that answers: an endpoint, or a script."""

    @property
    def name(self) -> str:
        """For people and transcripts."""
        ...

    @property
    def secrets(self) -> tuple[str, ...]:
        """Texts that must never be written anywhere."""
        ...

    def answer(self, request: Request) -> Reply:
        """The reply.

        Raises:
            ModelFailure: there is none.
        """
        ...

    def money(self, tokens_in: int, tokens_out: int) -> float:
        """What so many tokens cost; 0 if not known."""
        ...
