"""Transcripts."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.transcript import REMOVED, Transcript, read_transcript
from search.api.errors import StoreError


def test_events_are_lines_and_secrets_stay_out(tmp_path: Path) -> None:
    transcript = Transcript.within(tmp_path, "llm_json", ('sk-"x', ""))
    transcript.add("reply", text='my key is sk-"x', calls=[])
    transcript.add("end", n_trials=2)
    assert transcript.path == tmp_path / "transcripts" / "001-llm_json.jsonl"
    written = transcript.path.read_text(encoding="utf-8")
    assert written == transcript.text
    assert "sk-" not in written
    assert REMOVED in written
    assert [e["kind"] for e in read_transcript(transcript.path)] == ["reply", "end"]
    assert transcript.events("end") == [{"n": 1, "kind": "end", "n_trials": 2}]
    assert Transcript.within(tmp_path, "chat").path == tmp_path / "transcripts" / "002-chat.jsonl"


@pytest.mark.parametrize("text", ["{", "[1]", '{"a": 1}'])
def test_what_is_no_transcript_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text(text)
    with pytest.raises(StoreError, match="cannot be read as a transcript"):
        read_transcript(tmp_path / "t.jsonl")
