"""Jobs of three modes on a small supply, in round numbers."""

from __future__ import annotations

import pytest

from evaluators.device.intermittent import Job, Stretch, Supply


def job(batches: int) -> Job:
    """So many batches of 0.1 s at 5 mW in each of two layers."""
    return Job((Stretch(batches, 0.1, 5e-3, 0.01, 5e-3), Stretch(batches, 0.1, 5e-3, 0.01, 5e-3)))


@pytest.fixture
def supply() -> Supply:
    """2.75 mJ a power cycle; 70 ms to start."""
    return Supply(2.75e-3, 2.9e-3, 0.07, 1.1e-3, 3e-6)


@pytest.fixture
def jobs() -> tuple[Job, ...]:
    """8, 13 and 24 mJ, as three modes of tiny_cnn on 14 x 14 images take."""
    return tuple(job(n) for n in (8, 13, 24))
