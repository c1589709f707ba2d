"""``search agent`` and ``search tool`` on a real small study."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

PREDICTED = {
    "study": {"name": "digits"},
    "workload": {
        "name": "image_classification",
        "network": {"name": "ckks_mlp", "hidden": [32]},
        "data": "digits",
        "teacher": {"epochs": 1, "learning_rate": 0.02},
    },
    "space": {"name": "ckks", "log_n": [13], "scale": [24, 44], "drops": ["each"]},
    "method": "pretrained",
    "objectives": ["predicted_latency_ckks", "predicted_precision"],
    "ladder": [
        {"rung": "static", "evaluators": ["ckks_static"]},
        {"rung": "predicted", "evaluators": [{"name": "ckks_predicted", "images": 1}]},
    ],
}


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    for name in ("CIPHER_SEARCH_MODEL", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    data = {**PREDICTED, "study": {"name": "digits", "directory": str(tmp_path / "runs")}}
    path = tmp_path / "digits.yaml"
    path.write_text(yaml.safe_dump(data))
    return str(path)


def test_the_expert_decides_where_no_model_is_set(shell: Any, config: str) -> None:
    result = shell.run("agent", config, "--demand", "predicted_precision >= 12 bit")
    assert result.exit_code == 0, result.stderr
    assert "expert: minimise predicted_latency_ckks under predicted_precision" in result.stdout
    assert "reached: trial" in result.stdout
    assert "0 encrypted runs" in result.stdout
    assert "transcripts/001-expert.jsonl" in result.stdout


def test_json_for_machines(shell: Any, config: str) -> None:
    words = ("agent", config, "--goal", "as fast as possible at 12 bits", "--json")
    result = shell.run(*words, "--controller", "expert")
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert {e["event"] for e in events} == {"said", "finished"}
    last = events[-1]
    assert last["ending"] == "reached"
    assert last["measured"]["predicted_precision"]["value"] >= 12
    assert Path(last["transcript"]).is_file()


def test_what_cannot_be_reached_ends_with_1(shell: Any, config: str) -> None:
    result = shell.run("agent", config, "--demand", "predicted_precision >= 50 bit", "--quiet")
    assert result.exit_code == 1
    assert "infeasible: " in result.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--goal", "beauty"], "cannot read a goal"),
        (["--demand", "speed >= 5"], "is no metric"),
        (["--controller", "oracle"], "unknown controller 'oracle'"),
        (["--controller", "llm_tools"], "CIPHER_SEARCH_MODEL"),
        (["--controller", "llm_json", "--memory", "m.json"], "CIPHER_SEARCH_MODEL"),
    ],
)
def test_wrong_options_end_with_2(
    shell: Any, config: str, options: list[str], message: str
) -> None:
    result = shell.run("agent", config, *options)
    assert result.exit_code == 2
    assert message in result.stderr


def test_tools_from_the_command_line(shell: Any, config: str) -> None:
    listed = shell.run("tool", "list", config)
    assert listed.exit_code == 0
    assert "sensitivity: " in listed.stdout
    told = json.loads(shell.run("tool", "describe_network", config).stdout)
    assert told["widest"] == 64
    refused = shell.run("tool", "evaluate", config, '{"point": {}}')
    assert refused.exit_code == 1
    assert "missing" in json.loads(refused.stdout)["error"]


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("nope", "{}", "unknown tool 'nope' (known: list, describe_network"),
        ("check", "{", "arguments: no JSON"),
        ("check", "[1]", "expected a JSON object"),
    ],
)
def test_wrong_calls_end_with_2(
    shell: Any, config: str, name: str, arguments: str, message: str
) -> None:
    result = shell.run("tool", name, config, arguments)
    assert result.exit_code == 2
    assert message in result.stderr
