"""The staircase below or above which a front of two objectives dominates."""

from __future__ import annotations

from collections.abc import Sequence

from search.api.metric import Goal
from search.pareto import non_dominated


def step_front(
    points: Sequence[tuple[float, float]], goals: tuple[Goal, Goal]
) -> list[tuple[float, float]]:
    """Corners of the staircase through the non-dominated points, by ascending x.

    Between two neighbours the line runs through what is certainly reached: the worse of the two
    values in each objective, so nothing is promised that no trial showed.
    """
    if not points:
        return []
    front = sorted({points[i] for i in non_dominated(points, goals)})
    worst = max if goals[0] == "min" else min
    corners = [front[0]]
    for before, after in zip(front, front[1:], strict=False):
        # Moving in x, one of the two is the worse in x; from there on the other's y is reached.
        corner_x = worst(before[0], after[0])
        corner_y = before[1] if corner_x == after[0] else after[1]
        corners += [(corner_x, corner_y), after]
    return corners
