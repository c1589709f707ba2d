"""``search check``: validate a configuration and say what a run would do, with no trial."""

from __future__ import annotations

import json as json_module
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.api.metric import Fidelity
from search.api.protocols import HasCostModels
from search.cli.run import arms_of, check_runner, overrides
from search.cli.text import count, duration, facts, number, table
from search.plural import plural
from search.run_directory import without_password
from search.study import Study


@dataclass(frozen=True)
class Cost:
    """What one rung of one trial is expected to take.

    Args:
        rung: name of the rung.
        budget: its budget, as the configuration has it.
        seconds: the method's estimate in seconds; None where it gives none.
    """

    rung: str
    budget: dict[str, float]
    seconds: float | None


def check_config(
    config: Path,
    *,
    overrides: Sequence[str],
    plugins: Sequence[Path],
    runner: str | None,
    trials: int | None,
    directory: Path | None,
    storage: str | None,
    json: bool,
    quiet: bool,
) -> None:
    """Check a configuration and print what it means.

    Raises:
        ConfigError, PluginError: what is wrong with it.
    """
    study = load(config, overrides, plugins, trials, directory, storage)
    if runner is not None:
        check_runner(runner)
    data = describe(study, runner)
    if json:
        print(json_module.dumps(data, indent=1, default=str))
    elif not quiet:
        print(_text(data))
        print(f"\n{config}: ok, no trial was run")


def load(
    config: Path,
    sets: Sequence[str],
    plugins: Sequence[Path],
    trials: int | None,
    directory: Path | None,
    storage: str | None,
) -> Study:
    """The study of a configuration, its baselines built once as well.

    Raises:
        ConfigError, PluginError: what is wrong with it.
    """
    texts = [*sets, *overrides(trials, directory, storage)]
    study = Study.from_yaml(config, overrides=texts, plugins=plugins)
    arms_of(study, config)
    return study


def describe(study: Study, runner: str | None = None) -> dict[str, Any]:
    """Everything ``check`` says, as JSON-safe data."""
    spec, components = study.spec, study.components
    searcher = study.searcher()
    costs = _costs(study)
    seconds = [c.seconds for c in costs]
    known = [s for s in seconds if s is not None]
    per_trial = sum(known) if len(known) == len(seconds) else None
    size = study.size()
    return {
        "study": {"name": study.name, "digest": spec.digest, "seed": spec.study.seed},
        "workload": _workload(study),
        "space": {
            "name": spec.space.name,
            "points": None if math.isinf(size) else size,
            "params": [
                {
                    "name": p.name,
                    "domain": p.domain.describe(),
                    "unit": p.unit,
                    "when": {k: list(v) for k, v in p.when.items()},
                    "doc": p.doc,
                }
                for p in study.params
            ],
            "known": list(spec.known),
        },
        "method": {
            "name": spec.method.name,
            "decides_space": components.ladder.method.decides_space,
        },
        "searcher": {"name": searcher.name, "reason": searcher.reason},
        "objectives": [_metric(study, name) for name in components.objectives],
        "constraints": [str(c) for c in components.ladder.constraints],
        "ladder": [
            {
                "rung": rung.fidelity.name,
                "budget": dict(rung.fidelity.budget),
                "evaluators": [e.name for e in spec.ladder[i].evaluators],
                "gates": [str(g) for g in rung.gates],
                "seconds": costs[i].seconds,
            }
            for i, rung in enumerate(components.ladder.rungs)
        ],
        "budget": spec.budget.model_dump(mode="json"),
        "baselines": list(spec.baselines),
        "runner": runner or spec.runner.name,
        "device": components.ladder.device,
        "storage": without_password(spec.study.storage),
        "directory": str(study.path),
        "seconds_per_trial": per_trial,
        "seconds": None if per_trial is None else per_trial * spec.budget.trials,
        "warnings": warnings(study, searcher.name),
    }


def warnings(study: Study, searcher: str) -> list[str]:
    """What is allowed but probably not meant."""
    spec, found = study.spec, []
    size, trials = study.size(), spec.budget.trials
    gates = any(rung.gates for rung in study.components.ladder.rungs)
    if gates and ("nsga2" in searcher or "evolution" in searcher):
        found.append(
            f"searcher {searcher} learns little from trials that a gate has ended, since it ranks "
            "complete trials only; tpe does better on a gated ladder"
        )
    if size < trials:
        found.append(
            f"budget.trials is {trials}, but the space has at most {count(size)} points; the study "
            "will end when they are used up"
        )
    if (study.path / "run.json").exists():
        found.append(f"{study.path} exists already: `search run` will go on with it")
    if spec.runner.name == "inline" and spec.budget.trial_time is not None:
        found.append(
            "budget.trial_time cannot be enforced by the runner inline; process or ray_tasks can"
        )
    if not spec.baselines and trials > 1:
        found.append("no baselines: the report will have nothing to compare the front with")
    return found


