"""Known constraints of a study: the space's own rules and the user's bounds on parameters.

Known means: a pure function of the point. They are enforced by repair or rejection before a trial
exists; measured constraints are another thing, told to the sampler afterwards.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from search.api.candidate import Violation
from search.api.domain import Param, Point, point_digest
from search.api.known import KnownConstraint
from search.api.protocols import Method, Repairing, Space
from search.api.repair import repair as greedy_repair


class Rules:
    """All known constraints of a study behind one ``check`` and one ``repair``.

    Args:
        params: outer parameters.
        space: asked unless the method decides it.
        method: may take the space's parameters out of the outer search.
        known: texts such as ``sum(mask) <= 20``.

    Raises:
        ConfigError: a text cannot be read or names an unknown parameter.
    """

    def __init__(
        self, params: Sequence[Param], space: Space[Any], method: Method[Any], known: Sequence[str]
    ) -> None:
        self._params = tuple(params)
        self._space = None if method.decides_space else space
        self._known: list[KnownConstraint] = []
        for i, text in enumerate(known):
            self._known.append(KnownConstraint.parse(text, self._params, f"known[{i}]"))

    def check(self, point: Point) -> Sequence[Violation]:
        """Every broken rule; microseconds."""
        broken = list(self._space.check(point)) if self._space is not None else []
        for constraint in self._known:
            violation = constraint.violation(point)
            if violation is not None:
                broken.append(violation)
        return broken

    @property
    def repair(self) -> Callable[[Point], Point] | None:
        """A function that makes a point legal; None where no rule can be broken."""
        if self._space is None and not self._known:
            return None
        return self._repair

    def _repair(self, point: Point) -> Point:
        space: object = self._space
        if isinstance(space, Repairing):
            point = space.repair(point)
        if self.check(point):
            rng = random.Random(point_digest(point))  # the same point is always mended the same way
            point = greedy_repair(point, self._params, self.check, rng)
        return point
