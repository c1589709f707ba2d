"""What a chat remembers."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.api import Goal, Limits
from agents.chat.record import Record, State
from search.api.errors import StoreError


def test_lines_and_states_come_back(tmp_path: Path) -> None:
    record = Record(tmp_path / "run", ('a"key',))
    assert record.lines() == []
    state = State(Goal("latency", ("latency <= 2 s",)), 4, Limits(turns=3))
    record.said("person", 'my a"key is ü')
    record.changed(state)
    again = Record(tmp_path / "run")
    assert again.lines() == [("person", "my [removed] is ü")]
    assert again.states() == [state]


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    (tmp_path / "chat.jsonl").write_text('{"who": "a", "text": "b"}\n{')
    with pytest.raises(StoreError, match="line 2 cannot be read"):
        Record(tmp_path).lines()
