"""A snapshot needs little and stays as it was taken."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path

import pytest

from search.api.metric import Metric
from search.api.snapshot import Snapshot

LOSS = Metric("loss", "1", "min", "what is lost")


@pytest.fixture
def bare() -> Snapshot:
    """A study without network, trials or parameters."""
    return Snapshot(
        study="s", arm="main", directory=Path("runs/s"), digest="0" * 16, spec={},
        objectives=(LOSS,), constraints=(), params=(), metrics={"loss": LOSS}, trials=(),
    )  # fmt: skip


def test_a_study_without_network_has_neither_sites_nor_teacher(bare: Snapshot) -> None:
    assert bare.sites == ()
    assert bare.teacher == {}
    assert (bare.searcher, bare.searcher_reason, bare.seconds) == ("", "", 0.0)


def test_defaults_are_not_shared(bare: Snapshot) -> None:
    other = dataclasses.replace(bare, versions={"python": "3"})
    assert bare.versions == {}
    assert other.versions == {"python": "3"}


def test_it_is_frozen_and_crosses_processes(bare: Snapshot) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        bare.trials = ()  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(bare)) == bare
