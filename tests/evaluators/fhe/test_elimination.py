"""The cheapest options, compared with trying all."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from evaluators.fhe.elimination import Factor, cheapest


def brute(sizes: list[int], factors: list[Factor]) -> float:
    every = product(*(range(s) for s in sizes))
    return min(sum(c[tuple(o[v] for v in names)] for names, c in factors) for o in every)


@pytest.mark.parametrize("seed", range(20))
def test_finds_the_least_sum(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = [int(s) for s in rng.integers(1, 5, 6)]
    pairs = {tuple(sorted(rng.choice(6, 2, replace=False).tolist())) for _ in range(8)}
    factors: list[Factor] = [(p, rng.random([sizes[v] for v in p])) for p in pairs]
    factors += [((v,), rng.random(sizes[v])) for v in range(6)]
    chosen, price = cheapest(sizes, factors)
    assert price == pytest.approx(brute(sizes, factors))
    assert price == pytest.approx(sum(c[tuple(chosen[v] for v in n)] for n, c in factors))


def test_says_that_nothing_is_possible() -> None:
    costs = np.array([[np.inf, np.inf], [np.inf, np.inf]])
    assert cheapest([2, 2], [((0, 1), costs)])[1] == np.inf


def test_variables_without_costs_have_an_option() -> None:
    assert cheapest([3], []) == ({0: 0}, 0.0)
