"""The fenced blocks of a Markdown file, with the comment before each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

_BLOCK = re.compile(
    r"(?:^<!--\s*(?P<comment>[^\n]*?)\s*-->\n+)?^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Args:
        language: the word after the fence.
        text: what stands between the fences.
        line: number of the first line of ``text``.
        comment: of the HTML comment right before: ``file: NAME`` writes the block to a file,
            ``not run: REASON`` leaves it alone, ``fails: N`` expects that exit code.
    """

    language: str
    text: str
    line: int
    comment: str

    @property
    def file(self) -> str:
        """Name of the file the block stands for, if it does."""
        return self.comment.partition("file:")[2].strip()

    @property
    def runs(self) -> bool:
        """Whether it is run, or written."""
        return not self.comment.startswith("not run:")

    @property
    def exit_code(self) -> int:
        """What its commands end with."""
        return int(self.comment.partition("fails:")[2] or 0) if "fails:" in self.comment else 0


@pytest.fixture(scope="session")
def blocks() -> Callable[[Path], list[Block]]:
    """Reads the blocks of a file."""

    def read(file: Path) -> list[Block]:
        return list(_find(file.read_text(encoding="utf-8")))

    return read


def _find(text: str) -> Iterator[Block]:
    for match in _BLOCK.finditer(text):
        line = text.count("\n", 0, match.start("text")) + 1
        yield Block(match["language"], match["text"], line, match["comment"] or "")
