"""What the doctor finds of back ends: real protocols, encryption libraries, their calibration."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from search.api.errors import ConfigError
from search.finding import Finding


def crypten() -> Iterator[Finding]:
    """Looked for, not imported: that takes a second."""
    from evaluators.mpc.crypten.shim import INSTALL, VERSION, installed

    if not installed():
        yield Finding("extras", "crypten", "absent", "not installed (real two-party runs)", INSTALL)
        return
    found = version("crypten")
    if found == VERSION:
        yield Finding("extras", "crypten", "ok", f"{found} at {location_of('crypten')}")
    else:
        yield Finding(
            "extras", "crypten", "wrong", f"{found} is untested (tested: {VERSION})", INSTALL
        )


def spu() -> Iterator[Finding]:
    """SPU's environment is asked for its version; nothing of it is imported here."""
    from evaluators.mpc.spu.environment import VERSION, find_spu, install_command

    found = find_spu()
    if found is None:
        detail = "no environment of its own (real runs of SEMI2K and Cheetah)"
        yield Finding("extras", "spu", "absent", detail, install_command())
    elif found.version == VERSION:
        yield Finding("extras", "spu", "ok", f"{found.version} at {found.python}")
    else:
        detail = f"{found.version or 'not installed'} at {found.python} (tested: {VERSION})"
        yield Finding("extras", "spu", "wrong", detail, install_command())


def orion() -> Iterator[Finding]:
    """Orion's environment is asked for its version; nothing of it is imported here."""
    from evaluators.fhe.orion.environment import VERSION, find_orion

    found = find_orion()
    fix = "search doctor --install orion"
    if found is None:
        detail = "not installed (a second back end for encrypted inference)"
        yield Finding("extras", "orion", "absent", detail, fix)
    elif found.version == VERSION:
        detail = f"{found.version}, Lattigo's bindings {found.lattigo}, at {found.python}"
        yield Finding("extras", "orion", "ok", detail)
    else:
        detail = f"{found.version or 'not installed'} at {found.python} (tested: {VERSION})"
        yield Finding("extras", "orion", "wrong", detail, fix)


def calibration_2pc() -> Iterator[Finding]:
    """Whether cost models know this host."""
    from evaluators.mpc.cpu_times import calibration_file, read_cpu_times

    file = calibration_file("crypten")
    if not file.is_file():
        yield Finding(
            "extras",
            "calibration of crypten",
            "absent",
            "cost_2pc uses the times of its table",
            "search calibrate 2pc",
        )
        return
    try:
        yield Finding(
            "extras", "calibration of crypten", "ok", read_cpu_times(file, "crypten").describe()
        )
    except ConfigError as error:
        yield Finding(
            "extras", "calibration of crypten", "wrong", str(error), "search calibrate 2pc"
        )


def calibration_ckks() -> Iterator[Finding]:
    """Whether the times of encrypted operations are those of this host."""
    from evaluators.fhe.calibration import calibration_file, read_times

    name, command = "calibration of tenseal", "search calibrate ckks"
    file = calibration_file("tenseal")
    if not file.is_file():
        yield Finding("extras", name, "absent", "ckks_predicted uses its shipped table", command)
        return
    try:
        yield Finding("extras", name, "ok", read_times(file, "tenseal").origin)
    except ConfigError as error:
        yield Finding("extras", name, "wrong", str(error), command)


def location_of(name: str) -> Path | None:
    """Folder that ``import name`` would use; None if there is none."""
    spec = importlib.util.find_spec(name)
    if spec is None:
        return None
    if spec.origin:
        return Path(spec.origin).parent
    places = list(spec.submodule_search_locations or ())
    return Path(places[0]) if places else None
