"""The programmatic interface."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from search import Metric, Study
from search.api.errors import ConfigError, StoreError

Make = Callable[..., Study]
POINT = {"x": 0.3, "n": 1, "kind": "v", "mask": [0] * 12}


def test_front_best_and_frame(toy_study: Make) -> None:
    study = toy_study(trials=30)
    study.run()
    front = study.pareto()
    assert front
    for a in front:
        for b in study.trials():
            assert a.values is not None
            assert b.values is not None
            worse = all(y <= x for x, y in zip(a.values, b.values, strict=True))
            assert not worse or a.values == b.values
    best = study.best("cost")
    assert best is not None
    assert best.values is not None
    assert best.values[1] == min(t.values[1] for t in study.trials() if t.values)
    frame = study.dataframe()
    assert len(frame) == 30
    assert {"params.x", "metrics.loss [1]", "status"} <= set(frame.columns)


def test_infeasible_trials_are_not_on_the_front(toy_study: Make) -> None:
    study = toy_study(trials=30, constraints=["cost <= 5 ms"])
    study.run()
    assert any(not t.feasible for t in study.trials())
    assert all(t.values is not None and t.values[1] <= 5 for t in study.pareto())


def test_check_and_evaluate(toy_study: Make) -> None:
    study = toy_study(known=["sum(mask) <= 3"])
    assert not study.check(POINT)
    broken = study.check({**POINT, "mask": [1] * 12})
    assert broken[0].excess == 9
    assert not study.trials()
    trial = study.evaluate(POINT)
    assert trial.values == (1.0, 0.0)
    assert trial.origin.kind == "user"
    with pytest.raises(ConfigError, match="known: full"):
        study.evaluate(POINT, up_to="top")
    with pytest.raises(ConfigError, match="'n' is missing"):
        study.check({"x": 0.3, "kind": "v", "mask": [0] * 12})


def test_known_constraints_are_kept_by_every_trial(toy_study: Make) -> None:
    for searcher in ("random", "evolution"):
        study = toy_study(name=searcher, known=["sum(mask) <= 3"], searcher=searcher, trials=25)
        trials = study.run().trials
        assert len(trials) == 25
        assert all(sum(t.point["mask"]) <= 3 for t in trials)  # type: ignore[arg-type, misc]


def test_params_narrow_or_fix_a_domain(toy_study: Make) -> None:
    study = toy_study(params={"n": 2, "x": {"real": [0.2, 0.4]}}, trials=8)
    for trial in study.run().trials:
        assert trial.point["n"] == 2
        assert 0.2 <= trial.point["x"] <= 0.4  # type: ignore[operator]
    with pytest.raises(ConfigError, match=r"params\.n: expected an integer"):
        toy_study(params={"n": 99})
    with pytest.raises(ConfigError, match=r"params\.q: unknown parameter"):
        toy_study(params={"q": 1})


def test_ask_and_tell(tmp_path: Path) -> None:
    from search import Param, Real
    from spaces.parameters import ParameterSpace

    metric = Metric("error", "%", "min", "doc")
    study = Study(
        name="told", objectives=[metric], space=ParameterSpace((Param("x", Real(0, 1)),)),
        trials=3, searcher="random", directory=tmp_path,
    )  # fmt: skip
    while (job := study.ask()) is not None:
        study.tell(job, {"error": 100 * float(str(job.point["x"]))}, evidence="simulated")
    trials = study.trials()
    study.close()
    assert len(trials) == 3
    assert trials[0].outcome is not None
    assert trials[0].outcome.measurements[0].evidence == "simulated"
    with pytest.raises(ConfigError, match="not running"):
        study.tell(0, {"error": 1.0})


def test_another_configuration_under_the_same_name_is_refused(toy_study: Make) -> None:
    toy_study(trials=2).run()
    with pytest.raises(StoreError, match=r"study changed.*--accept-change"):
        toy_study(trials=2, seed=1).run()
    changed = toy_study(trials=4, seed=1)
    assert len(changed.run(accept_change=True).trials) == 4
    assert len(toy_study(trials=4, seed=1).run().trials) == 4


def test_a_study_in_use_is_refused(toy_study: Make) -> None:
    first = toy_study()
    first.ask()
    with pytest.raises(StoreError, match="in use by process"):
        toy_study().run()


def test_wrong_arguments_are_configuration_errors(toy_study: Make) -> None:
    with pytest.raises(ConfigError, match=r"constraints\[0\].*latency.*not measured"):
        toy_study(constraints=["latency <= 3 ms"])
    with pytest.raises(ConfigError, match=r"constraints\[0\].*measured in 'ms'"):
        toy_study(constraints=["cost <= 3 MB"])
    with pytest.raises(ConfigError, match=r"objectives\[0\]"):
        toy_study(objectives=["speed"])
    with pytest.raises(ConfigError, match="Did you mean 'random'"):
        toy_study(searcher="randm")


def test_a_study_made_in_python_can_be_read_but_not_rebuilt(toy_study: Make) -> None:
    study = toy_study(trials=2)
    study.run()
    assert len(Study.read(study.path).trials) == 2
    with pytest.raises(StoreError, match="made in Python"):
        Study.load(study.path)


def test_interrupt_in_a_thread_free_run(toy_study: Make) -> None:
    """Ctrl-C ends the run in order: finished trials stay, the one in flight is repeated later."""

    def values(candidate: Any) -> dict[str, float]:
        time.sleep(0.05)
        return {"loss": 0.0, "cost": 0.0}

    study = toy_study(function=values, trials=50)
    threading.Timer(0.4, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    trials = study.run().trials
    assert study.interrupted
    assert 1 <= sum(t.status == "complete" for t in trials) < 50
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    again = toy_study(function=values, trials=len(trials) + 2).run().trials
    assert sum(t.status == "complete" for t in again) == len(trials) + 2


def test_import_is_light() -> None:
    code = (
        "import sys, search; search.Real; "
        "print([m for m in ('torch', 'optuna', 'ray', 'pydantic') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
