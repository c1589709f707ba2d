"""What is installed, what is missing, and what is in the way; findings as plain data.

Nothing foreign is run to find out whose a package is: its source is read. PyTorch is imported,
since only it can tell whether it finds a GPU.
"""

from __future__ import annotations

import ast
import contextlib
import os
import platform
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, packages_distributions, requires, version
from pathlib import Path

from search import doctor_backends, registry
from search.api.errors import PluginError
from search.doctor_backends import location_of
from search.finding import Finding

PYTHON_NEEDED = (3, 11)
_NOT_FOR_USERS = ("dev", "all")
_ENVIRONMENTS = ("spu", "orion")  # folders of the cache that are no data; looked at on their own
_REINSTALL = f"pip install --force-reinstall --no-deps {registry.DISTRIBUTION}"


def examine() -> list[Finding]:
    """Look at everything. A check that breaks becomes a finding of its own."""
    checks: tuple[Callable[[], Iterator[Finding]], ...] = (
        _python,
        _packages,
        _owners,
        _plugins,
        _torch,
        _ray,
        _data,
        _extras,
        doctor_backends.crypten,
        doctor_backends.spu,
        doctor_backends.orion,
        doctor_backends.calibration_2pc,
        doctor_backends.calibration_ckks,
        _cache,
    )
    found: list[Finding] = []
    for check in checks:
        try:
            found += check()
        except Exception as error:  # noqa: BLE001  # a doctor must not die of the illness
            topic = check.__name__.lstrip("_")
            found.append(Finding(topic, topic, "wrong", f"{type(error).__name__}: {error}"))
    return found


def healthy(found: Sequence[Finding]) -> bool:
    """Whether nothing must be mended."""
    return all(finding.status != "wrong" for finding in found)


def owner_of(name: str, location: Path | None, owners: Mapping[str, Sequence[str]]) -> Finding:
    """Whose the import package ``name`` is.

    Args:
        name: ``search``, ``spaces``, ``evaluators`` or ``agents``.
        location: folder that ``import name`` would use; None if there is none.
        owners: import name -> distributions that claim it.
    """
    ours = registry.DISTRIBUTION
    others = sorted({dist for dist in owners.get(name, ()) if dist != ours})
    if location is None:
        return Finding(
            "packages of ours",
            name,
            "wrong",
            "cannot be imported",
            f"{_REINSTALL}, or `pip install -e .` in a clone",
        )
    if sentinel_of(location) == ours:
        if not others:
            return Finding("packages of ours", name, "ok", str(location))
        claimed = ", ".join(others)
        return Finding(
            "packages of ours",
            name,
            "wrong",
            f"{location} is ours, but {claimed} ships a package of the same name; whichever was "
            "installed last has overwritten files of the other",
            f"pip uninstall {' '.join(others)} && {_REINSTALL}",
        )
    whose = f"of {', '.join(others)}" if others else "of no installed distribution"
    fix = (
        f"pip uninstall {' '.join(others)} && {_REINSTALL}"
        if others
        else f"start from another folder, or rename {location}: it comes first on sys.path"
    )
    return Finding(
        "packages of ours", name, "wrong", f"{location} is a foreign package, {whose}", fix
    )


