"""What a model is told."""

from __future__ import annotations

import json
from typing import Any

from agents.llm.data import NOTICE
from agents.llm.prompt import WITH_JSON, row, state, system_text


def test_the_instruction_warns_of_data() -> None:
    assert NOTICE in system_text(WITH_JSON)
    assert '"action"' in system_text(WITH_JSON)


def test_the_state_is_the_same_for_the_same_study(tiny_bench: Any) -> None:
    one, two = tiny_bench(), tiny_bench()
    for bench in (one, two):
        for scale in range(20, 32):
            bench.evaluate({"log_n": 14, "scale": scale}, "predicted", "")
    two.spent.seconds, two.spent.money = 99.0, 0.5
    assert json.dumps(state(one)) == json.dumps(state(two))
    assert len(state(one)["trials"]) == 8
    found = row(one, one.trials()[0])
    assert found["reached"] == "predicted"
    assert found["measured"]["latency"] == "2 s (model)"
    assert found["meets_demands"] is False
