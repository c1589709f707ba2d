"""``search agent`` and ``search tool``: a controller or a single tool at work on a study."""

from __future__ import annotations

import json as json_module
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.api.errors import ConfigError
from search.cli.run import overrides
from search.study import Study

if TYPE_CHECKING:
    from agents.api import Controller, Goal, Limits, SessionResult

FAILED = 1


@dataclass(frozen=True)
class Wanted:
    """What a session is for.

    Args:
        controller: name.
        goal: a metric, or words; None for the configuration's first objective.
        demands: constraints besides those of the configuration.
        memory: file of lessons; None to learn nothing.
        limits: name -> amount, of :class:`agents.api.Limits`; None where the default holds.
    """

    controller: str = "auto"
    goal: str | None = None
    demands: tuple[str, ...] = ()
    memory: Path | None = None
    limits: tuple[tuple[str, float | None], ...] = ()


def load(
    config: Path,
    sets: Sequence[str],
    plugins: Sequence[Path],
    directory: Path | None,
    storage: str | None,
) -> Study:
    """The study of a configuration file.

    Raises:
        ConfigError, PluginError: it is wrong.
    """
    texts = [*sets, *overrides(None, directory, storage)]
    return Study.from_yaml(config, overrides=texts, plugins=plugins)


def run_agent(study: Study, wanted: Wanted, *, json: bool, quiet: bool) -> int:
    """Run a session; the exit code.

    Raises:
        ConfigError: the goal, the controller or its model cannot be had.
    """
    from agents.session import pursue_goal, transcripts

    controller = _controller(study, wanted)
    goal = goal_of(study, wanted.goal, wanted.demands)

    def say(text: str) -> None:
        if json:
            print(json_module.dumps({"event": "said", "text": text}), flush=True)
        elif not quiet:
            print(text, flush=True)

    say(f"{controller.name}: {_described(study, goal)}")
    result = pursue_goal(study, goal, controller, _limits(wanted), say)
    written = transcripts(study.path)
    data = _data(study, result, written[-1] if written else None)
    if json:
        print(json_module.dumps({"event": "finished", **data}, default=str), flush=True)
    else:
        print(_text(study, data))
    return 0 if result.ending == "reached" else FAILED


def call_tool(study: Study, name: str, arguments: str) -> int:
    """Call one tool and print its answer as JSON; the exit code.

    Raises:
        ConfigError: ``arguments`` is no JSON object, or there is no such tool.
    """
    from agents.tools.ckks import study_tools
    from agents.workbench import StudyBench

    bench = StudyBench(study, goal_of(study, None, ()), by="person")
    tools = study_tools(bench)
    if name == "list":
        for tool in tools.tools.values():
            print(f"{tool.name}: {tool.doc}")
        return 0
    if name not in tools.tools:
        raise ConfigError(f"unknown tool {name!r} (known: list, {', '.join(tools.tools)})")
    with bench.opened():
        answer = tools.call(name, _object(arguments))
    print(json_module.dumps(answer, indent=1, default=str))
    return FAILED if "error" in answer and "trial" not in answer else 0


def goal_of(study: Study, goal: str | None, demands: Sequence[str]) -> Goal:
    """The goal that options and configuration mean together.

    Raises:
        ConfigError: a word is no metric, or a bound cannot be read.
    """
    from agents.api import Goal
    from agents.goals import checked, read_goal, study_goal

    metrics = study.components.metrics()
    own = study_goal(study.components.objectives, (), metrics)
    if goal is not None:
        own = Goal(goal) if goal in metrics else read_goal(goal, metrics, own)
    return checked(Goal(own.minimise, (*own.demands, *demands)), metrics)


def _controller(study: Study, wanted: Wanted) -> Controller:
    from agents.controllers.choice import controller_of, model_of
    from agents.expert import Expert
    from agents.memory import Lessons

    found = controller_of(wanted.controller, model_of(), study.path)
    if wanted.memory is not None:
        if not isinstance(found, Expert):
            raise ConfigError("lessons are the expert's; use --controller expert", path="memory")
        found.lessons = Lessons(wanted.memory)
    return found


def _limits(wanted: Wanted) -> Limits:
    from agents.api import Limits

    given: dict[str, Any] = {name: v for name, v in wanted.limits if v is not None}
    return Limits(**given)


def _object(text: str) -> dict[str, Any]:
    try:
        found = json_module.loads(text or "{}")
    except ValueError as error:
        raise ConfigError(f"no JSON: {error}", path="arguments") from None
    if not isinstance(found, dict):
        raise ConfigError(f"expected a JSON object (got {text!r})", path="arguments")
    return found


def _described(study: Study, goal: Goal) -> str:
    from agents.goals import describe

    own = [str(c) for c in study.components.ladder.constraints]
    text = describe(goal, study.components.metrics())
    return text + (f"; the configuration demands {', '.join(own)}" if own else "")


def _data(study: Study, result: SessionResult, transcript: Path | None) -> dict[str, Any]:
    from agents.workbench import plain_point

    chosen = result.chosen
    found = chosen.outcome.measurements if chosen and chosen.outcome else ()
    measured = {m.metric: {"value": m.value, "unit": m.unit, "evidence": m.evidence} for m in found}
    return {
        "ending": result.ending,
        "reason": result.reason,
        "fallback": result.fallback,
        "trial": None if chosen is None else chosen.number,
        "point": None if chosen is None else plain_point(chosen.point),
        "measured": measured,
        "spent": vars(result.spent),
        "directory": str(study.path),
        "transcript": None if transcript is None else str(transcript),
    }


def _text(study: Study, data: dict[str, Any]) -> str:
    spent = data["spent"]
    lines = [
        "",
        f"{data['ending']}: {data['reason']}",
        f"{spent['encrypted_runs']} encrypted runs, {spent['seconds']:.1f} s"
        + (f", {spent['turns']} turns, {spent['tokens']} tokens" if spent["turns"] else ""),
    ]
    if data["trial"] is not None:
        lines.append(json_module.dumps(data["point"]))
        lines.append(f"`search show {study.path} {data['trial']}` tells all about it")
    if data["transcript"]:
        lines.append(f"transcript: {data['transcript']}")
    return "\n".join(lines)