def sentinel_of(location: Path) -> str | None:
    """The text assigned to ``__dist__`` in a package, found without running it."""
    try:
        tree = ast.parse((location / "__init__.py").read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return None
    for node in tree.body:
        if (
            isinstance(node, ast.Assign)
            and any(isinstance(t, ast.Name) and t.id == "__dist__" for t in node.targets)
            and isinstance(node.value, ast.Constant)
        ):
            return str(node.value.value)
    return None


def requirement(text: str) -> Finding:
    """Whether the installed version of a requirement is within its tested range."""
    from packaging.requirements import Requirement

    wanted = Requirement(text)
    tested = f"tested: {wanted.specifier}" if wanted.specifier else "any version"
    try:
        found = version(wanted.name)
    except PackageNotFoundError:
        return Finding(
            "packages",
            wanted.name,
            "wrong",
            f"not installed ({tested})",
            f"pip install '{text.partition(';')[0].strip()}'",
        )
    if not wanted.specifier.contains(found, prereleases=True):
        return Finding(
            "packages",
            wanted.name,
            "wrong",
            f"{found} is untested ({tested})",
            f"pip install '{text.partition(';')[0].strip()}'",
        )
    return Finding("packages", wanted.name, "ok", f"{found} ({tested})")


def _python() -> Iterator[Finding]:
    fine = sys.version_info[:2] >= PYTHON_NEEDED
    needed = ".".join(map(str, PYTHON_NEEDED))
    yield Finding(
        "python",
        "python",
        "ok" if fine else "wrong",
        f"{platform.python_version()} at {sys.executable}, {platform.platform()}, "
        f"{os.cpu_count()} CPUs",
        "" if fine else f"install Python {needed} or newer",
    )


def _packages() -> Iterator[Finding]:
    ours = registry.DISTRIBUTION
    try:
        yield Finding("packages", ours, "ok", version(ours))
    except PackageNotFoundError:
        yield Finding(
            "packages",
            ours,
            "wrong",
            "not installed, so there is no plugin table",
            "pip install -e . in the clone",
        )
        return
    for text in requires(ours) or ():
        if "extra ==" not in text:
            yield requirement(text)


def _owners() -> Iterator[Finding]:
    owners = packages_distributions()
    for name in registry.OWN_PACKAGES:
        yield owner_of(name, location_of(name), owners)


def _plugins() -> Iterator[Finding]:
    for kind in registry.KINDS:
        try:
            found = registry.describe(kind)
        except PluginError as error:
            yield Finding("plugins", kind, "wrong", str(error))
            continue
        lost = [info for info in found if info.doc == registry.NO_SOURCE]
        if lost:
            names = ", ".join(f"{info.name} ({info.target})" for info in lost)
            yield Finding("plugins", kind, "wrong", f"no source for {names}", _REINSTALL)
        elif found:
            yield Finding("plugins", kind, "ok", ", ".join(info.name for info in found))


def _torch() -> Iterator[Finding]:
    try:
        import torch
    except (ImportError, OSError) as error:
        yield Finding(
            "devices", "torch", "wrong", f"does not load: {error}", "pip install 'torch>=2.6,<2.14'"
        )
        return
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        yield Finding("devices", "torch", "ok", f"{torch.__version__}, CUDA: {', '.join(names)}")
    else:
        built = torch.version.cuda
        why = "no usable GPU" if built else "built without CUDA"
        yield Finding(
            "devices",
            "torch",
            "ok",
            f"{torch.__version__}, CPU ({why}), {torch.get_num_threads()} threads",
        )


def _ray() -> Iterator[Finding]:
    try:
        found = version("ray")
    except PackageNotFoundError:
        yield Finding(
            "ray", "ray", "wrong", "not installed", "pip install 'ray[default,tune]>=2.55,<3'"
        )
        return
    address = os.environ.get("RAY_ADDRESS")
    where = f"RAY_ADDRESS={address}" if address else "a local cluster is started when needed"
    yield Finding("ray", "ray", "ok", f"{found}; {where}")


def _data() -> Iterator[Finding]:
    from search.workloads.data.fashion import DEBIAN_DIRECTORY, MINI_FILE
    from search.workloads.data.options import cache_directory

    if MINI_FILE.is_file():
        yield Finding("data", "fashion_mini", "ok", f"embedded, {MINI_FILE.stat().st_size:,} bytes")
    else:
        yield Finding("data", "fashion_mini", "wrong", f"{MINI_FILE} is missing", _REINSTALL)
    cached = cache_directory() / "fashion_mnist"
    for place in (DEBIAN_DIRECTORY, cached):
        if place.is_dir() and any(place.rglob("*ubyte*")):
            yield Finding("data", "fashion_mnist", "ok", str(place))
            return
    yield Finding(
        "data",
        "fashion_mnist",
        "absent",
        "not on this machine",
        "apt-get install dataset-fashion-mnist; or it is downloaded when first used",
    )


def _extras() -> Iterator[Finding]:
    """Extras of the distribution, as its metadata lists them."""
    from packaging.requirements import Requirement

    wanted: dict[str, list[str]] = defaultdict(list)
    with contextlib.suppress(PackageNotFoundError):
        for text in requires(registry.DISTRIBUTION) or ():
            extra = text.partition("extra ==")[2].strip(" \"'")
            if extra and extra not in (*_NOT_FOR_USERS, *_ENVIRONMENTS):
                wanted[extra].append(text)
    for extra, texts in wanted.items():
        found, missing = [], []
        for text in texts:
            name = Requirement(text).name
            try:
                found.append(f"{name} {version(name)}")
            except PackageNotFoundError:
                missing.append(name)
        if missing:
            yield Finding(
                "extras",
                extra,
                "absent",
                f"not installed: {', '.join(missing)}",
                f"pip install '{registry.DISTRIBUTION}[{extra}]'",
            )
        else:
            yield Finding("extras", extra, "ok", ", ".join(found))


def _cache() -> Iterator[Finding]:
    from search.workloads.data.options import cache_directory

    folder = cache_directory()
    fix = "set CIPHER_SEARCH_CACHE to a folder that can be written"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        yield Finding("cache", "cache", "wrong", f"{folder}: {error.strerror}", fix)
        return
    ours = (entry for entry in folder.iterdir() if entry.name not in _ENVIRONMENTS)
    files = (file for entry in ours for file in (entry, *entry.rglob("*")) if file.is_file())
    size = sum(file.stat().st_size for file in files)
    yield Finding("cache", "cache", "ok", f"{folder}, {size / 1e6:.1f} MB of trained teachers etc.")
