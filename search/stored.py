"""The stored form of a study inside Optuna: the keys of its attributes, and reading trials back."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from search.api.domain import Param, Value
from search.api.metric import Constraint, Metric
from search.api.network import Site
from search.api.trial import Trial
from search.records import origin_from_data, outcome_from_data, unpack_vector

# Keys of attributes; nowhere else.
META, SESSIONS, TEACHER, REASON = "cipher_search", "sessions", "teacher", "searcher_reason"
TEST = "test_split"
SEED, ORIGIN, VECTORS, OUTCOME, MEMORY = "seed", "origin", "vectors", "outcome", "memory"
ARTEFACT = "artifacts:"
CONSTRAINT = "constraints:"


@dataclasses.dataclass(frozen=True)
class Meta:
    """What a study is, fixed at its start."""

    study: str
    arm: str
    digest: str
    spec: Mapping[str, Any]
    objectives: tuple[Metric, ...]
    constraints: tuple[Constraint, ...]
    params: tuple[Param, ...]
    metrics: Mapping[str, Metric]
    sites: tuple[Site, ...]
    searcher: str


def trial_from(frozen: FrozenTrial, folder: Path) -> Trial:
    """A stored trial; its artefacts lie in ``folder``."""
    attrs = frozen.user_attrs
    point: dict[str, Value] = dict(frozen.params)
    for name, data in attrs.get(VECTORS, {}).items():
        point[name] = unpack_vector(data)
    artefacts = _artefacts(frozen, folder)
    outcome = None
    if frozen.state.is_finished() and OUTCOME in attrs:
        outcome = outcome_from_data(frozen.number, attrs[OUTCOME], artefacts)
    return Trial(
        number=frozen.number,
        point=point,
        seed=int(attrs.get(SEED, 0)),
        origin=origin_from_data(attrs.get(ORIGIN, {"kind": "user"})),
        status=outcome.status
        if outcome
        else ("crashed" if frozen.state.is_finished() else "running"),
        values=tuple(frozen.values) if frozen.values else None,
        outcome=outcome,
        started=frozen.datetime_start.timestamp() if frozen.datetime_start else None,
        finished=frozen.datetime_complete.timestamp() if frozen.datetime_complete else None,
        artefacts=artefacts,
        memory=attrs.get(MEMORY, {}),
    )


def _artefacts(frozen: FrozenTrial, folder: Path) -> dict[str, Path]:
    found = {}
    for key, value in frozen.system_attrs.items():
        if key.startswith(ARTEFACT):
            info = json.loads(value)
            found[info["filename"].replace("__", "/")] = folder / info["artifact_id"]
    return found
