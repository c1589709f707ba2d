"""Write one trial to a folder that stands alone, and read its network back."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search import registry
from search.api.candidate import to_plain
from search.api.errors import ConfigError, EvaluationError, StoreError
from search.api.snapshot import Snapshot
from search.api.trial import Trial
from search.config import Plugin, plugin_options
from search.export.by_kind import export_kind, files_of, trained_network
from search.export.words import load_script, readme
from search.run_directory import shared_file

if TYPE_CHECKING:
    from torch import nn

FACTS = "facts.json"
SCHEMA = 1
_PLAN, _WEIGHTS = "plan.json", "weights.safetensors"


def export_trial(
    snapshot: Snapshot,
    number: int,
    directory: str | Path,
    workload: Any,
) -> dict[str, Path]:
    """Write trial ``number`` into ``directory``, which is made, or replaced if it is an export.

    ``plan.json``, ``facts.json`` (measurements with unit and evidence, versions, checksums),
    ``README.md`` and ``load.py`` are always written; ``weights.safetensors`` if the trial has
    trained weights; ``program.pt2`` and ``model.onnx`` if the network can be built and exported;
    what the exporter of the candidate's kind adds, if there is one.
    What was left out stands with the reason in ``facts.json`` under ``left_out``.

    Args:
        snapshot: the study.
        number: number of the trial.
        directory: where the files go.
        workload: the study's workload, or None without one.

    Returns:
        File name -> file.

    Raises:
        StoreError: no such trial, or ``directory`` cannot be written.
        ConfigError: the trial has no candidate, or ``directory`` holds other files.
    """
    trial = _trial(snapshot, number)
    candidate = trial.outcome.candidate if trial.outcome is not None else None
    if candidate is None:
        raise ConfigError(
            f"trial {number} has nothing to export: it is {trial.status} and has no candidate",
            source="export",
        )
    directory = Path(directory)
    _claim(directory)
    left_out: dict[str, str] = {}
    try:
        files = {_PLAN: _write_json(directory / _PLAN, _plan(candidate))}
        files |= _copy_weights(trial, candidate, directory, snapshot.directory, left_out)
        facts = _facts(snapshot, trial, workload)
        files |= _programs(candidate, directory, workload, facts, left_out)
        own = export_kind(candidate, directory / _WEIGHTS, workload, snapshot.spec, directory)
        files |= files_of(own, directory)
        facts["left_out"] = left_out | dict(own.left_out)
        members = len(candidate.get("members", ()))
        facts["members"] = members
        files["load.py"] = _write(
            directory / "load.py", load_script("program.pt2" in files, members)
        )
        text = readme(facts, sorted(files), own.files, own.usage)
        files["README.md"] = _write(directory / "README.md", text)
        facts["sha256"] = {name: _sha256(file) for name, file in sorted(files.items())}
        files[FACTS] = _write_json(directory / FACTS, facts)
    except OSError as error:
        raise StoreError(f"{directory}: cannot be written: {error.strerror or error}") from error
    return files


def load_network(directory: str | Path, member: int | None = None) -> nn.Module:
    """The network of an exported trial with its weights, in evaluation mode, on the CPU.

    Args:
        directory: of the export.
        member: which one of a set of networks, from 1 (the sparsest); None for a single network,
            and for the last (densest) member of a set.

    Raises:
        ConfigError: no export, its network was made of live objects in Python, or there is no
            such member.
        EvaluationError: the weights are missing or do not fit.
    """
    folder = Path(directory)
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        plan = json.loads((folder / _PLAN).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"not an exported trial: {error}", source=str(folder)) from error
    section = (facts.get("workload") or {}).get("spec")
    if section is None:
        raise ConfigError(
            "its network was given as a Python object; build it yourself, then use "
            "search.workloads.plan.apply_plan and load_weights",
            source=str(folder),
        )
    plugin = Plugin.model_validate(section)
    options = plugin_options("workload", plugin, "workload")
    workload = registry.load("workload", plugin.name).from_config(options, None)
    payload, name = _chosen(plan, member, folder)
    return trained_network(workload, plan["kind"], payload, folder / name)


def _chosen(plan: Mapping[str, Any], member: int | None, folder: Path) -> tuple[Any, str]:
    """Payload of the network that is asked for, and the file that holds its weights."""
    members = plan.get("members") or []
    if not members and member is None:
        return plan["payload"], _WEIGHTS
    number = len(members) if member is None else member
    if not 1 <= number <= len(members):
        expected = f"1 to {len(members)}" if members else "none: the trial is one network"
        raise ConfigError(f"no member {number} (expected {expected})", source=str(folder))
    own = f"weights-{number - 1}.safetensors"
    return members[number - 1]["payload"], own if (folder / own).is_file() else _WEIGHTS


def _trial(snapshot: Snapshot, number: int) -> Trial:
    for trial in snapshot.trials:
        if trial.number == number:
            return trial
    raise StoreError(
        f"{snapshot.directory}: no trial {number} (there are {len(snapshot.trials)} trials)"
    )


def _claim(directory: Path) -> None:
    """Make the folder; an earlier export in it may be replaced, anything else may not."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        taken = any(directory.iterdir())
    except OSError as error:
        raise StoreError(f"{directory}: cannot be made: {error.strerror or error}") from error
    if taken and not (directory / FACTS).is_file():
        raise ConfigError(
            "holds other files (expected a new folder, or an earlier export)", source=str(directory)
        )
    if taken:
        known = json.loads((directory / FACTS).read_text(encoding="utf-8")).get("sha256", {})
        inside = directory.resolve()
        for name in known:  # only what an export wrote: a file of the user's own stays
            if (directory / name).resolve().is_relative_to(inside):
                (directory / name).unlink(missing_ok=True)


