"""An OpenAI-compatible endpoint on loopback that follows a script; nothing leaves the machine."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True)
class Answer:
    """One scripted answer.

    Args:
        text: of the message.
        calls: ``(tool, arguments)``; arguments as a mapping, or as raw text to be malformed.
        status: HTTP status; from 400 on ``text`` is the error's message.
        headers: further HTTP headers, such as ``Retry-After``.
        wait_s: seconds before it answers.
        raw: body to send instead of a completion.
        usage: tokens read and written to report; None reports none.
        finish: reason the message ended; made up from the rest if empty.
    """

    text: str = ""
    calls: tuple[tuple[str, Mapping[str, Any] | str], ...] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    wait_s: float = 0.0
    raw: str | None = None
    usage: tuple[int, int] | None = (100, 20)
    finish: str = ""


Script = Answer | Callable[[Mapping[str, Any]], Answer]


class ScriptedServer:
    """Serves ``/v1/chat/completions`` in a thread while its ``with`` block runs.

    Args:
        script: answers in order, or functions of the request; the last one repeats for ever.
    """

    def __init__(self, script: Iterable[Script]) -> None:
        self._script = list(script)
        if not self._script:
            raise ValueError("a script needs at least one answer")
        self.requests: list[Mapping[str, Any]] = []
        self.headers: list[Mapping[str, str]] = []
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def base_url(self) -> str:
        """What a client is given."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def _next(self, body: Mapping[str, Any], headers: Mapping[str, str]) -> Answer:
        with self._lock:
            self.requests.append(body)
            self.headers.append(headers)
            line = self._script[min(len(self.requests), len(self._script)) - 1]
        return line(body) if callable(line) else line

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:  # noqa: N802  # the standard library's name
                length = int(self.headers.get("Content-Length", 0))
                body = json.loads(self.rfile.read(length) or b"{}")
                answer = owner._next(body, dict(self.headers))
                time.sleep(answer.wait_s)
                data = payload(answer, len(owner.requests), str(body.get("model"))).encode()
                try:
                    self.send_response(answer.status)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(data)))
                    for name, value in answer.headers.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(data)
                except OSError:  # the client gave up waiting, as some scripts want it to
                    self.close_connection = True

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                """Say nothing."""

        return Handler


def payload(answer: Answer, number: int, model: str) -> str:
    """The body of ``answer`` as chat completions have it."""
    if answer.raw is not None:
        return answer.raw
    if answer.status >= 400:
        return json.dumps({"error": {"message": answer.text, "type": "scripted", "code": None}})
    message: dict[str, Any] = {"role": "assistant", "content": answer.text or None}
    if answer.calls:
        message["tool_calls"] = [
            {
                "id": f"call-{number}-{i}",
                "type": "function",
                "function": {
                    "name": name,
                    "arguments": given if isinstance(given, str) else json.dumps(dict(given)),
                },
            }
            for i, (name, given) in enumerate(answer.calls)
        ]
    finish = answer.finish or ("tool_calls" if answer.calls else "stop")
    body: dict[str, Any] = {
        "id": f"scripted-{number}",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
    }
    if answer.usage is not None:
        read, written = answer.usage
        body["usage"] = {
            "prompt_tokens": read,
            "completion_tokens": written,
            "total_tokens": read + written,
        }
    return json.dumps(body)
