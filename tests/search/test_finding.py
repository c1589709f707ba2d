"""A finding is plain data."""

from __future__ import annotations

import dataclasses

import pytest

from search.finding import Finding


def test_a_finding_cannot_be_changed() -> None:
    finding = Finding("extras", "spu", "absent", "not installed", "pip install spu")
    assert dataclasses.asdict(finding)["fix"] == "pip install spu"
    with pytest.raises(dataclasses.FrozenInstanceError):
        finding.status = "ok"  # type: ignore[misc]
    assert Finding("extras", "spu", "ok", "0.9.5").fix == ""
