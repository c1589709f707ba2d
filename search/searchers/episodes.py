"""A point as an episode for a policy with continuous actions: states, and what they know.

A state knows what can be known from the problem alone: which decision it is, the actions before,
and how far the known rules (budgets) are from being met if all later actions were 0, or 1. Sizes
and costs of layers are not among it: only an evaluator knows them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from search.api.domain import Point
from search.api.searching import Problem
from search.searchers.networks import Floats
from search.searchers.slots import Slot, Slots, action_of, value_of

MOST_SLOTS = 64
"""Up to so many decisions each has its own input, and rules are asked at every one (the work is
quadratic); beyond, a decision is known by sines of its position."""

_WAVES = 16
_EXTRA = 6


class Episodes:
    """States of the decisions of a space.

    Args:
        problem: what is searched.
        context: length of a vector given with every state (weights of objectives), 0 for none.
    """

    def __init__(self, problem: Problem, context: int = 0) -> None:
        self._slots = Slots(problem.params)
        self._problem = problem
        self._count = len(self._slots.all)
        self._codes = _codes(self._count)
        self._context = context
        ends = [self._excess([], float(i)) for i in (0, 1)]
        self._unit = max(ends)  # of excess; 0 if no rule is broken at either end

    @property
    def width(self) -> int:
        """Length of a state."""
        return int(self._codes.shape[1]) + _EXTRA + self._context

    @property
    def steps(self) -> int:
        """Largest number of decisions of an episode."""
        return self._count

    def play(self, act: Callable[[Floats], float], context: Floats) -> Point:
        """The point that the actions of ``act`` make, asked state by state."""
        actions: list[float] = []
        params: list[int] = []

        def choose(slot: Slot) -> bool | int | float | str:
            action = act(self._state(slot, actions, params, context))
            actions.append(action)
            params.append(slot.param)
            return value_of(slot.domain, action)

        return self._slots.build(choose)

    def read(self, point: Point, context: Floats) -> tuple[Floats, Floats]:
        """States and actions that lead to ``point``, shapes ``[steps, width]`` and ``[steps]``."""
        states: list[Floats] = []
        actions: list[float] = []
        params: list[int] = []
        for slot, value in self._slots.read(point):
            states.append(self._state(slot, actions, params, context))
            actions.append(action_of(slot.domain, value))
            params.append(slot.param)
        return np.array(states).reshape(-1, self.width), np.array(actions)

    def _state(
        self, slot: Slot, actions: Sequence[float], params: Sequence[int], context: Floats
    ) -> Floats:
        mine = [a for a, p in zip(actions, params, strict=True) if p == slot.param]
        known = [
            slot.index / self._count,
            actions[-1] if actions else 0.5,
            sum(actions) / len(actions) if actions else 0.5,
            sum(mine) / len(mine) if mine else 0.5,
            *(self._ahead(actions, float(rest)) for rest in (0, 1)),
        ]
        return np.concatenate([self._codes[slot.index], known, context])

    def _ahead(self, actions: Sequence[float], rest: float) -> float:
        """Excess of the known rules if all later actions were ``rest``; 1 at the worse end."""
        if self._unit == 0.0 or self._count > MOST_SLOTS:
            return 0.0
        return min(2.0, self._excess(actions, rest) / self._unit)

    def _excess(self, actions: Sequence[float], rest: float) -> float:
        left = iter(actions)
        point = self._slots.build(lambda slot: value_of(slot.domain, next(left, rest)))
        return math.fsum(min(v.excess, 1e300) for v in self._problem.check(point))


def _codes(count: int) -> Floats:
    """A code per decision, shape ``[count, width]``: its own input, or sines of its position."""
    if count <= MOST_SLOTS:
        return np.eye(count)
    position = np.arange(count)[:, None] / count
    waves = np.pi * 2.0 ** np.arange(_WAVES // 2)
    return np.concatenate([np.sin(position * waves), np.cos(position * waves)], axis=1)
