"""The transcript of a session: one JSON object a line, without times, keys or headers.

Whatever a run's outcome depends on is in it and nothing else, so a session repeated with the
recorded replies on the same study writes the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from search.api.candidate import to_plain
from search.api.errors import StoreError

REMOVED = "[removed]"
FOLDER = "transcripts"


class Transcript:
    """Collects what was said and done; written line by line, so a kill loses nothing.

    Args:
        path: file to write; None keeps the lines in memory alone.
        secrets: texts that are replaced wherever they turn up.
    """

    def __init__(self, path: Path | None = None, secrets: Sequence[str] = ()) -> None:
        self.path = path
        self._secrets = tuple(s for s in secrets if s)
        self._lines: list[str] = []
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("", encoding="utf-8")

    @classmethod
    def within(cls, run: Path, controller: str, secrets: Sequence[str] = ()) -> Transcript:
        """A new numbered file in the folder ``transcripts`` of a run directory."""
        folder = run / FOLDER
        taken = [int(f.name[:3]) for f in folder.glob("[0-9][0-9][0-9]-*.jsonl")]
        number = max(taken, default=0) + 1
        return cls(folder / f"{number:03d}-{controller}.jsonl", secrets)

    def add(self, kind: str, **data: Any) -> None:
        """One event."""
        event = {"n": len(self._lines), "kind": kind, **to_plain(data)}
        line = self.clean(json.dumps(event, ensure_ascii=False, default=str))
        self._lines.append(line)
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")

    def clean(self, text: str) -> str:
        """``text`` without secrets, also where JSON escaped them."""
        for secret in self._secrets:
            text = text.replace(secret, REMOVED).replace(json.dumps(secret)[1:-1], REMOVED)
        return text

    @property
    def text(self) -> str:
        """Everything so far, as the file holds it."""
        return "".join(line + "\n" for line in self._lines)

    def events(self, kind: str | None = None) -> list[dict[str, Any]]:
        """What was recorded, all of it or of one kind."""
        return [e for e in map(json.loads, self._lines) if kind in (None, e["kind"])]


def read_transcript(path: Path) -> list[dict[str, Any]]:
    """The events in a file.

    Raises:
        StoreError: it is missing, or a line is no event.
    """
    try:
        return list(_events(path.read_text(encoding="utf-8").splitlines()))
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: cannot be read as a transcript ({error})") from error


def _events(lines: Iterable[str]) -> Iterable[dict[str, Any]]:
    for number, line in enumerate(lines, 1):
        event = json.loads(line)
        if not isinstance(event, dict) or "kind" not in event:
            raise ValueError(f"line {number} is no event")
        yield event
