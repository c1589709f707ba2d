"""``search run`` and ``search resume`` on real little studies."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from search import Study


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_run_says_what_it_did_and_where_the_report_is(shell: Any) -> None:
    result = shell.run("run", shell.config, "--plugin", shell.plugin)
    assert result.exit_code == 0, result.stderr
    assert "study tiny: 4 trials, in runs/tiny" in result.stdout
    assert "[4/4] #3 complete: error " in result.stdout
    assert "Pareto front of tiny" in result.stdout
    assert "main: 4 of 4 trials done" in result.stdout
    assert "report: runs/tiny/report/report." in result.stdout
    assert Path("runs/tiny/report/report.md").is_file()
    assert "\x1b" not in result.stdout


def test_a_finished_run_says_how_to_get_more(shell: Any) -> None:
    shell.run("run", shell.config, "--plugin", shell.plugin)
    again = shell.run("run", shell.config, "--plugin", shell.plugin)
    assert again.exit_code == 0
    assert "4 of 4 trials done" in again.stdout
    assert "For more: --trials 8" in again.stdout
    more = shell.run("run", shell.config, "--plugin", shell.plugin, "--trials", "6")
    assert "4 done before" in more.stdout
    assert len(Study.read("runs/tiny").trials) == 6


def test_resume_goes_on(shell: Any) -> None:
    shell.run("run", shell.config, "--plugin", shell.plugin)
    result = shell.run("resume", "runs/tiny", "--plugin", shell.plugin, "--trials", "7")
    assert result.exit_code == 0, result.stderr
    snapshot = Study.read("runs/tiny")
    assert len(snapshot.trials) == 7
    assert snapshot.spec["budget"]["trials"] == 7  # the next resume knows of it


def test_resume_without_the_plugin_file_names_the_plugin(shell: Any) -> None:
    shell.call("run", shell.config, "--plugin", shell.plugin)
    code, out, err = shell.call("resume", "runs/tiny")
    assert code == 2
    assert "unknown evaluator 'hills'" in err


def test_baselines_run_and_join_the_report(shell: Any, changed: Callable[..., Path]) -> None:
    config = changed(baselines={"blind": {"searcher": {"name": "random"}}})
    result = shell.run("run", config, "--plugin", shell.plugin)
    assert result.exit_code == 0, result.stderr
    assert "baseline blind of tiny" in result.stdout
    assert len(Study.read("runs/tiny/baselines/blind").trials) == 4
    assert "blind" in Path("runs/tiny/report/report.md").read_text()


def test_no_baselines(shell: Any, changed: Callable[..., Path]) -> None:
    config = changed(baselines={"blind": {"searcher": {"name": "random"}}})
    shell.run("run", config, "--plugin", shell.plugin, "--no-baselines")
    assert not Path("runs/tiny/baselines").exists()


def test_options_override_the_file(shell: Any) -> None:
    words = ["--set", "study.seed=5", "--trials", "2", "--directory", "elsewhere/it's"]
    result = shell.run("run", shell.config, "--plugin", shell.plugin, *words)
    assert result.exit_code == 0, result.stderr
    snapshot = Study.read("elsewhere/it's/tiny")
    assert snapshot.spec["study"]["seed"] == 5
    assert len(snapshot.trials) == 2


def test_another_runner(shell: Any) -> None:
    words = ["--runner", "process", "--trials", "2"]
    code, out, err = shell.call("run", shell.config, "--plugin", shell.plugin, *words)
    assert code == 0, err
    trials = Study.read("runs/tiny").trials
    assert {t.status for t in trials} == {"complete"}
    assert all(t.outcome and not t.outcome.worker.endswith(str(os.getpid())) for t in trials)


def test_an_unknown_runner_is_told_before_anything_is_made(shell: Any) -> None:
    result = shell.run("run", shell.config, "--plugin", shell.plugin, "--runner", "proces")
    assert result.exit_code == 2
    assert "--runner: unknown runner 'proces'" in result.stderr
    assert "Did you mean 'process'?" in result.stderr
    assert not Path("runs").exists()


@pytest.mark.parametrize("timeout", ["10", "ten minutes", "-1 s", "5 ms ms"])
def test_a_timeout_needs_its_unit(shell: Any, timeout: str) -> None:
    result = shell.run("run", shell.config, "--plugin", shell.plugin, f"--timeout={timeout}")
    assert result.exit_code == 2
    assert "--timeout: expected a duration" in result.stderr
    assert not Path("runs").exists()


def test_a_timeout_ends_the_run_and_says_so(shell: Any, changed: Callable[..., Path]) -> None:
    config = changed(
        ladder=[{"rung": "full", "evaluators": [{"name": "hills", "sleep": 0.05}]}],
        budget={"trials": 1000},
        baselines={"blind": {}},
    )
    result = shell.run("run", config, "--plugin", shell.plugin, "--timeout", "500 ms")
    assert result.exit_code == 0
    assert "wall-clock budget" in result.stdout
    assert "blind: not run, --timeout 500 ms is spent" in result.stdout


def test_no_feasible_trial_ends_with_1(shell: Any, changed: Callable[..., Path]) -> None:
    config = changed(constraints=["delay <= 0.5 ms"])
    result = shell.run("run", config, "--plugin", shell.plugin)
    assert result.exit_code == 1
    assert "none of them feasible" in result.stdout
    assert "breaks a constraint" in result.stdout


def test_too_many_failures_end_with_3_and_leave_a_report(
    shell: Any, changed: Callable[..., Path]
) -> None:
    config = changed(ladder=[{"rung": "full", "evaluators": [{"name": "hills", "fail": True}]}])
    result = shell.run("run", config, "--plugin", shell.plugin)
    assert result.exit_code == 3
    assert "3 trials in a row failed" in result.stderr
    assert "no luck today" in result.stderr
    assert "Traceback" not in result.stderr
    assert Path("runs/tiny/report/report.md").is_file()


def test_another_configuration_in_the_same_folder_is_refused(shell: Any) -> None:
    shell.run("run", shell.config, "--plugin", shell.plugin)
    words = [
        "run",
        shell.config,
        "--plugin",
        shell.plugin,
        "--set",
        "study.seed=9",
        "--trials",
        "5",
    ]
    result = shell.run(*words)
    assert result.exit_code == 1
    assert "another configuration" in result.stderr
    assert shell.run(*words, "--accept-change").exit_code == 0
    assert len(Study.read("runs/tiny").trials) == 5


def test_a_used_up_space_is_said(shell: Any, changed: Callable[..., Path]) -> None:
    space = {"name": "parameters", "params": {"x": {"ordinal": [0.0, 1.0]}}}
    result = shell.run("run", changed(space=space), "--plugin", shell.plugin)
    assert result.exit_code == 0
    assert "main: 2 of 4 trials done" in result.stdout
    assert "the search space is used up" in result.stdout


def test_quiet_prints_the_report_path_alone(shell: Any) -> None:
    result = shell.run("run", shell.config, "--plugin", shell.plugin, "--quiet")
    assert result.exit_code == 0
    assert result.stdout.startswith("report: ")
    assert len(result.stdout.splitlines()) == 1


def test_json_gives_one_object_per_line(shell: Any) -> None:
    result = shell.run("run", shell.config, "--plugin", shell.plugin, "--json")
    assert result.exit_code == 0
    events = lines(result.stdout)
    kinds = [e["event"] for e in events]
    assert kinds[0] == "started"
    assert kinds[-1] == "finished"
    assert kinds.count("trial_started") == kinds.count("trial_finished") == 4
    assert "progress" in kinds
    (first, *_) = [e for e in events if e["event"] == "trial_finished"]
    assert set(first["values"]) == {"error", "delay"}
    assert (first["arm"], first["status"], first["feasible"]) == ("main", "complete", True)
    assert events[-1]["exit_code"] == 0
    assert Path(events[-1]["report"]["md"]).is_file()
    assert events[-1]["front"]


def test_json_tells_errors_too(shell: Any) -> None:
    result = shell.run("run", "missing.yaml", "--json")
    assert result.exit_code == 2
    (event,) = lines(result.stdout)
    assert (event["event"], event["exit_code"]) == ("error", 2)
    assert "missing.yaml: no such file" in event["message"]


def test_ctrl_c_ends_in_order_and_resume_finishes(shell: Any, changed: Callable[..., Path]) -> None:
    config = changed(
        ladder=[{"rung": "full", "evaluators": [{"name": "hills", "sleep": 0.1}]}],
        budget={"trials": 200},
    )
    process = shell.start("run", config, "--plugin", shell.plugin)
    for line in process.stdout:
        if line.startswith("[2/200]"):
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Pareto front of tiny" in out
    assert "search resume runs/tiny --plugin" in out
    assert "Traceback" not in err
    kept = [t.number for t in Study.read("runs/tiny").trials if t.status == "complete"]
    assert len(kept) >= 2
    total = len(kept) + 2
    again = shell.run("resume", "runs/tiny", "--plugin", shell.plugin, "--trials", str(total))
    assert again.exit_code == 0, again.stderr
    complete = [t for t in Study.read("runs/tiny").trials if t.status == "complete"]
    assert len(complete) == total


def test_a_run_directory_in_use_is_refused(shell: Any) -> None:
    from search.run_directory import RunDirectory

    shell.run("run", shell.config, "--plugin", shell.plugin)
    held = RunDirectory.open(Path("runs/tiny"))
    try:
        result = shell.run("resume", "runs/tiny", "--plugin", shell.plugin, "--trials", "9")
    finally:
        held.release()
    assert result.exit_code == 1
    assert "in use by process" in result.stderr


def test_resume_of_nothing(shell: Any) -> None:
    result = shell.run("resume", "runs/none")
    assert result.exit_code == 1
    assert "not a run directory" in result.stderr
