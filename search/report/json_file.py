"""The report as JSON, for machines.

Keys of the document (``schema`` 1; a change of meaning raises the number):

- ``schema``: the number 1. ``generator``: what wrote the file.
- ``study``: name of the family. ``main``: name of the arm the others are compared with.
- ``objectives``, ``metrics``: lists of ``name``, ``unit``, ``goal``, ``doc``, ``source``, and
  ``evidence`` (list of the kinds behind its values off the test split).
- ``reference``: ``values`` (objective name -> value, or null), ``given`` (names whose value the
  caller chose), ``note`` (in words).
- ``hypervolume_unit``; ``common_trials``: number of ended trials that every arm has.
- ``arms``: list, main first, of
    - ``name``, ``directory``, ``digest``, ``spec``, ``searcher`` (``name``, ``reason``), ``seed``,
      ``versions``, ``seconds``, ``teacher``, ``params`` (``name``, ``domain``, ``unit``, ``doc``),
      ``constraints`` (``text``, ``metric``, ``op``, ``bound``, ``unit``),
    - ``counts`` (status -> number), ``front`` (trial numbers), ``best`` (objective -> trial number
      or null), ``hypervolume`` (number or null), ``hypervolume_at_common_trials``,
      ``hypervolume_history`` (after each ended trial) and ``ended`` (their numbers in that order),
    - ``trials``: list of ``number``, ``status``, ``feasible``, ``on_front``, ``values`` (objective
      -> number, or null), ``point``, ``seed``, ``origin``, ``started`` and ``finished`` (seconds
      since the epoch), ``seconds``, ``excess`` (name -> number), ``measurements`` (list of
      ``metric``, ``value``, ``unit``, ``rung``, ``evidence``, ``std``, ``n``, ``split``, ``low``,
      ``high``), ``rungs`` (``name``, ``seconds``), ``candidate``, ``artefacts``, ``notes``,
      ``error``, ``worker``; for CKKS configurations ``ckks``: ``log_n``, ``scale`` and ``log_qp``
      [bit], ``packing``, ``secret_weight``, ``primes`` (in the order of use: ``bits``, ``role``,
      ``layer`` that drops it, ``scale`` of its result [bit]) and ``layers`` (``name``, ``kind``,
      ``place``, ``limbs`` before and after, ``dropped`` [bit], ``scale`` [bit], ``predicted_ms``
      (model), ``cpu_ms`` and ``wall_ms`` (measured), ``error_share`` of the variance (model)).
- ``sites``: the network's sites in execution order.

Numbers that JSON cannot say (nan, inf) are null.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from search.api.metric import Metric
from search.api.network import Site
from search.api.trial import Trial
from search.report.encrypted import chain_data
from search.report.family import Arm, Family, values_of
from search.report.numbers import plain
from search.report.provenance import evidence_of, metrics_of, study_seed

SCHEMA = 1


def render_json(family: Family) -> str:
    """The document as text, on one line: indented, a large study's is three times as large."""
    return json.dumps(plain(document(family)), ensure_ascii=False, allow_nan=False) + "\n"


def document(family: Family) -> dict[str, Any]:
    """The document as data; the keys are those of this module's description."""
    kinds = evidence_of(family)
    reference = None
    if family.reference is not None:
        names = [m.name for m in family.objectives]
        reference = dict(zip(names, family.reference, strict=True))
    return {
        "schema": SCHEMA,
        "generator": "cipher-search",
        "study": family.name,
        "main": family.main.name,
        "objectives": [_metric(m, kinds) for m in family.objectives],
        "metrics": [_metric(m, kinds) for m in metrics_of(family).values()],
        "reference": {
            "values": reference,
            "given": sorted(family.given),
            "note": family.reference_note,
        },
        "hypervolume_unit": family.volume_unit,
        "common_trials": family.common_trials,
        "arms": [_arm(family, arm) for arm in family.arms],
        "sites": [_site(s) for s in sites_of(family)],
    }


def sites_of(family: Family) -> tuple[Site, ...]:
    """The sites of the first arm that has any; all arms search the same network."""
    return next((arm.snapshot.sites for arm in family.arms if arm.snapshot.sites), ())


def _metric(metric: Metric, kinds: dict[str, str]) -> dict[str, Any]:
    found = kinds.get(metric.name, "")
    return {**plain(metric), "evidence": found.split(", ") if found else []}


def _site(site: Site) -> dict[str, Any]:
    return {**plain(site), "elements": site.elements, "outputs": site.outputs}


def _arm(family: Family, arm: Arm) -> dict[str, Any]:
    study = arm.snapshot
    best = {m.name: arm.best(i) for i, m in enumerate(study.objectives)}
    front = {t.number for t in arm.front}
    return {
        "name": study.arm,
        "directory": study.directory,
        "digest": study.digest,
        "spec": study.spec,
        "searcher": {"name": study.searcher, "reason": study.searcher_reason},
        "seed": study_seed(study),
        "versions": study.versions,
        "seconds": study.seconds,
        "teacher": study.teacher,
        "params": [
            {"name": p.name, "domain": p.domain.describe(), "unit": p.unit, "doc": p.doc}
            for p in study.params
        ],
        "constraints": [plain(c) | {"text": str(c)} for c in study.constraints],
        "counts": Counter(t.status for t in study.trials),
        "front": [t.number for t in arm.front],
        "best": {name: t.number if t else None for name, t in best.items()},
        "hypervolume": arm.hypervolume,
        "hypervolume_at_common_trials": family.volume_at(arm, family.common_trials),
        "hypervolume_history": arm.history,
        "ended": [t.number for t in arm.ended],
        "trials": [_trial(arm, t, t.number in front) for t in study.trials],
    }


def _trial(arm: Arm, trial: Trial, on_front: bool) -> dict[str, Any]:
    names = [m.name for m in arm.snapshot.objectives]
    record: dict[str, Any] = {
        "number": trial.number,
        "status": trial.status,
        "feasible": trial.feasible,
        "on_front": on_front,
        "values": dict(zip(names, values_of(trial), strict=False)) if trial.values else None,
        "point": trial.point,
        "seed": trial.seed,
        "origin": trial.origin,
        "started": trial.started,
        "finished": trial.finished,
        "artefacts": trial.artefacts,
    }
    outcome = trial.outcome
    if outcome is None:
        return record
    measurements = []
    for m in outcome.measurements:
        entry = plain(m)
        entry["rung"] = entry.pop("fidelity")
        measurements.append(entry)
    chain = chain_data(trial)
    if chain is not None:
        record["ckks"] = chain
    return record | {
        "seconds": outcome.seconds,
        "excess": outcome.excess,
        "measurements": measurements,
        "rungs": [{"name": r.rung, "seconds": r.seconds} for r in outcome.rungs],
        "candidate": outcome.candidate,
        "notes": outcome.notes,
        "error": outcome.error,
        "worker": outcome.worker,
    }
