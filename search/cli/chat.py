"""``search chat``: a conversation in a plain terminal or through a pipe."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from search.cli.run import overrides
from search.study import Study

if TYPE_CHECKING:
    from agents.chat.chat import Chat

PROMPT = "> "


@dataclass
class Lines:
    """Reads what a person types: by line editor on a terminal, else line by line.

    Args:
        source: where lines come from.
        terminal: whether a person sits there.
        kept: lines read as answers that were none.
    """

    source: TextIO
    terminal: bool
    kept: list[str] = field(default_factory=list)

    def read(self, prompt: str) -> str | None:
        """The next line; None at the end. In a pipe the line is shown, as a terminal would."""
        if self.kept:
            return self.kept.pop(0)
        if self.terminal:
            try:
                return input(prompt)
            except EOFError:
                return None
        line = self.source.readline()
        if not line:
            return None
        print(f"{prompt}{line.rstrip()}", flush=True)
        return line

    def answer(self, question: str) -> str:
        """The answer to a question; ``n`` at the end, or if a pipe goes on with something else."""
        from agents.chat.words import approval

        if self.terminal:
            # Line editors scroll a long prompt out of sight, so only its end is the prompt.
            body, _, choices = question.rpartition(". ")
            if body:
                print(f"{body}.", flush=True)
            found = self.read(choices)
            return "n" if found is None else found
        line = self.source.readline()
        if line and line.strip() and approval(line) is not None:
            print(f"{question}{line.rstrip()}", flush=True)
            return line
        if line:
            self.kept.append(line)
        print(f"{question}n (no answer in the input)", flush=True)
        return "n"


def chat_about(
    config: Path,
    *,
    sets: Sequence[str] = (),
    plugins: Sequence[Path] = (),
    directory: Path | None = None,
    storage: str | None = None,
    controller: str = "auto",
    yes: bool = False,
) -> int:
    """Talk about the study of a configuration file until ``/quit`` or the end of input.

    Raises:
        SearchError: the configuration is wrong, or the controller cannot be made.
    """
    from agents.chat.chat import Chat, Parts
    from agents.controllers.choice import controller_of, model_of
    from agents.tools.ckks import study_tools

    texts = [*sets, *overrides(None, directory, storage)]
    study = Study.from_yaml(config, overrides=texts, plugins=plugins)
    model = None if controller == "expert" else model_of()
    controller_of(controller, model)  # refuses what cannot work before anything is said
    parts = Parts(lambda: controller_of(controller, model, study.path), study_tools, model)
    lines = Lines(sys.stdin, sys.stdin.isatty())
    if lines.terminal:
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401  # arrow keys and earlier lines for input()
    ask: Callable[[str], str] = (lambda question: "y") if yes else lines.answer
    chat = Chat(study, parts, say=_say, ask=ask)
    chat.greet()
    _talk(chat, lines)
    return 0


def _talk(chat: Chat, lines: Lines) -> None:
    from agents.chat.commands import handle

    while True:
        try:
            line = lines.read(PROMPT)
        except KeyboardInterrupt:
            print("\n/quit leaves the chat.", flush=True)
            continue
        if line is None:
            if lines.terminal:
                print()
            return
        if not handle(chat, line):
            return


def _say(text: str) -> None:
    print(text, flush=True)
