"""Recipes for workers cross processes and give the same ladder there."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import cloudpickle

from search import Study
from search.api.trial import Job
from search.config import parse_spec
from search.worker import LiveWorker, SpecWorker, label

SPEC = parse_spec(
    {
        "study": {"name": "t"},
        "workload": {
            "name": "image_classification", "network": "mlp", "data": "digits",
        },
        "space": "relu_placement",
        "objectives": ["latency_2pc"],
        "ladder": [{"rung": "static", "evaluators": ["cost_2pc"]}],
    }
)  # fmt: skip


def test_a_worker_of_names_is_plain_data(tmp_path: Path) -> None:
    worker = pickle.loads(pickle.dumps(SpecWorker(SPEC, (), str(tmp_path / "work"))))
    execute = worker.build()
    sites = execute._components.sites()
    n = sum(s.kind == "activation" for s in sites)
    outcome = execute(Job(0, {"activation": ("relu",) * n}, 0), lambda k, d: None, lambda: False)
    assert outcome.status == "complete", outcome.error
    assert outcome.measurements[0].value > 0
    assert outcome.worker
    assert (tmp_path / "work").is_dir()


def test_a_worker_of_live_objects_crosses_by_cloudpickle(toy_study: Callable[..., Study]) -> None:
    study = toy_study()
    worker = cloudpickle.loads(cloudpickle.dumps(LiveWorker(study.components, "toy")))
    point = {"x": 0.3, "n": 1, "kind": "v", "mask": (0,) * 12}
    outcome = worker.build()(Job(4, point, 0), lambda k, d: None, lambda: False)
    assert outcome.status == "complete", outcome.error
    assert {m.metric: m.value for m in outcome.measurements} == {"loss": 1.0, "cost": 0.0}


def test_labels_are_short() -> None:
    job = Job(12, {"latency_weight": 0.31234567, "mask": (1,) * 100, "n": 3, "z": 1}, 0)
    text = label("poly", job)
    assert text == "poly #12 latency_weight=0.3123 mask=111111111111111111111... n=3"
