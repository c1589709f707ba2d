"""One prompt, one point."""

from __future__ import annotations

from typing import Any

import pytest

from agents.controllers.one_shot import OneShot
from agents.llm.model import Reply
from agents.llm.scripted import ScriptedModel


@pytest.mark.parametrize(
    "text", ['{"log_n": 13, "scale": 40}', 'Take {"point": {"log_n": 13, "scale": 40}}.']
)
def test_a_good_point_is_confirmed(text: str, tiny_bench: Any, tools_of: Any) -> None:
    bench = tiny_bench()
    model = ScriptedModel([Reply(text)])
    result = OneShot(model).run(bench, tools_of(bench), lambda line: None)
    assert result.ending == "reached"
    assert result.chosen is not None
    assert bench.spent.turns == 1
    assert "fc1" in model.requests[0].messages[1]["content"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("I cannot", "no JSON object"),
        ('{"log_n": 12, "scale": 40}', "insecure"),
        ('{"log_n": {"a": 1}}', "refused"),
        ('{"log_n": 12, "scale": 20}', "does not meet the demands"),
    ],
)
def test_a_bad_point_is_the_end(text: str, reason: str, tiny_bench: Any, tools_of: Any) -> None:
    bench = tiny_bench()
    result = OneShot(ScriptedModel([Reply(text)])).run(bench, tools_of(bench), lambda line: None)
    assert result.ending == "stuck"
    assert result.chosen is None
    assert reason in result.reason
