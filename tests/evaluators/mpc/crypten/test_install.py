import sys

import pytest

from evaluators.mpc.crypten import install
from evaluators.mpc.crypten.shim import VERSION
from search.api.errors import SearchError


def test_the_extra_and_then_crypten_without_its_requirements() -> None:
    first, second = install.commands()
    assert {"omegaconf>=2.1", "onnx>=1.17"} <= set(first)
    assert second[-2:] == ["--no-deps", f"crypten=={VERSION}"]
    for command in (first, second):
        assert sys.executable in command  # into this environment, not another


@pytest.mark.crypten
@pytest.mark.slow
def test_installing_what_is_there_ends_with_an_import() -> None:
    said: list[str] = []
    assert install.install(said.append) == f"CrypTen {VERSION} can be imported"
    assert len(said) == 2


def test_a_failing_installer_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    failing = [sys.executable, "-c", "import sys; sys.exit('first\\nno such version')"]
    monkeypatch.setattr(install, "commands", lambda: [failing])
    with pytest.raises(SearchError, match=r"^CrypTen could not be installed: no such version$"):
        install.install(lambda command: None)
