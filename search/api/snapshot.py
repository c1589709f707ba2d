"""A study frozen for reading: the only input of reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from search.api.domain import Param
from search.api.metric import Constraint, Metric
from search.api.network import Site
from search.api.trial import Trial


@dataclass(frozen=True)
class Snapshot:
    """Everything a report may show about one arm of a study family.

    Args:
        study: name of the study family (shared by all arms).
        arm: ``main`` or the name of a baseline.
        directory: run directory of this arm.
        digest: digest of the normalised specification.
        spec: the normalised specification (plain YAML data).
        objectives: in the order of ``Trial.values``.
        constraints: measured constraints.
        params: outer parameters.
        metrics: every metric any evaluator of the study returns, by name.
        trials: in order of number.
        sites: the network's sites, empty without a network.
        searcher: name of the searcher.
        searcher_reason: why this searcher, one line.
        versions: package -> version, and host facts.
        seconds: wall-clock seconds spent by all sessions of this arm.
        teacher: facts about the trained original network (accuracy, epochs), if any.
    """

    study: str
    arm: str
    directory: Path
    digest: str
    spec: Mapping[str, Any]
    objectives: tuple[Metric, ...]
    constraints: tuple[Constraint, ...]
    params: tuple[Param, ...]
    metrics: Mapping[str, Metric]
    trials: tuple[Trial, ...]
    sites: tuple[Site, ...] = ()
    searcher: str = ""
    searcher_reason: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    teacher: Mapping[str, Any] = field(default_factory=dict)
