"""Tools for any study."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from agents.api import Goal, Toolbox
from agents.tools.ckks import study_tools
from agents.tools.general import plain_text
from agents.workbench import StudyBench
from search import Study

X: dict[str, Any] = {"x": 0.4, "n": 2, "kind": "v", "mask": [0] * 12}


@pytest.fixture
def box(toy_study: Callable[..., Study]) -> Toolbox:
    return study_tools(StudyBench(toy_study(known=["n <= 4"]), Goal("loss", ("cost <= 3 ms",))))


def test_a_study_without_models_has_the_general_tools_alone(box: Toolbox) -> None:
    assert list(box.tools) == [
        "describe_network", "check", "evaluate", "history", "front", "diff", "commit",
    ]  # fmt: skip
    for tool in box.tools.values():
        assert tool.doc.endswith(".")
        assert not tool.dear


def test_the_way_of_a_session(box: Toolbox) -> None:
    described = box.call("describe_network", {})
    assert [p["name"] for p in described["parameters"]] == ["x", "n", "kind", "y", "mask"]
    assert described["parameters"][3]["only_if"] == {"kind": ["u"]}
    assert box.call("check", {"point": X}) == {"legal": True}
    refused = box.call("check", {"point": {**X, "n": 7}})
    assert refused["broken"][0]["excess"] == 3
    assert refused["nearest"]["n"] == 4
    first = box.call("evaluate", {"point": X, "reason": "why not"})
    assert (first["trial"], first["confirmed"], first["reached"]) == (0, True, "full")
    second = box.call("evaluate", {"point": {**X, "mask": [1] * 12}})
    assert second["missed_by"] == {"cost <= 3 ms": 9.0}
    both = box.call("history", {})
    assert [t["trial"] for t in both["trials"]] == [0, 1]
    assert [t["trial"] for t in box.call("history", {"failed": True})["trials"]] == [1]
    assert box.call("front", {})["best"] == 0
    different = box.call("diff", {"one": 0, "other": 1})
    assert list(different["parameters"]) == ["mask"]
    assert set(different["same_parameters"]) == {"x", "n", "kind"}
    assert "error" in box.call("commit", {"trial": 1})
    assert box.call("commit", {"trial": 0})["committed"] == 0


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("nope", {}, "unknown tool 'nope'"),
        ("check", {}, "point"),
        ("check", {"point": {"x": "much"}}, "expected a number"),
        ("evaluate", {"point": X, "up_to": "top"}, "no rung 'top'"),
        ("evaluate", {"point": {**X, "n": 5}}, "illegal"),
        ("evaluate", {"point": X, "reason": "x" * 501}, "500"),
        ("diff", {"one": 0, "other": 5}, "no trial"),
        ("history", {"last": 0}, "greater than or equal to 1"),
        ("commit", {"trial": -1}, "greater than or equal to 0"),
    ],
)
def test_what_is_wrong_is_answered_and_costs_no_trial(
    box: Toolbox, name: str, arguments: dict[str, Any], words: str
) -> None:
    assert words in json.dumps(box.call(name, arguments))
    assert box.call("history", {})["all"] == 0


def test_no_answer_names_a_path_of_this_machine(
    toy_study: Callable[..., Study], tmp_path: Any
) -> None:
    def broken(candidate: Any) -> dict[str, float]:
        raise RuntimeError(f"cannot open {tmp_path}/secret/weights.bin, nor C:\\keys\\a\\b.key")

    box = study_tools(StudyBench(toy_study(function=broken), Goal("loss")))
    answers = [box.call("evaluate", {"point": X}), box.call("history", {}), box.call("front", {})]
    text = json.dumps(answers)
    assert "cannot open [path]" in text
    assert str(tmp_path) not in text
    assert "keys" not in text
    assert "Traceback" not in text


def test_messages_are_one_short_line() -> None:
    assert plain_text("a\x1b[31m b\nc") == "a [31m b"
    assert len(plain_text("x" * 999)) == 300
    assert plain_text("levels/primes are 3/4") == "levels/primes are 3/4"
