"""What depends on the kind of a candidate: plugins of the kind ``exporter``, named like it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search import registry
from search.api.candidate import Candidate
from search.api.errors import ConfigError
from search.api.exporting import Exported, Exporter

if TYPE_CHECKING:
    from torch import nn


def exporter_of(kind: str) -> Exporter | None:
    """The exporter of candidates of ``kind``; None if there is none.

    Raises:
        PluginError, MissingExtra: it does not load.
    """
    if kind not in registry.names("exporter"):
        return None
    exporter: Exporter = registry.load("exporter", kind)()
    return exporter


def export_kind(
    candidate: Mapping[str, Any],
    weights: Path,
    workload: Any,
    spec: Mapping[str, Any],
    directory: Path,
) -> Exported:
    """What the exporter of its kind writes of a stored candidate; nothing without one.

    Args:
        candidate: as the store holds it.
        weights: its weights, if that is a file.
        workload: of the study, or None.
        spec: the study's specification.
        directory: where to.
    """
    exporter = exporter_of(candidate["kind"])
    if exporter is None:
        return Exported({})
    stored: Candidate[Any] = Candidate(
        candidate["kind"], candidate["payload"], weights if weights.is_file() else None
    )
    return exporter.export(stored, workload, spec, directory)


def trained_network(workload: Any, kind: str, payload: Any, weights: Path) -> nn.Module:
    """The network of a candidate with its weights, in evaluation mode.

    Where its kind has no exporter: the workload's network under a plan.

    Raises:
        ConfigError: the payload is no plan of one network.
        EvaluationError: the weights do not fit.
    """
    exporter = exporter_of(kind)
    if exporter is not None:
        network: nn.Module = exporter.network(workload, payload, weights)
        return network
    from search.workloads.plan import network_of
    from spaces.nested import NestedPlan, decode_plan

    plan = decode_plan(payload)
    if isinstance(plan, NestedPlan):
        raise ConfigError("the payload is a set of networks (expected one member)")
    return network_of(workload, plan, weights)


def files_of(exported: Exported, directory: Path) -> dict[str, Path]:
    """Every file that was written: path below ``directory`` -> file."""
    found = {}
    for name in exported.files:
        place = directory / name
        inside = sorted(f for f in place.rglob("*") if f.is_file()) if place.is_dir() else [place]
        found.update({str(file.relative_to(directory)): file for file in inside})
    return found
