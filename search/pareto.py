"""Which points are worth having, and how much they cover: Pareto front and exact hypervolume.

All functions take ``values`` of shape ``[n, m]`` (n points, m objectives) and ``goals`` (``min`` or
``max`` per objective). Inside, every goal is ``min``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from search.api.metric import Goal

Points = npt.NDArray[np.float64]


def non_dominated(values: npt.ArrayLike | Sequence[Any], goals: Sequence[Goal]) -> list[int]:
    """Indices of the points that no other point dominates, ascending.

    A point dominates another if it is no worse in every objective and better in one. Equal points
    do not dominate each other, so all copies of a non-dominated point are returned.

    Args:
        values: shape ``[n, m]``, finite; ``n`` may be 0.
        goals: ``m`` goals.

    Raises:
        ValueError: wrong shape, unknown goal, or a value that is not finite.
    """
    points = _as_minimisation(values, goals)
    if not len(points):
        return []
    distinct, copy_of = np.unique(points, axis=0, return_inverse=True)
    kept = _front_of_sorted(distinct)
    return [int(i) for i in np.flatnonzero(kept[copy_of.reshape(-1)])]


def hypervolume(
    values: npt.ArrayLike | Sequence[Any], reference: Sequence[float], goals: Sequence[Goal]
) -> float:
    """Exact volume that the points dominate, bounded by ``reference``.

    Its unit is the product of the objectives' units. Points that are not better than
    ``reference`` in every objective add nothing. 2-D is one sweep; more objectives take the WFG
    recursion, whose cost grows exponentially with ``m`` in the worst case.

    Args:
        values: shape ``[n, m]``, finite; ``n`` may be 0.
        reference: ``m`` finite numbers, the worst acceptable value of every objective.
        goals: ``m`` goals.

    Raises:
        ValueError: wrong shape, unknown goal, or a number that is not finite.

    Source: While, Bradstreet, Barone, A Fast Way of Calculating Exact Hypervolumes, IEEE Trans.
        Evolutionary Computation 16(1), 2012 (exclusive volumes by limit sets, dimension sweep).
    """
    return _volume(_front(_within(values, reference, goals)))


def hypervolume_history(
    values: npt.ArrayLike | Sequence[Any], reference: Sequence[float], goals: Sequence[Goal]
) -> list[float]:
    """The hypervolume after the first 1, 2, ..., n points; never falls.

    Arguments, unit and errors are those of :func:`hypervolume`. Only points that join the front
    cost more than a comparison.
    """
    points = _below_reference(values, reference, goals)
    front = points[:0]
    total, history = 0.0, []
    for point in points:
        inside = bool((point < 0.0).all())
        if inside and not bool((front <= point).all(axis=1).any()):
            limited = _front(np.maximum(front, point))
            total += max(0.0, float(np.prod(-point)) - _volume(limited))
            front = np.vstack([front[~(point <= front).all(axis=1)], point])
        history.append(total)
    return history


def _as_minimisation(values: npt.ArrayLike | Sequence[Any], goals: Sequence[Goal]) -> Points:
    unknown = [goal for goal in goals if goal not in ("min", "max")]
    if unknown or not goals:
        raise ValueError(f"goals: expected 'min' or 'max' per objective (got {list(goals)!r})")
    points = np.asarray(values, dtype=np.float64)
    if points.size == 0:
        points = points.reshape(0, len(goals))
    if points.ndim != 2 or points.shape[1] != len(goals):
        raise ValueError(f"values: expected shape [n, {len(goals)}] (got {list(points.shape)})")
    if not np.isfinite(points).all():
        raise ValueError("values: expected finite numbers (got nan or inf)")
    signs = np.array([1.0 if goal == "min" else -1.0 for goal in goals])
    # + 0.0: negative zeros become zeros, so that equal points match.
    signed: Points = points * signs + 0.0
    return signed


def _below_reference(
    values: npt.ArrayLike | Sequence[Any], reference: Sequence[float], goals: Sequence[Goal]
) -> Points:
    """The points relative to ``reference``: negative where better than it."""
    points = _as_minimisation(values, goals)
    corner = _as_minimisation([list(reference)], goals)
    shifted: Points = points - corner
    return shifted


def _within(
    values: npt.ArrayLike | Sequence[Any], reference: Sequence[float], goals: Sequence[Goal]
) -> Points:
    points = _below_reference(values, reference, goals)
    inside: Points = points[(points < 0.0).all(axis=1)]
    return inside


def _front(points: Points) -> Points:
    """The distinct non-dominated points in lexicographic order."""
    if len(points) <= 1:
        return points
    distinct: Points = np.unique(points, axis=0)
    front: Points = distinct[_front_of_sorted(distinct)]
    return front


def _front_of_sorted(points: Points) -> npt.NDArray[np.bool_]:
    """Mask of the front of distinct points in lexicographic order, ``[n]``.

    In this order no point dominates an earlier one, so one pass against the front so far does.
    """
    if points.shape[1] == 1:
        first: npt.NDArray[np.bool_] = np.arange(len(points)) == 0
        return first
    if points.shape[1] == 2:
        best_before = np.minimum.accumulate(np.r_[np.inf, points[:-1, 1]])
        better: npt.NDArray[np.bool_] = points[:, 1] < best_before
        return better
    kept = np.zeros(len(points), dtype=np.bool_)
    front = np.empty_like(points)
    size = 0
    for index, point in enumerate(points):
        if not (front[:size] <= point).all(axis=1).any():
            front[size] = point
            kept[index] = True
            size += 1
    return kept


def _volume(front: Points) -> float:
    """Volume between a front (distinct, lexicographic order, all negative) and the origin."""
    if not len(front):
        return 0.0
    dimensions = front.shape[1]
    if dimensions == 1:
        return float(-front[0, 0])
    if dimensions == 2:
        heights = np.diff(np.r_[0.0, front[:, 1]])
        return float((front[:, 0] * heights).sum())
    # Worst last objective first: every later point is no worse in it, so the part of a later box
    # inside this one has this box's depth, and the recursion loses one dimension.
    order = np.argsort(-front[:, -1], kind="stable")
    flat, depth = front[order, :-1], -front[order, -1]
    total = 0.0
    for index in range(len(flat)):
        shared = _volume(_front(np.maximum(flat[index + 1 :], flat[index])))
        total += float(depth[index]) * (float(np.prod(-flat[index])) - shared)
    return total
