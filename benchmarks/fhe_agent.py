"""What agents are worth: who finds a 128-bit configuration that meets a target, and at what price?

Every controller gets the same study, demands and limit on encrypted runs: the expert (and what is
left of it without parts), direct synthesis mended on failure, random, a small grid, TPE and NSGA-II
with and without the rungs below the encrypted one, Orion's shipped configuration, and one prompt
where a model is set. Three targets for each network: latency under precision, precision under
latency, latency in little memory. The reference is the best of all chains and packings by the
models, its first ones run. ResNet-20 and AlexNet are predicted only (Lattigo's rules and times).

Latency is the model's: measured times change with what else a machine does. Precision and memory
are measured. An encrypted run of a searcher that, as foretold, misses a demand by far or cannot
come near the reference is charged and not done (``evidence: model``).

Prints one JSON line per session; ``--output`` is added to and what it holds is not run again.
``--smoke`` takes seconds and proves only that it works.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from fhe_agent_cases import Bench, Case, Target
from fhe_agent_summary import summary

from agents.api import Toolbox, ToolError
from agents.controllers.choice import controller_of, model_of
from agents.expert import Expert, ExpertOptions
from agents.memory import Lessons
from agents.tools.ckks import study_tools
from evaluators.fhe.orion.shipped import shipped
from search.api.domain import is_active
from search.api.trial import Trial
from search.proposals import Proposals
from spaces.ckks.libraries import LATTIGO
from spaces.ckks.rules import Demands, violations

NEAR = 0.10
"""A result within this share of the reference counts as near."""
MOST_TRIALS = 200  # of a session that is gated before it encrypts
SPARE_BITS = 1.0  # by which forecasts of precision may be off; the largest seen is 0.59
EXPERTS = {
    "expert": ExpertOptions(),
    "expert_with_memory": ExpertOptions(),
    "expert_without_repair": ExpertOptions(repair=False),
    "expert_without_enumeration": ExpertOptions(global_search=False),
}
SEARCHERS = {  # controller -> searcher, whether the lower rungs are there
    "direct": ("direct_synthesis", True),
    "random": ("random", True),
    "random_encrypted_only": ("random", False),
    "grid": ("random", True),  # a grid of our own: that of all values has a million points
    "tpe": ("tpe", True),
    "tpe_encrypted_only": ("tpe", False),
    "nsga2": ("nsga2", True),
    "nsga2_encrypted_only": ("nsga2", False),
}
FIRST = ("expert", "random", "tpe", "direct", "orion")
"""Controllers whose sessions come before those of all others."""
ONCE = (
    "expert_without_repair",
    "expert_without_enumeration",
    "direct",
    "grid",
    "orion",
    "one_shot",
)
"""Controllers that nothing random enters: one seed is enough."""
_SHIPPED = {"mlp": "mlp", "lola": "lola", "lenet": "lenet"}
# Orion's ResNet and AlexNet: primes of its configuration and of its bootstrapping together, with a
# sparse secret of weight 192. Source: configs/resnet.yml of baahl-nyu/orion, Lattigo's defaults.
_SHIPPED_BITS = {"resnet20": (16, 1764, 1543), "alexnet": (16, 1764, 1543)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--networks", nargs="+",
                        default=["mlp", "lola", "cnn6", "resnet20", "alexnet"])  # fmt: skip
    parser.add_argument("--controllers", nargs="+",
                        default=[*EXPERTS, *SEARCHERS, "orion", "one_shot"])  # fmt: skip
    parser.add_argument("--targets", nargs="+", default=["latency", "precision", "memory"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=40, help="encrypted runs of a session at most")
    parser.add_argument("--seconds", type=float, default=900.0, help="of a session at most")
    parser.add_argument("--output", type=Path, help="JSON lines to add to and go on from")
    parser.add_argument(
        "--folder", type=Path, help="for run directories; a temporary one if absent"
    )
    options = parser.parse_args()
    if options.smoke:
        options.networks, options.targets, options.seeds, options.runs = (
            ["smoke"],
            ["latency"],
            1,
            2,
        )
        options.controllers = ["expert", "direct", "random", "tpe_encrypted_only"]
    with tempfile.TemporaryDirectory() as scratch:
        rows = run(options, options.folder or Path(scratch))
    print(json.dumps({"summary": summary(rows), "host": platform.node(), "smoke": options.smoke}))


def run(options: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """Every session that is not known yet; all rows."""
    rows = known(options.output)
    done = {(r["network"], r["target"], r["controller"], r["seed"]) for r in rows}
    cases = {name: Case(name, folder) for name in options.networks}
    # What matters most first, seed by seed: a run that is stopped has compared all networks.
    parts = ([c for c in options.controllers if c in FIRST],
             [c for c in options.controllers if c not in FIRST])  # fmt: skip
    for part, seed, (name, case) in itertools.product(parts, range(options.seeds), cases.items()):
        for target in case.targets:
            if target.name not in options.targets:
                continue
            for controller in part:
                once = controller in ONCE or case.deep and controller == "expert"
                key = (name, target.name, controller, seed)
                if key in done or (once and seed):
                    continue
                best = reference(case, target, rows, options)
                row = session(case, target, controller, seed, best, options)
                if row is not None:
                    rows.append(row)
                    told(row, options.output)
    return rows


def session(
    case: Case, target: Target, controller: str, seed: int, best: float,
    options: argparse.Namespace,
) -> dict[str, Any] | None:  # fmt: skip
    """One session; None for a controller that is not at hand."""
    began = time.monotonic()
    row = {
        "network": case.name, "target": target.name, "controller": controller, "seed": seed,
        "goal": [target.goal.minimise, *target.goal.demands], "reference": round(best, 4),
    }  # fmt: skip
    if controller == "orion":
        return {**row, **orion(case)}
    if controller == "one_shot" and model_of() is None:
        return None
    searcher, static = SEARCHERS.get(controller, ("random", True))
    if case.deep and not static:
        return None  # the predicted rung alone is the whole ladder
    label = f"{target.name}/{controller}/{seed}/{time.time_ns()}"
    keep = controller not in EXPERTS
    lessons = _lessons(case, target, seed) if controller == "expert_with_memory" else None
    study = case.study(label, target, searcher=searcher, static=static, seed=seed, keep=keep)
    bench = case.bench(study, target, options.runs, options.seconds)
    near = reaches(bench, best)
    known_lessons = len(lessons.all()) if lessons is not None else None
    done = 0 if case.deep else case.runs(keep).done
    if controller in SEARCHERS and not case.deep:
        case.runs(keep).hopeless = hopeless(bench, best)
    with bench.opened():
        if controller in EXPERTS:
            expert = Expert(EXPERTS[controller], lessons)
            ended = expert.run(bench, Toolbox(), lambda text: None).ending
        elif controller == "one_shot":
            chosen = controller_of("one_shot", model_of())
            ended = chosen.run(bench, study_tools(bench), lambda text: None).ending
        else:
            ended = gridded(bench, near) if controller == "grid" else searched(bench, near)
    row |= {**result(bench, near, static), "ended": ended,
            "seconds": round(time.monotonic() - began, 1)}  # fmt: skip
    if known_lessons is not None:
        row["lessons"] = known_lessons
    if not case.deep:
        row["runs_done"] = case.runs(keep).done - done
        case.runs(keep).hopeless = lambda values: False
    return row


def hopeless(bench: Bench, best: float) -> Callable[[Mapping[str, float]], bool]:
    """Whether a run, as foretold, misses a demand by far or cannot come near the reference.

    Such runs are charged and not done: samplers are told the forecast, and sessions end the same.
    """
    metric = bench.metrics[bench.goal.minimise]
    sign = 1.0 if metric.goal == "min" else -1.0

    def spare(name: str, value: float) -> float:
        return SPARE_BITS if name == "precision_ckks" else (
            0.1 * value if name == "memory_ckks" else 0.0)  # fmt: skip

    def told(values: Mapping[str, float]) -> bool:
        for aim in bench.aims:
            value = values.get(aim.metric.name)
            if value is not None and aim.excess(value) > spare(aim.metric.name, value):
                return True
        value = values[metric.name]
        return sign * (value - best) - spare(metric.name, value) > NEAR * best

    return told


def _lessons(case: Case, target: Target, seed: int) -> Lessons:
    """What sessions of that target and seed learnt from the networks before."""
    return Lessons(case.folder / "lessons" / f"{target.name}-{seed}.json")


def searched(bench: Bench, near: Callable[[Trial], bool]) -> str:
    """Let a searcher propose until a result is near the reference, or a limit is reached."""
    study = bench.study
    searcher, rules = study.searcher(), study.blueprint.rules
    proposals = Proposals(searcher, study.params, rules.check, rules.repair, study.spec.study.seed)
    for number in range(MOST_TRIALS):
        queued = proposals.next(number)
        if queued is None:
            return "no proposal left"
        searcher.start(number, queued.point)
        try:
            trial = bench.evaluate(queued.point, bench.rungs[-1], searcher.name)
        except ToolError as error:
            return "budget" if "limit" in str(error) else "refused"
        searcher.finish(trial)
        if near(trial):
            return "near"
    return "trials"


def gridded(bench: Bench, near: Callable[[Trial], bool]) -> str:
    """Every fourth scale of every ring and packing, all else as tutorials have it."""
    for point in small_grid(bench):
        if bench.check(point):
            continue
        try:
            trial = bench.evaluate(point, bench.rungs[-1], "grid")
        except ToolError as error:
            return "budget" if "limit" in str(error) else "refused"
        if near(trial):
            return "near"
    return "no proposal left"


def small_grid(bench: Bench) -> Iterator[dict[str, Any]]:
    """The points, in order."""
    usual = {"headroom": 6, "special_gap": 12, "weight_bits": 26, "secret_weight": 0}
    points: list[dict[str, Any]] = [{}]
    for param in bench.params:
        domain: Any = param.domain
        values = getattr(domain, "options", None) or range(domain.low, domain.high + 1, 4)
        if param.name in usual:
            values = [usual[param.name]]
        points = [
            {**p, param.name: v} if is_active(param, p) else p
            for p in points
            for v in (values if is_active(param, p) else [None])
        ]
    yield from points


def result(bench: Bench, near: Callable[[Trial], bool], static: bool) -> dict[str, Any]:
    """What the trials of a session amount to."""
    trials = bench.trials()
    dear = 0
    first: dict[str, int | None] = {"runs_to_feasible": None, "runs_to_near": None}
    top = bench.rungs[-1]
    for trial in trials:
        climbed = [r.rung for r in trial.outcome.rungs] if trial.outcome else []
        dear += top in climbed or trial.status in ("failed", "crashed")
        if bench.confirmed(trial):
            first["runs_to_feasible"] = first["runs_to_feasible"] or dear
            if near(trial):
                first["runs_to_near"] = first["runs_to_near"] or dear
    best = bench.best()
    shown: dict[str, Any] = {}
    for name in ("latency_ckks", "precision_ckks", "memory_ckks", "predicted_latency_ckks",
                 "predicted_precision", "key_mb", "security_slack"):  # fmt: skip
        found = best.measurement(name) if best is not None else None
        if found is not None:
            shown[name] = round(found.value, 3)
    told = best.measurement("precision_ckks") if best is not None else None
    return {
        "evidence": told.evidence if told is not None else "model",
        "feasible": best is not None, "near": best is not None and near(best),
        "value": None if best is None else round(float(bench.value(best) or 0.0), 4),
        **first, "top_rung_runs": dear, "encrypted_runs": bench.spent.encrypted_runs,
        "trials": len(trials), "measured": shown,
        "point": None if best is None else dict(best.point), "lower_rungs": static,
    }  # fmt: skip


def reaches(bench: Bench, best: float) -> Callable[[Trial], bool]:
    """Whether a trial is confirmed and within :data:`NEAR` of the reference."""
    sign = 1.0 if bench.metrics[bench.goal.minimise].goal == "min" else -1.0

    def near(trial: Trial) -> bool:
        value = bench.value(trial)
        return bench.confirmed(trial) and value is not None and sign * (value - best) <= NEAR * best

    return near


def reference(
    case: Case, target: Target, rows: list[dict[str, Any]], options: argparse.Namespace
) -> float:
    """The value that others are compared with: the best of all chains, its first ones run."""
    for row in rows:
        if (row["network"], row["target"], row["controller"]) == (case.name, target.name,
                                                                  "reference"):  # fmt: skip
            return float(row["value"])
    began = time.monotonic()
    found = case.references(target, 2)
    study = case.study(f"{target.name}/reference/{time.time_ns()}", target, searcher="random",
                       static=True, seed=0, keep=True)  # fmt: skip
    bench = case.bench(study, target, 8, 3600.0)
    with bench.opened():
        for ranked in found:
            bench.evaluate(ranked.point, bench.rungs[-1], "reference")
    best = bench.best()
    value = float(bench.value(best) or 0.0) if best is not None else found[0].value
    row = {
        "network": case.name, "target": target.name, "controller": "reference", "seed": 0,
        "goal": [target.goal.minimise, *target.goal.demands], "reference": round(value, 4),
        **result(bench, lambda trial: bench.confirmed(trial), True), "value": round(value, 4),
        "judged": case._every.judged, "seconds": round(time.monotonic() - began, 1),
        "times": case.base.components.metrics()[case.metric["latency"]].source,
    }  # fmt: skip
    rows.append(row)
    told(row, options.output)
    return value


def orion(case: Case) -> dict[str, Any]:
    """Orion's shipped configuration for the network, judged by the rules for 128 bits."""
    depth = case.base.components.ladder.space.depth(case._every.start())
    if case.name in _SHIPPED:
        broken = violations(shipped()[_SHIPPED[case.name]], Demands(depth=depth, library=LATTIGO))
        reasons = [f"{v.rule}: {v.excess:g} {v.unit}" for v in broken]
    elif case.name in _SHIPPED_BITS:
        log_n, bits, most = _SHIPPED_BITS[case.name]
        reasons = [f"insecure: {bits - most} bit too many at N = 2^{log_n}"]
    else:
        reasons = ["none is shipped"]
    return {"feasible": False, "near": False, "value": None, "encrypted_runs": 0,
            "reasons": reasons, "static_ok": not reasons, "seconds": 0.0}  # fmt: skip


def known(output: Path | None) -> list[dict[str, Any]]:
    """The rows of an earlier run."""
    if output is None or not output.exists():
        return []
    lines: Iterator[str] = iter(output.read_text(encoding="utf-8").splitlines())
    return [row for row in map(json.loads, lines) if "controller" in row]


def told(row: dict[str, Any], output: Path | None) -> None:
    """Print a row, and keep it."""
    text = json.dumps(row)
    print(text, flush=True)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        with output.open("a", encoding="utf-8") as stream:
            stream.write(text + "\n")


if __name__ == "__main__":
    main()
