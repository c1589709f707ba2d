"""The cheapest choice of one option for each of several variables that depend on each other in
pairs: exact, by eliminating one variable after another (dynamic programming on the graph).

Source: Dechter, "Bucket elimination: a unifying framework for reasoning" (Artificial Intelligence
113, 1999), section 4. A chain of layers makes it Viterbi's algorithm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

Factor = tuple[tuple[int, ...], np.ndarray]
"""Variables (ascending) and the cost of each combination of their options, one axis for each."""


def cheapest(sizes: Sequence[int], factors: Sequence[Factor]) -> tuple[dict[int, int], float]:
    """The options with the least sum of costs.

    Args:
        sizes: number of options of each variable.
        factors: costs; infinite for combinations that are impossible.

    Returns:
        variable -> its option, and the least sum (infinite if there is no possible choice).
    """
    left, pending = set(range(len(sizes))), list(factors)
    solved: list[tuple[int, tuple[int, ...], np.ndarray]] = []
    total = 0.0
    while left:
        variable = min(left, key=lambda v: (_width(v, pending, sizes), v))
        own = [f for f in pending if variable in f[0]]
        pending = [f for f in pending if variable not in f[0]]
        scope = tuple(sorted({variable}.union(*(f[0] for f in own))))
        table = np.zeros([sizes[v] for v in scope])
        for names, costs in own:
            table = table + _spread(costs, names, scope)
        axis = scope.index(variable)
        rest = scope[:axis] + scope[axis + 1 :]
        solved.append((variable, rest, table.argmin(axis=axis)))
        least = table.min(axis=axis)
        if rest:
            pending.append((rest, least))
        else:
            total += float(least)
        left.remove(variable)
    chosen: dict[int, int] = {}
    for variable, rest, options in reversed(solved):
        chosen[variable] = int(options[tuple(chosen[v] for v in rest)])
    return chosen, total


def _width(variable: int, factors: Sequence[Factor], sizes: Sequence[int]) -> int:
    scope = {v for names, _ in factors if variable in names for v in names}
    return int(np.prod([sizes[v] for v in scope], initial=1))


def _spread(costs: np.ndarray, names: tuple[int, ...], scope: tuple[int, ...]) -> np.ndarray:
    sizes: Mapping[int, int] = dict(zip(names, costs.shape, strict=True))
    return costs.reshape([sizes.get(v, 1) for v in scope])
