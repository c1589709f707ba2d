"""Databases behind the store: opening them, their errors in one form, and how points are kept."""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from search.api.domain import Domain, Integer, Real, Vector
from search.api.errors import MissingExtra, StoreError
from search.run_directory import JOURNAL, RunDirectory, without_password

_VERSIONED = ("cipher-search", "optuna", "ray", "torch", "numpy", "tenseal")

R = TypeVar("R")


def guarded(action: Callable[[], R], path: Path) -> R:
    """Run a storage operation; its failures become one clear :class:`StoreError`."""
    try:
        return action()
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error.strerror or error}") from error
    except Exception as error:
        # By module name: a study in a journal must not pay a second for importing SQLAlchemy.
        internal = isinstance(error, optuna.exceptions.StorageInternalError)
        if not internal and not type(error).__module__.startswith("sqlalchemy."):
            raise
        cause = error.__cause__ or error
        first = str(cause).strip().partition("\n")[0]
        raise StoreError(f"{path}: the database failed: {without_password(first)}") from error


def open_storage(directory: RunDirectory) -> BaseStorage:
    """The Optuna storage of a run directory.

    Raises:
        StoreError: it cannot be opened.
        MissingExtra: its driver is not installed.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    url = directory.storage
    if url == "journal":
        file = directory.path / JOURNAL
        return guarded(lambda: JournalStorage(JournalFileBackend(str(file))), directory.path)
    if url.startswith("postgresql://"):
        url = "postgresql+psycopg://" + url.removeprefix("postgresql://")
    if url.startswith("postgresql+psycopg://"):
        try:
            import psycopg  # noqa: F401
        except ImportError as error:
            raise MissingExtra(
                "study.storage: PostgreSQL needs the extra 'postgres'. "
                "Run: pip install 'cipher-search[postgres]'"
            ) from error
    return guarded(lambda: RDBStorage(url), directory.path)


def close_storage(storage: BaseStorage) -> None:
    """Give the connections of a relational database back."""
    storage.remove_session()
    engine = getattr(storage, "engine", None)
    if engine is not None:
        engine.dispose()


def distribution(domain: Domain) -> BaseDistribution:
    """The Optuna distribution under which a scalar parameter is stored."""
    if isinstance(domain, Real):
        return FloatDistribution(domain.low, domain.high, log=domain.log)
    if isinstance(domain, Integer):
        high = domain.low + (int(domain.size) - 1) * domain.step
        return IntDistribution(domain.low, high, log=domain.log, step=domain.step)
    if isinstance(domain, Vector):
        raise StoreError("a vector is stored as an attribute, never as an Optuna parameter")
    return CategoricalDistribution(domain.options)


def public(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The specification without the password of its database URL."""
    data = dict(spec)
    if isinstance(data.get("study"), Mapping):
        study = dict(data["study"])
        study["storage"] = without_password(str(study.get("storage", "journal")))
        data["study"] = study
    return data


def versions() -> dict[str, str]:
    """Versions of what results may depend on, and the platform."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in _VERSIONED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
