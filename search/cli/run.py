"""``search run`` and ``search resume``: the study, its baselines, the report, a summary."""

from __future__ import annotations

import contextlib
import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from search.api.errors import ConfigError, PlacedError, TooManyFailures
from search.api.snapshot import Snapshot
from search.cli.family import done, front
from search.cli.guard import INTERRUPTED
from search.cli.progress import Display, JsonDisplay, choose_display, values_of
from search.cli.report import write_family
from search.cli.tally import Tally
from search.cli.text import duration, number, point_text, table
from search.plural import plural
from search.study import Study

_FRONT_ROWS = 20


@dataclass(frozen=True)
class Request:
    """The options of ``run`` and ``resume``; see their help."""

    sets: tuple[str, ...] = ()
    plugins: tuple[Path, ...] = ()
    runner: str | None = None
    trials: int | None = None
    timeout: str | None = None
    directory: Path | None = None
    storage: str | None = None
    baselines: bool = True
    accept_change: bool = False
    json: bool = False
    quiet: bool = False

    def overrides(self) -> list[str]:
        """All options that change the configuration, as texts for ``Study.from_yaml``."""
        return [*self.sets, *overrides(self.trials, self.directory, self.storage)]


def overrides(trials: int | None, directory: Path | None, storage: str | None) -> list[str]:
    """Options that stand for one key of the configuration, as ``path=value``."""
    found = {
        "budget.trials": trials,
        "study.directory": None if directory is None else _quoted(str(directory)),
        "study.storage": None if storage is None else _quoted(storage),
    }
    return [f"{path}={value}" for path, value in found.items() if value is not None]


def run_config(config: Path, request: Request) -> int:
    """Run the study of a configuration file; the exit code.

    Raises:
        SearchError: as :meth:`search.study.Study.run`.
    """
    study = Study.from_yaml(config, overrides=request.overrides(), plugins=request.plugins)
    return _Family(study, request, config).run()


def arms_of(study: Study, source: Path) -> list[Study]:
    """The baselines of ``study``, which was read from ``source``.

    Raises:
        ConfigError, PluginError: one is wrong; the message names the file.
    """
    try:
        return study.arms()
    except PlacedError as error:
        raise error.within(source=str(source)) from error


def resume_run(run: Path, request: Request) -> int:
    """Go on with the study in a run directory; the exit code.

    Raises:
        SearchError: as :meth:`search.study.Study.load` and :meth:`search.study.Study.run`.
    """
    study = Study.load(run, plugins=request.plugins, storage=request.storage)
    changes = [*request.sets, *overrides(request.trials, None, None)]
    if changes:
        from search.config import apply_override, parse_spec

        data = study.spec.model_dump(mode="json")
        for text in changes:
            apply_override(data, text)
        study = Study.from_spec(
            parse_spec(data, source=str(run)),
            plugins=request.plugins,
            path=study.path,
            arm=study.arm,
        )
    return _Family(study, request, run).run()


@dataclass
class _Family:
    """A study and its baselines on their way through one command."""

    study: Study
    request: Request
    source: Path
    snapshots: list[Snapshot] = field(default_factory=list)
    stops: list[str] = field(default_factory=list)
    failure: TooManyFailures | None = None
    interrupted: bool = False

    def run(self) -> int:
        request = self.request
        display = choose_display(quiet=request.quiet, as_json=request.json)
        deadline = _deadline(request.timeout)
        runner = _runner(self.study, request.runner)
        arms = arms_of(self.study, self.source) if request.baselines else []
        for arm in [self.study, *arms]:
            if self.interrupted or self.failure is not None:
                break
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                self.stops.append(f"{arm.arm}: not run, --timeout {request.timeout} is spent")
                continue
            self._run_arm(arm, display, runner, left)
        files = {} if self.interrupted else write_family(self.snapshots, self.study.path / "report")
        self._conclude(display, files)
        if self.failure is not None:
            raise self.failure
        return self._code()

    def _run_arm(self, arm: Study, display: Display, runner: Any, left: float | None) -> None:
        tally = Tally(arm.objectives, arm.spec.budget.trials, arm.arm)
        tally.take(arm.trials())
        before = tally.done
        with display.begin(tally):
            searcher = arm.searcher()
            display.message(_opening(arm, tally, searcher.name, searcher.reason))
            with _failures() as failures:
                arm.run(
                    timeout_s=left,
                    runner=runner,
                    watcher=display,
                    accept_change=self.request.accept_change,
                )
        self.failure = failures[0] if failures else None
        snapshot = arm.snapshot()
        self.interrupted = arm.interrupted
        self.snapshots.append(snapshot)
        self.stops.append(f"{arm.arm}: {_why(arm, snapshot, before, self.failure)}")
        if isinstance(display, JsonDisplay):
            display.emit("arm_finished", done=done(snapshot.trials), stop=self.stops[-1])

    def _conclude(self, display: Display, files: dict[str, Path]) -> None:
        main = self.snapshots[0]
        if isinstance(display, JsonDisplay):
            display.emit(
                "finished",
                exit_code=self.failure.exit_code if self.failure else self._code(),
                directory=str(self.study.path),
                stops=self.stops,
                front=[
                    {
                        "number": t.number,
                        "values": values_of(t, main.objectives),
                        "point": dict(t.point),
                    }
                    for t in front(main)
                ],
                report={name: str(file) for name, file in files.items()},
            )
            return
        if not self.request.quiet:
            print()
            print(front_text(main))
            for text in self.stops:
                print(text)
        if self.interrupted:
            print(f"Interrupted; everything finished is kept. Go on with: {self._resume()}")
        if files:
            print(f"report: {files.get('html') or files.get('md')}")

    def _code(self) -> int:
        if self.interrupted:
            return INTERRUPTED
        return 0 if any(t.feasible for t in self.snapshots[0].trials) else 1

    def _resume(self) -> str:
        words = ["search", "resume", str(self.study.path)]
        for file in self.request.plugins:
            words += ["--plugin", str(file)]
        return shlex.join(words)


