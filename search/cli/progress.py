"""Watchers of a run: a live display on a terminal, plain lines elsewhere, JSON for machines."""

from __future__ import annotations

import contextlib
import json
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from search.api.metric import Metric
from search.api.trial import Trial
from search.cli.tally import PREPARING, Activity, Tally
from search.cli.text import duration, number, point_text
from search.driver import Watcher

_FINISHED = 3
_RUNNING = 8
_REFRESH_HZ = 4


class Display(Watcher, Protocol):
    """A watcher that is told when an arm of a study begins."""

    def begin(self, tally: Tally) -> contextlib.AbstractContextManager[None]:
        """Show one arm while the context is open."""
        ...


class Quiet:
    """Says nothing but errors; used with ``--quiet``."""

    @contextlib.contextmanager
    def begin(self, tally: Tally) -> Iterator[None]:
        """Nothing to open."""
        yield

    def trial_started(self, trial: Trial) -> None:
        """Nothing."""

    def trial_event(self, number: int, kind: str, data: Mapping[str, Any]) -> None:
        """Nothing."""

    def trial_finished(self, trial: Trial) -> None:
        """Nothing."""

    def message(self, text: str) -> None:
        """Nothing."""


class PlainDisplay:
    """One line per finished trial, without escape codes: for files, pipes and CI."""

    def __init__(self) -> None:
        self._tally = Tally((), 0)

    @contextlib.contextmanager
    def begin(self, tally: Tally) -> Iterator[None]:
        """Count for this arm from now on."""
        self._tally = tally
        yield

    def trial_started(self, trial: Trial) -> None:
        """Count it."""
        self._tally.start(trial, "")

    def trial_event(self, number: int, kind: str, data: Mapping[str, Any]) -> None:
        """Say once that the preparation goes on; other progress would be noise here."""
        if number == PREPARING and PREPARING not in self._tally.running:
            self.message("preparing: work that all trials share (training the original network)")
        self._tally.event(number, kind, data)

    def trial_finished(self, trial: Trial) -> None:
        """One line."""
        self._tally.finish(trial)
        self.message(finished_line(self._tally, trial))

    def message(self, text: str) -> None:
        """One line."""
        print(text, flush=True)


class JsonDisplay:
    """One JSON object per line: ``event`` says what it is, ``arm`` where it belongs.

    Events: ``started``, ``trial_started``, ``progress``, ``trial_finished``, ``message``, and from
    the command itself ``arm_finished``, ``finished`` and ``error``.
    """

    def __init__(self) -> None:
        self._tally = Tally((), 0)

    @contextlib.contextmanager
    def begin(self, tally: Tally) -> Iterator[None]:
        """The event ``started``."""
        self._tally = tally
        objectives = [{"name": m.name, "unit": m.unit, "goal": m.goal} for m in tally.objectives]
        self.emit("started", trials=tally.total, done=tally.done, objectives=objectives)
        yield

    def trial_started(self, trial: Trial) -> None:
        """The event ``trial_started``."""
        self._tally.start(trial, "")
        origin = {"kind": trial.origin.kind, "by": trial.origin.by, "parent": trial.origin.parent}
        self.emit("trial_started", number=trial.number, point=dict(trial.point), origin=origin)

    def trial_event(self, number: int, kind: str, data: Mapping[str, Any]) -> None:
        """The event ``progress``; the preparation has number -1."""
        self._tally.event(number, kind, data)
        self.emit("progress", number=number, kind=kind, data=dict(data))

    def trial_finished(self, trial: Trial) -> None:
        """The event ``trial_finished``."""
        self._tally.finish(trial)
        outcome = trial.outcome
        self.emit(
            "trial_finished",
            number=trial.number,
            status=trial.status,
            feasible=trial.feasible,
            values=values_of(trial, self._tally.objectives),
            seconds=outcome.seconds if outcome else None,
            error=outcome.error.partition("\n")[0] if outcome else "",
            done=self._tally.done,
            front=len(self._tally.front),
        )

    def message(self, text: str) -> None:
        """The event ``message``."""
        self.emit("message", text=text)

    def emit(self, event: str, **data: Any) -> None:
        """Print one object."""
        line = {"event": event, "arm": self._tally.arm, **data}
        print(json.dumps(line, default=str), flush=True)


