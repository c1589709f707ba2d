"""Databases: distributions of parameters, errors in one form, passwords out of sight."""

from __future__ import annotations

from pathlib import Path

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from search import Choice, Integer, Ordinal, Real, Vector
from search.api.errors import StoreError
from search.database import distribution, guarded, open_storage, public, versions
from search.run_directory import RunDirectory


def test_distributions() -> None:
    assert distribution(Real(0.1, 1, log=True)) == FloatDistribution(0.1, 1, log=True)
    assert distribution(Integer(1, 8, step=3)) == IntDistribution(1, 7, step=3)
    assert distribution(Choice(("a", 1))) == CategoricalDistribution(("a", 1))
    assert distribution(Ordinal((4, 8))) == CategoricalDistribution((4, 8))
    with pytest.raises(StoreError, match="attribute"):
        distribution(Vector(Choice((0, 1)), 3))


def test_errors_name_the_directory_and_hide_passwords(tmp_path: Path) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(StoreError, match=r"runs/x: cannot be written: No space left"):
        guarded(full, Path("runs/x"))
    run = RunDirectory(tmp_path, "postgresql://u:secret@127.0.0.1:1/d", "s", "id")
    with pytest.raises(StoreError) as error:
        open_storage(run)
    assert "secret" not in str(error.value)


def test_public_specification_has_no_password() -> None:
    spec = {"study": {"storage": "postgresql://u:secret@h/d", "name": "s"}}
    assert "secret" not in str(public(spec))
    assert public(spec)["study"]["name"] == "s"


def test_versions_name_the_platform() -> None:
    assert {"python", "platform", "optuna"} <= set(versions())