def _plan(candidate: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "kind": candidate["kind"],
        "digest": candidate["digest"],
        "payload": candidate["payload"],
        "members": [_plan(member) for member in candidate.get("members", ())],
    }


def _copy_weights(
    trial: Trial,
    candidate: Mapping[str, Any],
    directory: Path,
    run: Path,
    left_out: dict[str, str],
) -> dict[str, Path]:
    """Weights of the candidate, and of its members as ``weights-0.safetensors``, ...

    Members that lie in the candidate's own file need none.
    """
    wanted = {_WEIGHTS: candidate.get("weights")}
    for i, member in enumerate(candidate.get("members", ())):
        if member.get("weights") is None or member["weights"] != candidate.get("weights"):
            wanted[f"weights-{i}.safetensors"] = member.get("weights")
    files = {}
    for name, stored in wanted.items():
        source = trial.artefacts.get(stored) if stored else None
        if source is None and stored:
            source = shared_file(run, stored)
        if source is None or not source.is_file():
            missing = f"the artefact {stored!r} is missing"
            left_out[name] = missing if stored else "the trial trained no weights"
            continue
        files[name] = directory / name
        shutil.copyfile(source, files[name])
    return files


def _facts(snapshot: Snapshot, trial: Trial, workload: Any) -> dict[str, Any]:
    outcome = trial.outcome
    return {
        "schema": SCHEMA,
        "study": snapshot.study,
        "arm": snapshot.arm,
        "study_digest": snapshot.digest,
        "trial": trial.number,
        "status": trial.status,
        "feasible": trial.feasible,
        "seed": trial.seed,
        "point": to_plain(trial.point),
        "objectives": [
            {"name": m.name, "unit": m.unit, "goal": m.goal, "doc": m.doc, "value": value}
            for m, value in zip(snapshot.objectives, trial.values or (), strict=False)
        ],
        "measurements": to_plain(outcome.measurements) if outcome else [],
        "excess": to_plain(outcome.excess) if outcome else {},
        "notes": to_plain(outcome.notes) if outcome else {},
        "workload": None if workload is None else _workload(snapshot, workload),
        "versions": {**snapshot.versions, "exported by": f"cipher-search {_own_version()}"},
    }


def _workload(snapshot: Snapshot, workload: Any) -> dict[str, Any]:
    """What a caller must know of network and data: shapes, classes, normalisation."""
    found: dict[str, Any] = {
        "name": workload.name,
        "digest": workload.digest,
        "spec": None if snapshot.spec.get("live") else to_plain(snapshot.spec.get("workload")),
        "input_shape": list(getattr(workload, "input_shape", ())),
        "classes": getattr(workload, "classes", None),
    }
    try:
        data = workload.data
        found["mean"], found["std"] = _numbers(data.mean), _numbers(data.std)
    except (ConfigError, AttributeError) as error:  # the data may be elsewhere by now
        found["normalisation"] = f"not known: {error}"
    return found


def _numbers(values: Any) -> list[float]:
    flat = values.flatten().tolist() if hasattr(values, "flatten") else values
    return [float(v) for v in flat]


def _programs(
    candidate: Mapping[str, Any],
    directory: Path,
    workload: Any,
    facts: dict[str, Any],
    left_out: dict[str, str],
) -> dict[str, Path]:
    """The network as a program of torch.export, and as ONNX."""
    names = ("program.pt2", "model.onnx")
    try:
        if workload is None or not hasattr(workload, "build"):
            raise ConfigError("the study has no network")
        if not (directory / _WEIGHTS).is_file():
            raise ConfigError("the trial trained no weights")
        if candidate.get("members"):
            raise ConfigError("the trial is a set of networks; load.py takes a member out")
        kind, payload = candidate["kind"], candidate["payload"]
        network = trained_network(workload, kind, payload, directory / _WEIGHTS)
    except (ConfigError, EvaluationError) as error:
        left_out.update({name: str(error) for name in names})
        return {}
    from search.workloads.program import write_onnx, write_program

    shape = tuple(workload.input_shape)
    files: dict[str, Path] = {}
    for name, write in zip(names, (write_program, write_onnx), strict=True):
        try:
            facts.setdefault("largest_difference", {})[name] = write(
                network, shape, directory / name
            )
            files[name] = directory / name
        except EvaluationError as error:
            left_out[name] = str(error)
    return files


def _own_version() -> str:
    return version("cipher-search")


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def _write_json(path: Path, data: Any) -> Path:
    return _write(path, json.dumps(data, indent=1, default=str) + "\n")


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
