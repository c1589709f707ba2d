"""``search show``: the study, and one trial with all that is known of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


def test_a_study(shell: Any, changed: Callable[..., Path]) -> None:
    config = changed(constraints=["delay <= 9 ms"], baselines={"blind": {}})
    shell.run("run", config, "--plugin", shell.plugin, "-q", "--trials", "8")
    result = shell.run("show", "runs/tiny")
    assert result.exit_code == 0, result.stderr
    assert "4 of 4" not in result.stdout
    assert "8 of 8 done" in result.stdout
    assert "error [%] min, delay [ms] min" in result.stdout
    assert "blind: runs/tiny/baselines/blind" in result.stdout
    assert "over bound" in result.stdout
    assert result.stdout.count("\n*") >= 2
    assert "8 of 8 done" in shell.run("show", "runs/tiny/baselines/blind").stdout


def test_a_study_as_json(shell: Any) -> None:
    shell.run("run", shell.config, "--plugin", shell.plugin, "-q")
    data = json.loads(shell.run("show", "runs/tiny", "--json").stdout)
    assert data["done"] == len(data["trials"]) == 4
    assert set(data["front"]) <= {0, 1, 2, 3}
    assert set(data["trials"][0]["values"]) == {"error", "delay"}


def test_a_trial(shell: Any) -> None:
    shell.run("run", shell.config, "--plugin", shell.plugin, "-q")
    result = shell.run("show", "runs/tiny", "2")
    assert result.exit_code == 0
    for text in ("#2 of tiny", "complete", "measured", "model", "sampler by random", "kind"):
        assert text in result.stdout
    data = json.loads(shell.run("show", "runs/tiny", "2", "--json").stdout)
    assert data["number"] == 2
    assert [m["evidence"] for m in data["outcome"]["rungs"][0]["measurements"]] == [
        "measured",
        "model",
    ]


def test_a_failed_trial_shows_its_traceback(shell: Any, changed: Callable[..., Path]) -> None:
    config = changed(ladder=[{"rung": "full", "evaluators": [{"name": "hills", "fail": True}]}])
    shell.run("run", config, "--plugin", shell.plugin, "-q")
    result = shell.run("show", "runs/tiny", "0")
    assert result.exit_code == 0
    assert "RuntimeError: no luck today" in result.stdout
    assert "plug.py" in result.stdout
    assert "Traceback" in result.stdout


def test_a_plan_is_shown_site_by_site(shell: Any) -> None:
    shell.write(
        {
            "study": {"name": "net"},
            "workload": {
                "name": "image_classification",
                "network": {"name": "resnet_mini", "width": 2},
                "data": "fashion_mini",
            },
            "space": "relu_placement",
            "objectives": ["latency_2pc"],
            "ladder": [{"rung": "full", "evaluators": ["cost_2pc"]}],
            "searcher": "random",
            "budget": {"trials": 1},
        }
    )
    shell.run("run", shell.config, "-q")
    text = shell.run("show", "runs/net", "0").stdout
    assert "stem.relu" in text
    assert "2x14x14" in text


def test_a_long_study_is_shortened_unless_asked(shell: Any, changed: Callable[..., Path]) -> None:
    shell.run(
        "run", changed(objectives=["error"]), "--plugin", shell.plugin, "-q", "--trials", "80"
    )
    short = shell.run("show", "runs/tiny").stdout
    assert "not shown (--all shows them)" in short
    assert "#79" in short
    full = shell.run("show", "runs/tiny", "--all").stdout
    assert all(f"#{n} " in full for n in range(80))


def test_what_is_not_there(shell: Any) -> None:
    assert "not a run directory" in shell.run("show", "nowhere").stderr
    shell.run("run", shell.config, "--plugin", shell.plugin, "-q")
    result = shell.run("show", "runs/tiny", "99")
    assert result.exit_code == 1
    assert "no trial 99 (there are: 0 to 3)" in result.stderr


def test_reading_needs_no_lock_and_no_plugin(shell: Any) -> None:
    from search.run_directory import RunDirectory

    shell.call("run", shell.config, "--plugin", shell.plugin, "-q")
    held = RunDirectory.open(Path("runs/tiny"))
    try:
        code, out, err = shell.call("show", "runs/tiny")
    finally:
        held.release()
    assert (code, err) == (0, "")
