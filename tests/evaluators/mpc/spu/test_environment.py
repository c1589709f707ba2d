"""Where the environment is looked for, and what is said when it is not right."""

import sys
from pathlib import Path

import pytest

from evaluators.mpc.spu.environment import VARIABLE, VERSION, find_spu, install_command, need_spu
from search.api.errors import MissingExtra


def test_absent_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("CIPHER_SEARCH_CACHE", str(tmp_path))
    assert find_spu() is None
    assert install_command() == (
        f"python3.11 -m venv {tmp_path}/spu && {tmp_path}/spu/bin/pip install spu=={VERSION}"
    )
    with pytest.raises(MissingExtra, match=r"SPU is not installed.*Run: python3.11 -m venv"):
        need_spu()


def test_a_variable_that_names_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "python"))
    with pytest.raises(MissingExtra, match=f"{VARIABLE} names no file"):
        need_spu()


def test_interpreter_without_spu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, sys.executable)
    found = find_spu()
    assert found is not None
    assert found.version is None
    with pytest.raises(MissingExtra, match="has no SPU"):
        need_spu()


def test_another_version_and_a_file_that_is_no_interpreter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 0.9.3\n")
    monkeypatch.setenv(VARIABLE, str(python))
    with pytest.raises(MissingExtra, match="has no SPU"):  # cannot be executed
        need_spu()
    python.chmod(0o755)
    with pytest.raises(MissingExtra, match=rf"has SPU 0\.9\.3 \(expected {VERSION}\)"):
        need_spu()


@pytest.mark.spu
def test_the_real_one() -> None:
    found = find_spu()
    assert found is not None
    assert found.version == VERSION
    assert need_spu() == found.python
