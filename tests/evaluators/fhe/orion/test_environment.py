"""Where the environment is looked for, and what is said when it is not right."""

import sys
from pathlib import Path

import pytest

from evaluators.fhe.orion.environment import VARIABLE, VERSION, find_orion, need_orion
from search.api.errors import MissingExtra


def test_a_variable_that_names_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "python"))
    assert find_orion() is None
    with pytest.raises(MissingExtra, match=f"{VARIABLE} names no file.*search doctor --install"):
        need_orion()


def test_interpreter_without_orion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    monkeypatch.setenv(VARIABLE, str(python))
    found = find_orion()
    assert found is not None
    assert found.version is None
    with pytest.raises(MissingExtra, match="has no Orion"):
        need_orion()


def test_another_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("CIPHER_SEARCH_CACHE", str(tmp_path))
    python = tmp_path / "orion" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho 2.0.2 2.0.2 6.2.2\n")
    with pytest.raises(MissingExtra, match="has no Orion"):  # cannot be executed
        need_orion()
    python.chmod(0o755)
    with pytest.raises(MissingExtra, match=rf"has Orion 2\.0\.2 \(expected {VERSION}\)"):
        need_orion()


def test_the_running_interpreter_comes_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("CIPHER_SEARCH_CACHE", str(tmp_path))
    found = find_orion()
    if found is not None:  # with the extra installed here
        assert found.python == Path(sys.executable)
        return
    with pytest.raises(MissingExtra, match="Orion is not installed"):
        need_orion()


@pytest.mark.orion
def test_the_real_one() -> None:
    found = need_orion()
    assert found.version == VERSION
    assert found.lattigo