class LiveDisplay:
    """A block that is redrawn in place, with the last finished trials; messages stay above it."""

    def __init__(self) -> None:
        self._tally = Tally((), 0)
        self._finished: deque[str] = deque(maxlen=_FINISHED)
        self._live: Any = None

    @contextlib.contextmanager
    def begin(self, tally: Tally) -> Iterator[None]:
        """Draw while the context is open; the block is cleared at the end."""
        from rich.live import Live

        self._tally = tally
        self._finished.clear()
        with Live(
            get_renderable=self.render, refresh_per_second=_REFRESH_HZ, transient=True
        ) as self._live:  # drawn by a thread of its own: a long epoch does not freeze the clock
            yield
        self._live = None

    def trial_started(self, trial: Trial) -> None:
        """Count it."""
        self._tally.start(trial, point_text(trial.point, limit=6))

    def trial_event(self, number: int, kind: str, data: Mapping[str, Any]) -> None:
        """Keep it for the next drawing."""
        self._tally.event(number, kind, data)

    def trial_finished(self, trial: Trial) -> None:
        """Keep it for the next drawing."""
        self._tally.finish(trial)
        self._finished.append(finished_line(self._tally, trial))

    def message(self, text: str) -> None:
        """Print it above the block, where it stays."""
        if self._live is not None:
            self._live.console.print(text, markup=False, highlight=False)

    def render(self) -> Any:
        """The block as it stands now."""
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        tally = self._tally
        head = Table.grid(padding=(0, 2))
        head.add_row(
            Text(tally.arm, style="bold"),
            ProgressBar(total=max(1, tally.total), completed=tally.done, width=30),
            Text(f"{tally.done}/{tally.total} trials"),
            Text(duration(tally.elapsed)),
            Text(f"about {duration(tally.left)} left" if tally.left else ""),
        )
        parts: list[Any] = [head]
        if tally.status:
            parts.append(Text(f"{tally.status_text()}; front {len(tally.front)}"))
        if tally.best:
            parts.append(Text(f"best: {tally.best_text()}"))
        running = Table.grid(padding=(0, 2))
        for activity in list(tally.running.values())[:_RUNNING]:
            running.add_row(*(Text(cell, no_wrap=True) for cell in activity_cells(activity)))
        parts.append(running)
        if len(tally.running) > _RUNNING:
            parts.append(Text(f"... and {len(tally.running) - _RUNNING} more"))
        parts += [Text(text, style="dim", no_wrap=True) for text in list(self._finished)]
        return Group(*parts)


def choose_display(*, quiet: bool, as_json: bool) -> Display:
    """The display that suits the output."""
    if as_json:
        return JsonDisplay()
    if quiet:
        return Quiet()
    return LiveDisplay() if sys.stdout.isatty() else PlainDisplay()


def activity_cells(activity: Activity) -> tuple[str, str, str, str, str]:
    """Number, rung, step with its values, seconds and point of a running trial."""
    import time

    name = "preparing" if activity.number == PREPARING else f"#{activity.number}"
    step = f"step {activity.step}" if activity.step is not None else ""
    values = " ".join(f"{k} {v:.4g}" for k, v in list(activity.values.items())[:3])
    seconds = duration(time.monotonic() - activity.began)
    return name, activity.rung, f"{step} {values}".strip(), seconds, activity.point


def finished_line(tally: Tally, trial: Trial) -> str:
    """``[3/20] #2 complete: accuracy 91.2 %, latency_2pc 12.3 ms (14.2 s), front 3``."""
    text = f"[{tally.done}/{tally.total}] #{trial.number} {trial.status}"
    outcome = trial.outcome
    if trial.values is not None:
        text += ": " + ", ".join(
            f"{m.name} {number(v, m.unit)}"
            for m, v in zip(tally.objectives, trial.values, strict=True)
        )
        if not trial.feasible:
            text += ", breaks a constraint"
    elif outcome is not None and outcome.error:
        text += f": {outcome.error.partition(chr(10))[0]}"
    elif outcome is not None:
        broken = [name for name, excess in outcome.excess.items() if excess > 0]
        text += f": {', '.join(broken)} not met" if broken else ""
    seconds = f" ({duration(outcome.seconds)})" if outcome is not None else ""
    return f"{text}{seconds}, front {len(tally.front)}"


def values_of(trial: Trial, objectives: Sequence[Metric]) -> dict[str, float] | None:
    """Objective name -> value in its unit; None unless the top rung was reached."""
    if trial.values is None:
        return None
    return {m.name: v for m, v in zip(objectives, trial.values, strict=True)}
