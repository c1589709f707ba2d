"""What a model is told: its part, the goal, the state. The same study gives the same words."""

from __future__ import annotations

from typing import Any

from agents.api import Workbench
from agents.llm.data import NOTICE, cleaned
from search.api.candidate import to_plain
from search.api.trial import Trial

_TRIALS = 8

PART = (
    "You choose configurations for encrypted inference. You decide, tools do: every point is "
    "checked by rules and then measured on rungs from cheap to dear. Work as an expert would: "
    "understand the network, choose global parameters, check what is predicted, repair the "
    "bottleneck layer by layer, then confirm the best candidate at the top rung. Use the dear top "
    "rung only for a candidate that the cheap rungs predict to meet every demand. If a call is "
    "refused, read the reason and change what it names. State no number that no tool has shown."
)

WITH_TOOLS = "Act by calling one tool at a time. When done, call finish with the chosen trial."
WITH_JSON = (
    "Answer with one JSON object and nothing else: "
    '{"step": {"why": "short reason", "action": "NAME", "args": {...}}}. '
    "When done, use the action finish with the chosen trial."
)


def system_text(how: str) -> str:
    """The standing instruction; ``how`` is one of the two protocols."""
    return f"{PART} {how} {NOTICE}"


def state(bench: Workbench) -> dict[str, Any]:
    """Goal, what is left of the countable limits, and the last trials.

    Seconds and money stay out: they differ between two equal runs.
    """
    spent, limits, trials = bench.spent, bench.limits, bench.trials()
    return {
        "goal": {"minimise": bench.goal.minimise, "demands": list(bench.goal.demands)},
        "rungs": list(bench.rungs),
        "left": {
            "turns": limits.turns - spent.turns,
            "tool_calls": limits.tool_calls - spent.tool_calls,
            "encrypted_runs": limits.encrypted_runs - spent.encrypted_runs,
        },
        "trials": [row(bench, t) for t in trials[-_TRIALS:]],
    }


def row(bench: Workbench, trial: Trial) -> dict[str, Any]:
    """One trial in short."""
    outcome = trial.outcome
    found: dict[str, Any] = {
        "trial": trial.number,
        "point": to_plain(dict(trial.point)),
        "status": trial.status,
        "reached": outcome.rungs[-1].rung if outcome is not None and outcome.rungs else None,
        "meets_demands": bench.feasible(trial),
    }
    if outcome is not None:
        last = {m.metric: f"{m.value:.5g} {m.unit} ({m.evidence})" for m in outcome.measurements}
        found["measured"] = last
        if outcome.error:
            found["error"] = outcome.error.strip().splitlines()[-1]
    return dict(cleaned(found, 200))
