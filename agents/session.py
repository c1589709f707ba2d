"""One session without a person: a controller pursues a goal on a study, and all is written down."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from agents.api import Controller, Goal, Limits, SessionResult
from agents.expert import Expert
from agents.tools.ckks import study_tools
from agents.tools.general import plain_text
from agents.transcript import Transcript
from agents.workbench import StudyBench
from search.api.trial import Trial
from search.study import Study


def pursue_goal(
    study: Study,
    goal: Goal,
    controller: Controller,
    limits: Limits | None = None,
    say: Callable[[str], None] = lambda text: None,
    transcript: Transcript | None = None,
) -> SessionResult:
    """Let ``controller`` pursue ``goal`` on ``study``.

    Args:
        study: gets every evaluation as a trial.
        goal: what is wanted.
        controller: who decides. Those with a language model write transcripts of their own.
        limits: hard budgets.
        say: tells a person what is going on.
        transcript: of a controller without a model; in the run directory if absent.

    Raises:
        ConfigError: the goal names no metric, or the controller cannot work on this study.
        StoreError: the run directory cannot be used.
    """
    bench = StudyBench(study, goal, limits, by=controller.name)
    with bench.opened():
        if not isinstance(controller, Expert):
            return controller.run(bench, study_tools(bench), say)
        record = transcript or Transcript.within(study.path, controller.name)
        record.add("start", controller=controller.name, goal=goal, rungs=list(bench.rungs))

        def said(text: str) -> None:
            record.add("said", text=text)
            say(text)

        def ran(trial: Trial, up_to: str, reason: str) -> None:
            record.add(
                "trial", trial=trial.number, point=trial.point, up_to=up_to, reason=reason,
                status=trial.status, error=plain_text(trial.outcome.error if trial.outcome else ""),
            )  # fmt: skip

        bench.watch = ran
        result = controller.run(bench, study_tools(bench), said)
        record.add(
            "end", ending=result.ending, reason=result.reason,
            trial=None if result.chosen is None else result.chosen.number,
            encrypted_runs=result.spent.encrypted_runs,
        )  # fmt: skip
        return result


def transcripts(run: Path) -> list[Path]:
    """Transcripts in a run directory, oldest first."""
    return sorted((run / "transcripts").glob("*.jsonl"))
