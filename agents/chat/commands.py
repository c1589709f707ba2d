"""What a line of the chat does: commands, goals, questions and changes of knobs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

from agents.api import ToolError
from agents.chat import tables
from agents.chat.chat import Chat
from agents.chat.understand import answer, goal_of
from agents.chat.why import why_point, why_trial
from agents.chat.words import HELP, changes, is_question, pairs, unknown_names
from search.api.domain import Point, active_params
from search.api.errors import SearchError


def handle(chat: Chat, line: str) -> bool:
    """Do what ``line`` says; False to leave. What is wrong with it is said, never raised."""
    text = line.strip()
    if not text:
        return True
    chat.record.said("person", text)
    try:
        return _handle(chat, text)
    except (SearchError, ToolError, ValueError) as problem:
        chat.say(f"That does not work: {problem}")
    except KeyboardInterrupt:
        chat.say("Stopped. What was finished is kept.")
    return True


def _handle(chat: Chat, text: str) -> bool:
    if text.startswith("/"):
        name, _, rest = text.partition(" ")
        if name in ("/quit", "/exit", "/q"):
            chat.say("Everything is kept. Until next time.")
            return False
        command = COMMANDS.get(name)
        if command is None:
            chat.say(f"Unknown command {name}. {HELP.splitlines()[-1].strip()}; /help lists all.")
        else:
            command(chat, rest.strip())
    elif changes(text, chat.study.params) and not is_question(text):
        _try(chat, text)
    elif is_question(text):
        _question(chat, text)
    else:
        _goal(chat, text)
    return True


def _help(chat: Chat, rest: str) -> None:
    for line in HELP.splitlines():
        chat.say(line)


def _goal(chat: Chat, rest: str) -> None:
    """A new goal: said back, planned and pursued."""
    if not rest:
        chat.say(f"Goal: {chat.goal_text()}.")
        return
    goal = goal_of(chat, rest)
    if goal is None:
        return
    chat.change(goal=goal, chosen=None)
    chat.say(f"Goal: {chat.goal_text()}.")
    chat.plan()
    chat.pursue()


def _question(chat: Chat, text: str) -> None:
    if chat.parts.model is not None:
        answer(chat, text)
        return
    numbers = [int(w.lstrip("#").rstrip("?,.")) for w in text.split()
               if w.lstrip("#").rstrip("?,.").isdigit()]  # fmt: skip
    trials = chat.study.trials()
    known = [n for n in numbers if n < len(trials)]
    _why(chat, str(known[0]) if known and not pairs(text) else text if pairs(text) else "")


def _why(chat: Chat, rest: str) -> None:
    """Why a trial, or why a change is not legal."""
    wanted = changes(rest, chat.study.params)
    if wanted:
        with chat.bench() as bench:
            for line in why_point(bench, _edited(chat, wanted)):
                chat.say(line)
        return
    trials = chat.study.trials()
    number = int(rest.lstrip("#")) if rest.lstrip("#").isdigit() else chat.state.chosen
    if number is None and trials:
        number = trials[-1].number
    if number is None or number >= len(trials):
        chat.say("There is no such trial yet. State a goal, or /try a point.")
        return
    with chat.bench() as bench:
        for line in why_trial(bench, trials[number]):
            chat.say(line)


def _try(chat: Chat, rest: str) -> None:
    """Change knobs: verdict and prediction; with ``!`` an encrypted run."""
    wanted = changes(rest, chat.study.params)
    strangers = unknown_names(rest, chat.study.params, {})
    if strangers or not wanted:
        known = ", ".join(p.name for p in chat.study.params)
        what = f"Unknown: {', '.join(strangers)}. " if strangers else ""
        chat.say(f"{what}Give knobs as NAME=VALUE (known: {known}).")
        return
    point = _edited(chat, wanted)
    with chat.bench() as bench:
        broken = list(why_point(bench, point))
        if bench.check(point):
            for line in broken:
                chat.say(line)
            return
        before = chat.chosen()
        cheap = [r for r in bench.rungs if r not in bench.dear_rungs] or [bench.rungs[0]]
        up_to = bench.rungs[-1] if rest.rstrip().endswith("!") else cheap[-1]
        trial = bench.evaluate(point, up_to, f"the person changed {', '.join(wanted)}")
        chat.say(tables.trial_line(bench, trial))
        for line in tables.demand_lines(bench, trial):
            chat.say(f"  {line}")
        if before is not None:
            chat.say(f"  against trial {before.number}: {tables.changed(before.point, point)}")
        if bench.confirmed(trial):
            chat.say(f"It holds: /take {trial.number} chooses it.")
        elif up_to != bench.rungs[-1] and tables.foretold(bench, trial):
            chat.say("Nothing foretold speaks against it; the same with ! runs it encrypted.")


def _edited(chat: Chat, wanted: Mapping[str, object]) -> Point:
    """The chosen point (or the last legal one there is) with knobs changed."""
    base = chat.chosen()
    trials = [t for t in chat.study.trials() if t.status in ("complete", "gated")]
    if base is None and trials:
        base = trials[-1]
    point: dict[str, object] = dict(base.point) if base is not None else {}
    point.update(wanted)
    for param in chat.study.params:
        # A knob that the change made active takes its first value; the person sees it in the line.
        point.setdefault(param.name, _first(param.domain))
    active = {p.name for p in active_params(chat.study.params, point)}  # type: ignore[arg-type]
    return {n: v for n, v in point.items() if n in active}  # type: ignore[misc]


def _first(domain: object) -> object:
    import random

    return domain.sample(random.Random(0))  # type: ignore[attr-defined]


def _front(chat: Chat, rest: str) -> None:
    found = chat.study.pareto()
    if not found:
        chat.say("No trial is confirmed yet.")
    with chat.bench() as bench:
        for trial in found:
            chat.say(tables.trial_line(bench, trial))


def _history(chat: Chat, rest: str) -> None:
    trials = chat.study.trials()
    if not trials:
        chat.say("No trial yet.")
    count = int(rest) if rest.isdigit() else 10
    with chat.bench() as bench:
        for trial in trials[-count:] if count else ():
            chat.say(tables.trial_line(bench, trial))


def _take(chat: Chat, rest: str) -> None:
    number = rest.lstrip("#")
    trials = chat.study.trials()
    if not number.isdigit() or int(number) >= len(trials):
        chat.say(f"Give the number of a trial (there are {len(trials)}, counted from 0).")
        return
    trial = trials[int(number)]
    chat.change(chosen=trial.number)
    with chat.bench() as bench:
        chat.say(f"Chosen: {tables.trial_line(bench, trial)}")
        if not bench.confirmed(trial):
            chat.say("It is not confirmed to meet the goal; /why says what is missing.")


def _budget(chat: Chat, rest: str) -> None:
    wanted = pairs(rest)
    if wanted:
        known = {f.name: f.default for f in dataclasses.fields(chat.state.limits)}
        found: dict[str, float] = {}
        for name, text in wanted.items():
            if name not in known:
                raise ValueError(f"no budget {name!r} (known: {', '.join(known)})")
            value = float(text) if isinstance(known[name], float) else int(text)
            if value < 0:
                raise ValueError(f"{name}: expected at least 0 (got {text})")
            found[name] = value
        chat.change(limits=dataclasses.replace(chat.state.limits, **found))  # type: ignore[arg-type]
    chat.say(tables.budget_line(chat.spent, chat.state.limits))


def _undo(chat: Chat, rest: str) -> None:
    if len(chat.states) < 2:
        chat.say("There is nothing to undo. Trials stay: they are the history.")
        return
    chat.states.pop()
    state = chat.states[-1]
    chat.record.changed(state)
    chosen = "none" if state.chosen is None else f"trial {state.chosen}"
    chat.say(f"Goal: {chat.goal_text()}. Chosen: {chosen}. Trials stay.")


def _export(chat: Chat, rest: str) -> None:
    trial = chat.chosen()
    if trial is None:
        chat.say("Nothing is chosen yet: reach a goal or /take a trial first.")
        return
    target = Path(rest).expanduser() if rest else chat.study.path / "export" / str(trial.number)
    files = chat.study.export(trial.number, target)
    top = [name for name in files if "/" not in name]
    more = f", and {len(files) - len(top)} files below" if len(files) > len(top) else ""
    chat.say(f"Trial {trial.number} is in {target}: {', '.join(top)}{more}.")


def _plan(chat: Chat, rest: str) -> None:
    chat.plan()


def _run(chat: Chat, rest: str) -> None:
    chat.pursue()


COMMANDS: Mapping[str, Callable[[Chat, str], None]] = {
    "/help": _help,
    "/goal": _goal,
    "/run": _run,
    "/plan": _plan,
    "/try": _try,
    "/why": _why,
    "/front": _front,
    "/history": _history,
    "/take": _take,
    "/budget": _budget,
    "/undo": _undo,
    "/export": _export,
}
"""What each command does; ``/quit`` is not among them, since it leaves."""
