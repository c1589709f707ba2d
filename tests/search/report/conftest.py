"""Snapshots as a search over a small residual network would leave them."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from search.api.domain import Choice, Param, Real, Vector
from search.api.metric import Constraint, Measurement, Metric
from search.api.network import Site
from search.api.snapshot import Snapshot
from search.api.trial import Origin, Outcome, RungResult, Trial

ACCURACY = Metric("accuracy", "%", "max", "Top-1 accuracy on unseen images.", "Wilson 1927")
LATENCY = Metric("latency_2pc", "ms", "min", "2PC latency on two FPGA boards.", "PolyMPCNet, eq. 9")
BYTES = Metric("bytes_2pc", "MB", "min", "Bytes between the two parties.", "PolyMPCNet, sec. 3")
ROUNDS = Metric("rounds_2pc", "1", "min", "Messages that wait for each other.", "")
METRICS = {m.name: m for m in (ACCURACY, LATENCY, BYTES, ROUNDS)}
LIMIT = Constraint("latency_2pc", "<=", 9.5, "ms")


def residual_sites() -> tuple[Site, ...]:
    """A stem, four residual blocks and a classifier on 14 x 14 images."""
    sites, channels, size = [], 16, 14

    def add(name, kind, operator, c, h, out=None):
        shape = (c, h, h)
        sites.append(Site(name, kind, operator, shape, out or shape, macs=9 * c * c * h * h))

    add("stem.conv", "conv", "conv", 1, size, (channels, size, size))
    add("stem.act", "activation", "relu", channels, size)
    add("stem.pool", "pool", "maxpool", channels, size, (channels, 7, 7))
    size = 7
    for block in range(4):
        if block == 2:
            channels, size = 32, 4
        add(f"block{block}.conv1", "conv", "conv", channels, size)
        add(f"block{block}.act1", "activation", "relu", channels, size)
        add(f"block{block}.conv2", "conv", "conv", channels, size)
        add(f"block{block}.add", "add", "add", channels, size)
        add(f"block{block}.act2", "activation", "relu", channels, size)
    add("head.pool", "pool", "globalavgpool", channels, size, (channels, 1, 1))
    sites.append(Site("head.linear", "linear", "linear", (32,), (10,), macs=320, weights=320))
    return tuple(sites)


SITES = residual_sites()
ACTIVATIONS = tuple(s for s in SITES if s.kind == "activation")
PARAMS = (
    Param("activation", Vector(Choice(("x2act", "relu")), len(ACTIVATIONS))),
    Param("pool", Vector(Choice(("avg", "max")), 1)),
    Param("learning_rate", Real(1e-4, 1e-1, log=True), doc="of the fine-tuning"),
)


def a_trial(number, rng, *, relu_bias=0.5, skill=0.0, arm="main"):
    """One trial of the made-up study; every status occurs."""
    activation = tuple("relu" if rng.random() < relu_bias else "x2act" for _ in ACTIVATIONS)
    pool = rng.choice(("avg", "max"))
    point = {"activation": activation, "pool": (pool,), "learning_rate": 10 ** rng.uniform(-4, -1)}
    elements = {s.name: s.elements for s in ACTIVATIONS}
    on = sum(elements[s.name] for s, a in zip(ACTIVATIONS, activation, strict=True) if a == "relu")
    share = on / sum(elements.values())
    latency = 1.4 + 9.0 * share + (1.1 if pool == "max" else 0.0)
    burnt = 6 * (point["learning_rate"] > 0.06)
    accuracy = 86 + 4.2 * share**0.4 + skill + rng.gauss(0, 0.35) - burnt
    at = dict(evidence="model", fidelity="static", unit="ms")
    static = RungResult(
        "static",
        0.002,
        (
            Measurement("latency_2pc", latency, **at),
            Measurement("bytes_2pc", latency * 0.31, **{**at, "unit": "MB"}),
            Measurement("rounds_2pc", 20 + 12 * activation.count("relu"), **{**at, "unit": "1"}),
        ),
    )
    seconds = rng.uniform(6, 11)
    measured = dict(unit="%", fidelity="finetune", evidence="measured", n=2000)
    top = RungResult(
        "finetune",
        seconds,
        (
            Measurement(
                "accuracy", accuracy, split="validation", low=accuracy - 1.3,
                high=accuracy + 1.2, **measured,
            ),
        ),
    )  # fmt: skip
    excess = {str(LIMIT): LIMIT.excess(latency, "ms")}
    choices = [
        {"site": s.name, "operator": a} for s, a in zip(ACTIVATIONS, activation, strict=True)
    ] + [{"site": "stem.pool", "operator": pool}]
    payload = {"choices": choices}
    candidate = {"kind": "relu_placement", "digest": f"{number:016x}", "payload": payload}
    outcome = Outcome(
        number, "complete", (static, top), excess, candidate, seconds=seconds + 0.1,
        notes={"epochs": 4, "best_epoch": 3}, worker="pid 4711",
    )  # fmt: skip
    started = 1_750_000_000.0 + 10 * number
    values: tuple[float, ...] | None = (accuracy, latency)
    if number % 11 == 7:
        outcome = replace(outcome, status="gated", rungs=(static,))
        values = None
    elif number % 17 == 9:
        trace = "Loss is not finite at epoch 2 (got nan)\nTraceback (most recent call last): ..."
        outcome = Outcome(number, "failed", error=trace, seconds=seconds)
        values = None
    origin = Origin("sampler", "nsga2") if arm == "main" else Origin("baseline", arm)
    if number == 0:
        origin = Origin("user", "ada", "all ReLU first")
    return Trial(
        number, point, seed=1000 + number, origin=origin, status=outcome.status, values=values,
        outcome=outcome, started=started, finished=started + seconds,
    )  # fmt: skip


def a_study(arm="main", trials=60, seed=0, **changes) -> Snapshot:
    """One arm; ``main`` learns where the good trials are, others stay random."""
    rng = random.Random(f"{arm}/{seed}")
    made = []
    for number in range(trials):
        bias = rng.choice((0.05, 0.3, 0.7, 0.95)) if arm == "main" else 0.5
        skill = min(1.2, number / 40) if arm == "main" else 0.0
        made.append(a_trial(number, rng, relu_bias=bias, skill=skill, arm=arm))
    good = [t for t in made if t.feasible and t.number > trials / 2]
    if arm == "main" and good:
        chosen = max(good, key=lambda t: t.values[0])
        made[chosen.number] = with_test_split(chosen)
    whole = Snapshot(
        study="polympcnet",
        arm=arm,
        directory=Path("runs/polympcnet") / arm,
        digest="0123456789abcdef",
        spec={
            "study": {"name": "polympcnet", "seed": seed},
            "workload": {"name": "image_classification", "network": "resnet_mini"},
            "space": {"name": "relu_placement", "granularity": "layer"},
            "objectives": ["accuracy", "latency_2pc"],
            "constraints": [str(LIMIT)],
        },
        objectives=(ACCURACY, LATENCY),
        constraints=(LIMIT,),
        params=PARAMS,
        metrics=METRICS,
        trials=tuple(made),
        sites=SITES,
        searcher="nsga2" if arm == "main" else "random",
        searcher_reason="auto: two objectives and a vector parameter" if arm == "main" else "",
        versions={"cipher-search": "0.1.0", "torch": "2.13.0", "python": "3.11.9", "cpus": "2"},
        seconds=sum(t.outcome.seconds for t in made),
        teacher={"accuracy": 91.2, "epochs": 12} if arm == "main" else {},
    )
    return replace(whole, **changes)


def with_test_split(trial: Trial) -> Trial:
    """The same trial, completed, with its one test-split measurement."""
    test = Measurement("accuracy", 90.4, "%", "finetune", "measured", n=2000, split="test",
                       low=89.0, high=91.6)  # fmt: skip
    low, top = trial.outcome.rungs
    better = replace(top.measurements[0], value=92.9, low=91.7, high=93.9)
    top = replace(top, measurements=(better, test))
    outcome = replace(trial.outcome, rungs=(low, top))
    return replace(trial, outcome=outcome, values=(92.9, trial.values[1]))


def three_objectives(trials=40, arm="main") -> Snapshot:
    """The study with the bytes as a third objective."""
    study = a_study(arm, trials)
    wider = tuple(
        replace(t, values=(*t.values, t.measurement("bytes_2pc").value)) if t.values else t
        for t in study.trials
    )
    return replace(study, objectives=(ACCURACY, LATENCY, BYTES), trials=wider)


def one_objective(trials=40) -> Snapshot:
    """The study with accuracy alone."""
    study = a_study(trials=trials)
    narrow = tuple(replace(t, values=t.values[:1]) if t.values else t for t in study.trials)
    return replace(study, objectives=(ACCURACY,), trials=narrow)


def all_failed(trials=8) -> Snapshot:
    """Not one trial came through."""
    study = a_study(trials=trials)
    failed = tuple(
        replace(
            t, status="failed", values=None,
            outcome=Outcome(t.number, "failed", error="EvaluationError: no data", seconds=0.5),
        )
        for t in study.trials
    )  # fmt: skip
    return replace(study, trials=failed)


_RUN = "document.title='PWNED'"
HOSTILE = (
    f'=</script><script>{_RUN}</script><img src=x onerror="{_RUN}"><!--'
    "|`[a](javascript:1)\u2028'\"&amp;{{data}}"
)


def hostile(trials=6) -> Snapshot:
    """Every string that people or plugins choose tries to break out."""
    study = a_study(trials=trials)
    metric = replace(ACCURACY, doc=HOSTILE, source=HOSTILE, unit="</script>")
    choice, point = {"site": HOSTILE, "operator": HOSTILE}, {HOSTILE: HOSTILE, "x": (HOSTILE,)}
    bad = []
    for t in study.trials:
        out = replace(
            t.outcome, error=HOSTILE, notes={HOSTILE: HOSTILE}, worker=HOSTILE,
            excess={HOSTILE: 1.0} if t.number % 2 else {},
            candidate={"kind": HOSTILE, "payload": {"choices": [choice]}},
        )  # fmt: skip
        origin = Origin("user", HOSTILE, HOSTILE)
        bad.append(replace(t, outcome=out, origin=origin, point=point))
    return replace(
        study, study=HOSTILE, arm=HOSTILE, spec={HOSTILE: HOSTILE}, objectives=(metric, LATENCY),
        metrics={**METRICS, "accuracy": metric}, trials=tuple(bad), searcher=HOSTILE,
        searcher_reason=HOSTILE, versions={HOSTILE: HOSTILE}, teacher={HOSTILE: HOSTILE},
        sites=(replace(SITES[0], name=HOSTILE, operator=HOSTILE), *SITES[1:]),
        params=(Param(HOSTILE, Choice((HOSTILE,)), unit=HOSTILE),),
    )  # fmt: skip


@pytest.fixture
def family() -> list[Snapshot]:
    """The main arm and its random baseline."""
    return [a_study("main", 60), a_study("random", 50)]


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    """The builders of this file, for tests that need another study."""
    return SimpleNamespace(
        study=a_study, three=three_objectives, one=one_objective, failed=all_failed,
        hostile=hostile, HOSTILE=HOSTILE, SITES=SITES, LIMIT=LIMIT, LATENCY=LATENCY,
    )  # fmt: skip
