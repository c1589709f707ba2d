"""The run directory: one driver at a time, and repair of what a killed one left."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from search.api.errors import StoreError
from search.run_directory import JOURNAL, RunDirectory, shared_file, without_password


def test_second_driver_is_refused_with_the_holder_named(tmp_path: Path) -> None:
    first = RunDirectory.create(tmp_path / "r", "journal", "s")
    with pytest.raises(StoreError, match=r"in use by process \d+ on "):
        RunDirectory.create(tmp_path / "r", "journal", "s")
    first.release()
    RunDirectory.create(tmp_path / "r", "journal", "s").release()


def test_not_a_run_directory(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no run\.json"):
        RunDirectory.open(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(StoreError, match="cannot be read"):
        RunDirectory.open(tmp_path)


def test_another_storage_is_refused(tmp_path: Path) -> None:
    RunDirectory.create(tmp_path / "r", "journal", "s").release()
    with pytest.raises(StoreError, match="same storage"):
        RunDirectory.create(tmp_path / "r", "sqlite:///x.db", "s")


def test_passwords_are_not_written(tmp_path: Path) -> None:
    url = "postgresql://me:secret@localhost/db"
    run = RunDirectory.create(tmp_path / "r", url, "s")
    run.release()
    assert "secret" not in (tmp_path / "r" / "run.json").read_text()
    assert run.storage == url
    again = RunDirectory.open(tmp_path / "r", url)
    assert again.storage == url
    again.release()


@pytest.mark.parametrize(
    ("url", "clean"),
    [
        ("postgresql://u:p@h/d", "postgresql://u@h/d"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        ("postgresql+psycopg://u:p%40x@h:5/d", "postgresql+psycopg://u@h:5/d"),
        ("journal", "journal"),
        ("sqlite:///a.db", "sqlite:///a.db"),
    ],
)
def test_without_password(url: str, clean: str) -> None:
    assert without_password(url) == clean


@pytest.mark.parametrize("tail", [b'{"op": 1', b'{"op": 1}', b"garbage\n", b"\x00\x00\n"])
def test_a_torn_last_line_is_cut_off(tmp_path: Path, tail: bytes) -> None:
    RunDirectory.create(tmp_path / "r", "journal", "s").release()
    journal = tmp_path / "r" / JOURNAL
    whole = b"".join(json.dumps({"op": i}).encode() + b"\n" for i in range(20_000))
    journal.write_bytes(whole + tail)
    (tmp_path / "r" / f"{JOURNAL}.lock").symlink_to("nowhere")
    RunDirectory.open(tmp_path / "r").release()
    assert journal.read_bytes() == whole
    assert not (tmp_path / "r" / f"{JOURNAL}.lock").is_symlink()


def test_a_whole_journal_is_left_alone(tmp_path: Path) -> None:
    RunDirectory.create(tmp_path / "r", "journal", "s").release()
    journal = tmp_path / "r" / JOURNAL
    for content in (b"", b'{"a": 1}\n'):
        journal.write_bytes(content)
        RunDirectory.open(tmp_path / "r").release()
        assert journal.read_bytes() == content


def test_a_shared_file_is_kept_once(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "run", "journal", "one")
    file = tmp_path / "weights.safetensors"
    file.write_text("first")
    run.keep_shared(file)
    file.write_text("second")
    run.keep_shared(file)
    kept = shared_file(run.path, "weights.safetensors")
    assert kept is not None
    assert kept.read_text() == "first"
    run.keep_shared(None)
    assert shared_file(run.path, "other") is None
    run.release()
