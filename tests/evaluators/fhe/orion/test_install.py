import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from evaluators.fhe.orion import install
from evaluators.fhe.orion.environment import VARIABLE, VERSION
from search.api.errors import SearchError


def test_an_environment_of_its_own_with_the_pytorch_of_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CIPHER_SEARCH_CACHE", str(tmp_path))
    make, fill = install.commands(Path("pins.txt"))
    assert make == [sys.executable, "-m", "venv", str(tmp_path / "orion")]
    assert fill[0] == str(tmp_path / "orion" / "bin" / "python")
    assert fill[fill.index("-c") + 1] == "pins.txt"
    assert f"orion-v2-compiler=={VERSION}" in fill
    assert "orion-v2-lattigo" in fill


def test_the_pin_is_written_and_what_is_there_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("CIPHER_SEARCH_CACHE", str(tmp_path))
    python = tmp_path / "orion" / "bin" / "python"

    def commands(constraints: Path) -> list[list[str]]:
        fill = f"""mkdir -p {python.parent} && cp {constraints} {tmp_path}/pins
            printf '#!/bin/sh\\necho {VERSION} {VERSION} 6.2.4\\n' > {python}; chmod +x {python}"""
        return [["sh", "-c", fill]]

    monkeypatch.setattr(install, "commands", commands)
    said: list[str] = []
    assert install.install(said.append).startswith(f"Orion {VERSION} with Lattigo's bindings 6.2.4")
    assert len(said) == 1
    assert (tmp_path / "pins").read_text() == f"torch=={version('torch')}\n"


def test_a_failing_installer_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    failing = [sys.executable, "-c", "import sys; sys.exit('first\\nno such version')"]
    monkeypatch.setattr(install, "commands", lambda constraints: [failing])
    with pytest.raises(SearchError, match=r"^Orion could not be installed: no such version$"):
        install.install(lambda command: None)
