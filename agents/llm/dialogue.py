"""A conversation with a model over tools: within limits, recorded, and patient up to a point."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agents.api import Toolbox, Workbench
from agents.llm.data import as_data
from agents.llm.model import ChatModel, Message, ModelFailure, Reply, Request
from agents.llm.patience import Patience
from agents.transcript import Transcript

ATTEMPTS = 3
"""Times the same question is asked when an endpoint is busy or faulty."""
LONGEST_PAUSE_S = 20.0
LONGEST_REPLY = 1024  # tokens; a tool call or an action needs about 100
SHORTEST_REPLY = 64  # tokens; with less an action is cut off for certain
_CHARACTERS_A_TOKEN = 3.0  # on the low side for English and JSON, so estimates err upwards


class OutOfBudget(Exception):
    """A limit is reached; ``limit`` names it as :class:`agents.api.Limits` does."""

    def __init__(self, limit: str) -> None:
        super().__init__(f"the limit on {limit.replace('_', ' ')} is reached")
        self.limit = limit


class Lost(Exception):
    """The model's answers are of no use; the text says what the last one was."""


class Dialogue:
    """Asks a model and calls tools for it, and counts both on the workbench's ``spent``.

    Args:
        model: who answers.
        bench: whose limits hold.
        tools: what may be called.
        transcript: where everything is written.
        reserve: encrypted runs kept back for whoever takes over.
        pause: waits for so many seconds between attempts.
        now: seconds on a clock that never goes back.
    """

    def __init__(
        self,
        model: ChatModel,
        bench: Workbench,
        tools: Toolbox,
        transcript: Transcript,
        *,
        reserve: int = 0,
        pause: Callable[[float], None] = time.sleep,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.model, self.bench, self.tools, self.transcript = model, bench, tools, transcript
        self.patience = Patience()
        self.results: list[Mapping[str, Any]] = []
        self._reserve, self._pause, self._now = reserve, pause, now
        self._start = now() - bench.spent.seconds

    @property
    def seconds_left(self) -> float:
        """Of the limit on seconds."""
        return self.bench.limits.seconds - (self._now() - self._start)

    def ask(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] = (),
        schema: Mapping[str, Any] | None = None,
    ) -> Reply:
        """The model's reply, asked for again if the endpoint was busy.

        Raises:
            OutOfBudget: a limit is reached.
            ModelFailure: no reply after all attempts.
        """
        spent, limits = self.bench.spent, self.bench.limits
        self._check_seconds()
        if spent.turns >= limits.turns:
            raise OutOfBudget("turns")
        text = json.dumps([list(map(dict, messages)), list(map(dict, tools)), schema], default=str)
        read = _tokens(text)
        length = self._longest_reply(read)
        spent.turns += 1
        request = Request(messages, tools, schema, length)
        reply = self._attempts(request)
        tokens_in = read if reply.tokens_in is None else reply.tokens_in
        tokens_out = reply.tokens_out
        if tokens_out is None:
            tokens_out = _tokens(reply.text + "".join(str(c.arguments) for c in reply.calls))
        spent.tokens += tokens_in + tokens_out
        spent.money += self.model.money(tokens_in, tokens_out)
        self.transcript.add(
            "reply",
            text=reply.text,
            calls=list(reply.calls),
            tokens_in=reply.tokens_in,
            tokens_out=reply.tokens_out,
            cut=reply.cut,
        )
        return reply

    def call(self, name: str, arguments: Mapping[str, Any], notes: Sequence[str] = ()) -> str:
        """The answer of a tool as text for the model; what it may get wrong is part of it.

        Raises:
            OutOfBudget: a limit is reached.
        """
        spent, limits = self.bench.spent, self.bench.limits
        self._check_seconds()
        if spent.tool_calls >= limits.tool_calls:
            raise OutOfBudget("tool_calls")
        spent.tool_calls += 1
        result: Mapping[str, Any]
        if self.patience.repeats(self._key(name, arguments)):
            result = {"error": "exactly this was asked before; see the answers above"}
        elif self._keeps_back(name, arguments):
            result = {"error": "the encrypted runs left are kept for the final confirmation"}
        else:
            result = self.tools.call(name, arguments)
        if "error" in result:
            self.patience.strike(f"{name}: {result['error']}")
        else:
            self.patience.useful()
            self.results.append(result)
        if notes:
            result = {**result, "mended": list(notes)}
        text = as_data(result)
        self.transcript.add("tool", name=name, arguments=dict(arguments), result=text)
        return text

    def is_spent(self, name: str, arguments: Mapping[str, Any]) -> bool:
        """Whether exactly this call would not be answered any more."""
        return self.patience.spent(self._key(name, arguments))

    def _key(self, name: str, arguments: Mapping[str, Any]) -> str:
        """Names a call; after another trial the same call may have another answer."""
        count = len(self.bench.trials())
        return json.dumps([name, dict(arguments), count], sort_keys=True, default=str)

    def refuse(self, reason: str) -> None:
        """A reply was of no use; counts it."""
        self.patience.strike(reason)
        self.transcript.add("refused", reason=reason)

    def _check_seconds(self) -> None:
        spent = self.bench.spent
        spent.seconds = max(spent.seconds, self._now() - self._start)
        if self.seconds_left <= 0:
            raise OutOfBudget("seconds")

    def _longest_reply(self, read: int) -> int:
        """Tokens the reply may have within the limits on tokens and money.

        Raises:
            OutOfBudget: there is no room for a reply.
        """
        spent, limits = self.bench.spent, self.bench.limits
        room = limits.tokens - spent.tokens - read
        if room < SHORTEST_REPLY:
            raise OutOfBudget("tokens")
        money = limits.money - spent.money - self.model.money(read, 0)
        price = self.model.money(0, 1)
        if money <= 0 and self.model.money(1, 1) > 0:
            raise OutOfBudget("money")
        if price > 0:
            room = min(room, int(money / price))
        if room < SHORTEST_REPLY:
            raise OutOfBudget("money")
        return min(LONGEST_REPLY, room)

    def _attempts(self, request: Request) -> Reply:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._within_seconds(request)
            except ModelFailure as failure:
                last = attempt == ATTEMPTS or not failure.again
                self.transcript.add("failure", text=str(failure), again=failure.again)
                if last:
                    raise
                self._wait(failure.after_s, attempt)
                self._check_seconds()
        raise ModelFailure("no attempt was made")

    def _wait(self, after_s: float | None, attempt: int) -> None:
        wished = 0.5 * 2**attempt if after_s is None else after_s
        if wished > self.seconds_left:
            raise OutOfBudget("seconds")
        self._pause(min(wished, LONGEST_PAUSE_S))

    def _within_seconds(self, request: Request) -> Reply:
        """The reply, waited for no longer than the limit: an endpoint that sends a byte now and
        then would outlast any time-out of its client. The thread is left behind if it does.
        """
        box: queue.Queue[Reply | BaseException] = queue.Queue(1)
        left = max(0.1, self.seconds_left)
        limited = Request(request.messages, request.tools, request.schema, request.max_tokens, left)

        def work() -> None:
            try:
                box.put(self.model.answer(limited))
            except BaseException as error:  # noqa: BLE001  # raised again where it was asked
                box.put(error)

        threading.Thread(target=work, daemon=True, name="model").start()
        try:
            found = box.get(timeout=left)
        except queue.Empty:
            raise OutOfBudget("seconds") from None
        if isinstance(found, BaseException):
            raise found
        return found

    def _keeps_back(self, name: str, arguments: Mapping[str, Any]) -> bool:
        """Whether the call would take an encrypted run that is kept for whoever takes over."""
        tool = self.tools.tools.get(name)
        top = self.bench.rungs[-1]
        if tool is None or not tool.dear:
            return False
        field = tool.arguments.model_fields.get("up_to")
        usual = top if field is None or field.is_required() else field.default
        if arguments.get("up_to", usual) != top:
            return False
        left = self.bench.limits.encrypted_runs - self.bench.spent.encrypted_runs
        return left <= self._reserve


def _tokens(text: str) -> int:
    return int(len(text) / _CHARACTERS_A_TOKEN) + 1
