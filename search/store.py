"""The store: an Optuna study that holds every trial, with artefacts beside it.

The only module that knows the layout. One driver writes; a trial is created with everything that
is known of it in one write, and ended by one last write after all its data, so a reader or a
restart sees it running or finished, never half. Readers open without the lock.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import mimetypes
import shutil
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.artifacts import FileSystemArtifactStore, upload_artifact
from optuna.storages import BaseStorage
from optuna.trial import TrialState, create_trial

from search.api.domain import Param, Point
from search.api.errors import StoreError
from search.api.metric import Measurement
from search.api.param_syntax import param_to_data, parse_param
from search.api.snapshot import Snapshot
from search.api.trial import Origin, Outcome, RungResult, Trial
from search.database import close_storage, distribution, guarded, open_storage, public, versions
from search.records import (
    SCHEMA,
    constraint_from_data,
    measurement_to_data,
    metric_from_data,
    origin_to_data,
    outcome_from_data,
    outcome_to_data,
    site_from_data,
    split_point,
)
from search.run_directory import JOURNAL, RunDirectory
from search.stored import (
    CONSTRAINT,
    MEMORY,
    META,
    ORIGIN,
    OUTCOME,
    REASON,
    SEED,
    SESSIONS,
    TEACHER,
    TEST,
    VECTORS,
    Meta,
    trial_from,
)

_STATES = {
    "complete": TrialState.COMPLETE,
    "gated": TrialState.PRUNED,
    "infeasible": TrialState.PRUNED,
    "failed": TrialState.FAIL,
    "crashed": TrialState.FAIL,
}


class Store:
    """An open study. Use :meth:`open` to write, :meth:`read` to look."""

    def __init__(self, directory: RunDirectory, storage: BaseStorage) -> None:
        self.directory = directory
        self._storage = storage
        self._study: optuna.Study | None = None
        self._artifacts = directory.path / "artifacts"
        self._ids: dict[int, int] = {}

    @classmethod
    def open(cls, directory: RunDirectory) -> Store:
        """Open for writing; the caller holds the directory's lock.

        Raises:
            StoreError: the database cannot be reached or read.
            MissingExtra: the database's driver is not installed.
        """
        store = cls(directory, open_storage(directory))
        names = guarded(lambda: optuna.get_all_study_names(store._storage), directory.path)
        if directory.study in names:
            store._study = _load(directory, store._storage)
        return store

    @classmethod
    def read(cls, path: Path, storage: str | None = None) -> Store:
        """Open without a lock; only reading methods may be used.

        Raises:
            StoreError: no run directory, or nothing has been stored yet.
        """
        directory = RunDirectory.open(path, storage, lock=False)
        if directory.storage == "journal" and not (path / JOURNAL).exists():
            raise StoreError(f"{path}: the run has stored nothing yet")
        store = cls(directory, open_storage(directory))
        store._study = _load(directory, store._storage)
        return store

    @property
    def exists(self) -> bool:
        """Whether the study was begun."""
        return self._study is not None

    @property
    def study(self) -> optuna.Study:
        """The Optuna study."""
        if self._study is None:
            raise StoreError(f"{self.directory.path}: the study has not been begun")
        return self._study

    def begin(self, meta: Meta) -> None:
        """Create the study, or take over the one that is there.

        Raises:
            StoreError: the database holds a study of this name that another run directory made.
        """
        path = self.directory.path
        if self._study is None:
            self._study = guarded(
                lambda: optuna.create_study(
                    study_name=self.directory.study,
                    storage=self._storage,
                    directions=[
                        "minimize" if m.goal == "min" else "maximize" for m in meta.objectives
                    ],
                ),
                path,
            )
            names = [f"{m.name} [{m.unit}]" for m in meta.objectives]
            with warnings.catch_warnings():  # stable enough: it only labels the dashboard's axes
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                guarded(lambda: self.study.set_metric_names(names), path)
            self.write_meta(meta)
        elif self.study.user_attrs.get(META, {}).get("run") != self.directory.run_id:
            raise StoreError(
                f"{path}: the database already holds a study {self.directory.study!r} of another "
                "run directory. Choose another study name"
            )

    def write_meta(self, meta: Meta) -> None:
        """Write (or, after an accepted change, overwrite) what the study is."""
        data = {
            "schema": SCHEMA,
            "run": self.directory.run_id,
            "study": meta.study,
            "arm": meta.arm,
            "digest": meta.digest,
            "spec": public(meta.spec),
            "objectives": [dataclasses.asdict(m) for m in meta.objectives],
            "constraints": [dataclasses.asdict(c) for c in meta.constraints],
            "params": {p.name: param_to_data(p) for p in meta.params},
            "order": [p.name for p in meta.params],
            "metrics": {n: dataclasses.asdict(m) for n, m in meta.metrics.items()},
            "sites": [dataclasses.asdict(s) for s in meta.sites],
            "searcher": meta.searcher,
            "versions": versions(),
        }
        self._set(META, data)

    @property
    def digest(self) -> str:
        """Digest of the stored specification."""
        return str(self.study.user_attrs[META]["digest"])

    @property
    def spec(self) -> Mapping[str, Any]:
        """The stored specification as plain data (no password in it)."""
        spec: Mapping[str, Any] = self.study.user_attrs[META]["spec"]
        return spec

    def start_session(self) -> None:
        """Note that a driver began to work, so that time budgets hold over restarts."""
        self._set(SESSIONS, [*self._closed_sessions(), [time.time(), None]])

    def end_session(self) -> None:
        """Note that the driver stopped."""
        sessions = list(self.study.user_attrs.get(SESSIONS, []))
        if sessions and sessions[-1][1] is None:
            sessions[-1] = [sessions[-1][0], time.time()]
            self._set(SESSIONS, sessions)

    @property
    def seconds(self) -> float:
        """Wall-clock seconds of all ended sessions; one killed counts to its last trial's end."""
        return sum(end - start for start, end in self._closed_sessions())

    def _closed_sessions(self) -> list[list[float]]:
        sessions = list(self.study.user_attrs.get(SESSIONS, []))
        if sessions and sessions[-1][1] is None:
            start = sessions[-1][0]
            ends = [t.finished for t in self.trials() if t.finished and t.finished >= start]
            sessions[-1] = [start, max(ends, default=start)]
        return sessions

    def note(self, *, teacher: Mapping[str, Any] | None = None, reason: str | None = None) -> None:
        """Keep facts about the original network, or the searcher's reason."""
        if teacher is not None:
            self._set(TEACHER, dict(teacher))
        if reason is not None and self.study.user_attrs.get(REASON) != reason:
            self._set(REASON, reason)

    def start(self, params: Sequence[Param], point: Point, seed: int, origin: Origin) -> int:
        """Create a running trial in one write; returns its number."""
        scalars, vectors = split_point(point)
        attrs: dict[str, Any] = {SEED: seed, ORIGIN: origin_to_data(origin)}
        if vectors:
            attrs[VECTORS] = vectors
        distributions = {p.name: distribution(p.domain) for p in params if p.name in scalars}
        template = create_trial(
            state=TrialState.RUNNING,
            params=scalars,
            distributions=distributions,
            user_attrs=attrs,
        )
        template.datetime_start = datetime.datetime.now()
        path, study_id = self.directory.path, self.study._study_id
        trial_id = guarded(lambda: self._storage.create_new_trial(study_id, template), path)
        number = guarded(lambda: self._storage.get_trial_number_from_id(trial_id), path)
        self._ids[number] = trial_id
        return number

    def finish(
        self, outcome: Outcome, values: Sequence[float] | None, memory: Mapping[str, Any]
    ) -> Trial:
        """Store an outcome and its artefacts, then end the trial: the last write makes it count.

        Returns:
            The trial as stored.
        """
        path, trial_id = self.directory.path, self._id(outcome.number)

        def write() -> None:
            storage = self._storage
            for name, file in outcome.artefacts.items():
                self._keep(trial_id, name, file)
            storage.set_trial_user_attr(trial_id, OUTCOME, outcome_to_data(outcome))
            if memory:
                storage.set_trial_user_attr(trial_id, MEMORY, dict(memory))
            for name, excess in outcome.excess.items():
                storage.set_trial_system_attr(trial_id, f"{CONSTRAINT}{name}", float(excess))
            state = _STATES[outcome.status]
            told = list(values) if values is not None and state is TrialState.COMPLETE else None
            storage.set_trial_state_values(trial_id, state, told)

        guarded(write, path)
        return self.trial(outcome.number)

    def keep_test(self, number: int, measurements: Sequence[Measurement]) -> None:
        """Keep what a chosen trial measured on the test split, once and for all."""
        known = dict(self.study.user_attrs.get(TEST, {}))
        known[str(number)] = [measurement_to_data(m) for m in measurements]
        self._set(TEST, known)

    def tested(self) -> frozenset[int]:
        """Numbers of the trials measured on the test split."""
        return frozenset(map(int, self.study.user_attrs.get(TEST, {})))

    def unfinished(self) -> list[tuple[Trial, Outcome | None]]:
        """Trials a dead driver left running, with their outcome if that was already written."""
        found = []
        for frozen in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            outcome = None
            if OUTCOME in frozen.user_attrs:
                outcome = outcome_from_data(frozen.number, frozen.user_attrs[OUTCOME], {})
            found.append((trial_from(frozen, self._artifacts), outcome))
        return sorted(found, key=lambda pair: pair[0].number)

    def trial(self, number: int) -> Trial:
        """One trial.

        Raises:
            StoreError: there is no such trial.
        """
        trial_id = self._id(number)
        frozen = guarded(lambda: self._storage.get_trial(trial_id), self.directory.path)
        return trial_from(frozen, self._artifacts)

    def trials(self) -> tuple[Trial, ...]:
        """All trials in order of number."""
        frozen = guarded(lambda: self.study.get_trials(deepcopy=False), self.directory.path)
        return tuple(trial_from(t, self._artifacts) for t in sorted(frozen, key=lambda t: t.number))

    def snapshot(self) -> Snapshot:
        """The study frozen for reading."""
        attrs = self.study.user_attrs
        meta = attrs[META]
        return Snapshot(
            study=meta["study"],
            arm=meta["arm"],
            directory=self.directory.path,
            digest=meta["digest"],
            spec=meta["spec"],
            objectives=tuple(metric_from_data(m) for m in meta["objectives"]),
            constraints=tuple(constraint_from_data(c) for c in meta["constraints"]),
            params=tuple(parse_param(n, meta["params"][n], f"params.{n}") for n in meta["order"]),
            metrics={n: metric_from_data(m) for n, m in meta["metrics"].items()},
            trials=self._with_tests(),
            sites=tuple(site_from_data(s) for s in meta["sites"]),
            searcher=meta["searcher"],
            searcher_reason=attrs.get(REASON, ""),
            versions=meta["versions"],
            seconds=self.seconds,
            teacher=attrs.get(TEACHER, {}),
        )

    def close(self) -> None:
        """Release connections and the directory's lock."""
        close_storage(self._storage)
        self.directory.release()

    def _with_tests(self) -> tuple[Trial, ...]:
        """All trials, with what chosen ones measured on the test split as a last rung."""
        tests = self.study.user_attrs.get(TEST, {})
        trials = []
        for trial in self.trials():
            if str(trial.number) in tests and trial.outcome is not None:
                found = tuple(Measurement(**m) for m in tests[str(trial.number)])
                rungs = (*trial.outcome.rungs, RungResult("test", 0.0, found))
                outcome = dataclasses.replace(trial.outcome, rungs=rungs)
                trial = dataclasses.replace(trial, outcome=outcome)  # noqa: PLW2901
            trials.append(trial)
        return tuple(trials)

    def _set(self, key: str, value: Any) -> None:
        guarded(lambda: self.study.set_user_attr(key, value), self.directory.path)

    def _id(self, number: int) -> int:
        if number not in self._ids:
            for t in self.study.get_trials(deepcopy=False):
                self._ids[t.number] = t._trial_id
        if number not in self._ids:
            raise StoreError(
                f"{self.directory.path}: no trial {number} (there are {len(self._ids)})"
            )
        return self._ids[number]

    def _keep(self, trial_id: int, name: str, file: Path) -> None:
        """Move a file into the artefact store under the trial."""
        store = FileSystemArtifactStore(self._artifacts)
        self._artifacts.mkdir(exist_ok=True)
        named = file.with_name(name.replace("/", "__"))
        if named != file:
            shutil.move(file, named)
        upload_artifact(
            artifact_store=store,
            file_path=str(named),
            study_or_trial=self._storage.get_trial(trial_id),
            storage=self._storage,
            mimetype=mimetypes.guess_type(name)[0] or "application/octet-stream",
        )
        named.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # not empty yet: more files of the trial follow
            named.parent.rmdir()


def _load(directory: RunDirectory, storage: BaseStorage) -> optuna.Study:
    try:
        study = guarded(
            lambda: optuna.load_study(study_name=directory.study, storage=storage), directory.path
        )
    except KeyError:
        raise StoreError(
            f"{directory.path}: the database holds no study {directory.study!r}"
        ) from None
    schema = study.user_attrs.get(META, {}).get("schema", SCHEMA)
    if schema > SCHEMA:
        raise StoreError(
            f"{directory.path}: written by a newer cipher-search (schema {schema}; this one reads "
            f"up to {SCHEMA}). Upgrade it"
        )
    return study