def front_text(snapshot: Snapshot) -> str:
    """The Pareto front (with one objective: the best trial) as a table."""
    members = front(snapshot)
    if not members:
        ended = plural(len(snapshot.trials), "trial")
        return f"{ended}, none of them feasible and complete"
    title = "Pareto front" if len(snapshot.objectives) > 1 else "Best"
    title += f" of {snapshot.study} ({plural(len(members), 'trial')})"
    header = ["trial", *(f"{m.name} [{m.unit}]" for m in snapshot.objectives), "point"]
    rows = [
        [f"#{t.number}", *(number(v) for v in t.values or ()), point_text(t.point, 12)]
        for t in members[:_FRONT_ROWS]
    ]
    more = len(members) - _FRONT_ROWS
    lines = [title, table(header, rows, indent="  ")]
    return "\n".join([*lines, *([f"  ... and {more} more"] if more > 0 else [])])


@contextlib.contextmanager
def _failures() -> Iterator[list[TooManyFailures]]:
    """Collects the end by failures: what finished before it is reported first."""
    found: list[TooManyFailures] = []
    try:
        yield found
    except TooManyFailures as error:
        found.append(error)


def _opening(arm: Study, tally: Tally, searcher: str, reason: str) -> str:
    kind = "study" if arm.arm == "main" else f"baseline {arm.arm} of"
    state = f", {tally.done} done before" if tally.done else ""
    text = f"{kind} {arm.name}: {plural(tally.total, 'trial')}{state}, in {arm.path}"
    return f"{text}\nsearcher {searcher}: {reason}" if reason else text


def _why(arm: Study, snapshot: Snapshot, before: int, failure: Exception | None) -> str:
    """Why an arm ended, in words."""
    total, now = arm.spec.budget.trials, done(snapshot.trials)
    count = f"{now} of {total} trials done in {duration(snapshot.seconds)}"
    if failure is not None or arm.last_stop:
        return f"{count}; stopped: {arm.last_stop or failure}"
    if now < total:
        return f"{count}; {(arm.last_end or 'the search space is used up').partition(':')[0]}"
    if before >= total:
        return f"{count}, so nothing was left to do. For more: --trials {2 * total}"
    return count


def _deadline(timeout: str | None) -> float | None:
    """``--timeout`` as a point of the monotonic clock."""
    if timeout is None:
        return None
    from pydantic import TypeAdapter, ValidationError

    from search.config import Duration

    try:
        seconds: float = TypeAdapter(Duration).validate_python(timeout)
    except ValidationError as error:
        message = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ConfigError(message, source="--timeout") from None
    return time.monotonic() + seconds


def _runner(study: Study, name: str | None) -> str | None:
    """``--runner``, unless the configuration names the same one (then its options hold)."""
    if name is None or name == study.spec.runner.name:
        return None
    check_runner(name)
    return name


def check_runner(name: str) -> None:
    """Refuse a name that is no runner.

    Raises:
        ConfigError: with the nearest known name.
    """
    from search.config import Plugin, plugin_options

    try:
        plugin_options("runner", Plugin(name=name), "")
    except ConfigError as error:
        raise ConfigError(error.message, source="--runner") from error


def _quoted(text: str) -> str:
    """``text`` so that YAML reads it as text."""
    return "'" + text.replace("'", "''") + "'"
