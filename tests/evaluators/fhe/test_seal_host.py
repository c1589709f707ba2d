"""Measuring SEAL's operations on this host."""

from __future__ import annotations

from typing import get_args

import pytest

from evaluators.fhe import seal_host
from evaluators.fhe.circuit import Operation
from search.api.errors import EvaluationError


def test_every_operation_is_timed_at_every_size() -> None:
    told = []
    samples = seal_host.operation_samples(
        {11: (1, 2), 12: (2,)}, 1, progress=lambda *entry: told.append(entry)
    )
    assert told == [(1, 3, "ring dimension 2048"), (2, 3, "ring dimension 4096")]
    assert all(ms > 0 for *_, ms in samples)
    sizes = {(op, log_n, limbs) for op, log_n, limbs, _ in samples}
    assert len(sizes) == len(samples)
    timed = set(get_args(Operation)) - {"multiply_scalar", "add_scalar"}  # as with diagonals
    assert {op for op, log_n, limbs in sizes if (log_n, limbs) == (12, 2)} == timed
    assert ("rescale", 11, 1) not in sizes


def test_a_child_that_fails_is_an_error() -> None:
    with pytest.raises(EvaluationError):
        seal_host.operation_samples({11: (0,)}, 1)


def test_the_block_needs_the_chain_it_has() -> None:
    graph, params = seal_host.block()
    levels = sum(node.kind in ("linear", "square") for node in graph.nodes)
    assert levels == len(params.chain.levels)
    assert graph.nodes[-1].shape == (10,)
