import subprocess
import sys

import pytest

from evaluators.mpc.crypten import shim
from search.api.errors import MissingExtra


def test_says_how_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "crypten", None)  # as Python marks what cannot be imported
    assert not shim.installed()
    with pytest.raises(MissingExtra, match="Run: search doctor --install crypten"):
        shim.need_crypten()
    with pytest.raises(MissingExtra, match="not installed"):
        shim.import_crypten()


@pytest.mark.crypten
def test_imports_in_a_new_process_without_warnings() -> None:
    code = (
        "from evaluators.mpc.crypten.shim import import_crypten; crypten = import_crypten(); "
        "assert import_crypten() is crypten; print(crypten.__version__)"
    )
    command = [sys.executable, "-W", "error::DeprecationWarning:crypten", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == shim.VERSION
    assert "Warning" not in done.stderr


def test_knowing_it_does_not_load_torch() -> None:
    code = (
        "import sys; from evaluators.mpc.crypten.shim import installed; installed(); "
        "assert 'torch' not in sys.modules and 'crypten' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
