"""``search doctor``: findings about the installation as text or JSON."""

from __future__ import annotations

import dataclasses
import json as json_module
import sys

from search.api.errors import ConfigError
from search.cli.text import table
from search.doctor import examine, healthy

_MARKS = {"ok": "ok", "absent": "-", "wrong": "WRONG"}


def install_package(name: str) -> None:
    """Install ``name`` and check that it is there: CrypTen here, Orion in its own environment.

    Raises:
        ConfigError: not something this can install.
        SearchError: it could not be installed.
    """
    if name == "crypten":
        from evaluators.mpc.crypten.install import install
    elif name == "orion":
        from evaluators.fhe.orion.install import install
    else:
        raise ConfigError(f"--install knows crypten and orion alone (got {name!r})")
    print(install(lambda command: print(command, file=sys.stderr)), file=sys.stderr)


def show_findings(*, json: bool) -> int:
    """Print all findings; the exit code: 0, or 1 if something must be mended."""
    found = examine()
    code = 0 if healthy(found) else 1
    if json:
        data = {"healthy": code == 0, "findings": [dataclasses.asdict(f) for f in found]}
        print(json_module.dumps(data, indent=1))
        return code
    for topic in dict.fromkeys(f.topic for f in found):
        rows = [(_MARKS[f.status], f.name, f.detail) for f in found if f.topic == topic]
        print(f"{topic}\n{table(('', 'what', 'found'), rows, '  ')}\n")
    fixes = [(f.name, f.fix) for f in found if f.fix and f.status == "wrong"]
    if fixes:
        print("to mend\n" + table(("what", "do"), fixes, "  "))
    optional = [(f.name, f.fix) for f in found if f.fix and f.status == "absent"]
    if optional:
        print("optional, if you need it\n" + table(("what", "do"), optional, "  "))
    print("\nall is well" if code == 0 else "\nsomething must be mended")
    return code