def _workload(study: Study) -> dict[str, Any] | None:
    workload = study.components.workload
    if workload is None:
        return None
    sites = study.components.sites()
    return {
        "name": workload.name,
        "digest": workload.digest,
        "sites": len(sites),
        "activations": sum(s.kind == "activation" for s in sites),
        "pools": sum(s.kind == "pool" for s in sites),
        "activation_elements": sum(s.elements for s in sites if s.kind == "activation"),
    }


def _metric(study: Study, name: str) -> dict[str, Any]:
    metric = study.components.metrics()[name]
    top = study.components.ladder.rungs[-1]
    evaluator = next(e for e in top.evaluators if any(m.name == name for m in e.metrics))
    return {
        "name": metric.name,
        "unit": metric.unit,
        "goal": metric.goal,
        "doc": metric.doc,
        "source": metric.source,
        "evidence": _evidence(evaluator, name),
    }


def _evidence(evaluator: Any, metric: str) -> str | None:
    """Evidence of a metric where the evaluator tells it before it measures."""
    if isinstance(evaluator, HasCostModels) and metric in evaluator.cost_models():
        return "model"
    return getattr(evaluator, "evidence", None)


def _costs(study: Study) -> list[Cost]:
    """Each rung's cost; a method may estimate it with ``estimate(fidelity) -> seconds | None``."""
    estimate = getattr(study.components.ladder.method, "estimate", None)
    costs = []
    for rung in study.components.ladder.rungs:
        fidelity: Fidelity = rung.fidelity
        seconds = estimate(fidelity) if callable(estimate) else None
        costs.append(Cost(fidelity.name, dict(fidelity.budget), seconds))
    return costs


def _text(data: dict[str, Any]) -> str:
    space = data["space"]
    size = math.inf if space["points"] is None else space["points"]
    heading = facts(
        [
            ("study", f"{data['study']['name']}, seed {data['study']['seed']}, "
                      f"digest {data['study']['digest']}"),
            ("workload", _workload_text(data["workload"])),
            ("space", f"{space['name']}: {plural(len(space['params']), 'parameter')}, "
                      + (f"{count(size)} points" if size < math.inf else "infinitely many points")),
            ("method", data["method"]["name"] + (
                ", which decides the space's own parameters by training"
                if data["method"]["decides_space"] else "")),
            ("searcher", f"{data['searcher']['name']}: {data['searcher']['reason']}"),
            ("known", "\n".join(space["known"])),
            ("constraints", ", ".join(data["constraints"])),
            ("runner", f"{data['runner']} on {data['device']}"),
            ("storage", f"{data['storage']}, in {data['directory']}"),
            ("cost", _cost_text(data)),
        ]
    )  # fmt: skip
    params = [(p["name"], _domain(p), p["doc"]) for p in space["params"]]
    goals = [
        (m["name"], m["unit"], m["goal"], m["evidence"] or "", m["doc"]) for m in data["objectives"]
    ]
    rungs = [
        (
            r["rung"],
            ", ".join(f"{k} {number(v)}" for k, v in r["budget"].items()),
            ", ".join(r["evaluators"]),
            ", ".join(r["gates"]),
        )
        for r in data["ladder"]
    ]
    parts = [
        heading,
        "parameters\n" + table(("name", "domain", "what"), params, "  "),
        "objectives\n" + table(("name", "unit", "goal", "evidence", "what"), goals, "  "),
        "ladder\n" + table(("rung", "budget", "evaluators", "gates"), rungs, "  "),
    ]
    parts += [f"warning: {text}" for text in data["warnings"]]
    return "\n\n".join(parts)


def _domain(param: dict[str, Any]) -> str:
    text = str(param["domain"]) + (f" {param['unit']}" if param["unit"] else "")
    for name, options in param["when"].items():
        text += f", if {name} is {' or '.join(map(str, options))}"
    return text


def _workload_text(workload: dict[str, Any] | None) -> str:
    if workload is None:
        return ""
    return (
        f"{workload['name']}: {workload['activations']} activations "
        f"({workload['activation_elements']:,} elements) and {workload['pools']} pools among "
        f"{workload['sites']} sites, digest {workload['digest']}"
    )


def _cost_text(data: dict[str, Any]) -> str:
    """Trials x budget, and the time if the method can tell."""
    arms = 1 + len(data["baselines"])
    trials = data["budget"]["trials"]
    text = plural(trials, "trial")
    if arms > 1:
        names = ", ".join(data["baselines"])
        text += f", and as many for each of {plural(arms - 1, 'baseline')} ({names})"
    spent: dict[str, float] = {}
    for rung in data["ladder"]:
        for key, amount in rung["budget"].items():
            spent[key] = spent.get(key, 0.0) + amount
    each = ", ".join(f"{key} {number(amount)}" for key, amount in spent.items())
    text += f"; each at most {each} over the whole ladder" if each else ""
    limits = [
        f"{key.replace('_', ' ')} at most {duration(data['budget'][key])}"
        for key in ("wall_clock", "worker_time", "trial_time")
        if data["budget"][key] is not None
    ]
    text += "".join(f"\n{limit}" for limit in limits)
    if data["seconds"] is not None:
        return f"{text}\nabout {duration(data['seconds'])} of work (estimate of the method)"
    return f"{text}\nthe time is not known beforehand: the method gives no estimate"
