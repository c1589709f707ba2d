"""Spaces, a problem with a budget, and the loop a study runs around a searcher."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from search.api.candidate import Violation
from search.api.domain import (
    Choice,
    Integer,
    Ordinal,
    Param,
    Point,
    Real,
    Vector,
    active_params,
)
from search.api.searching import Problem, Searcher
from search.api.trial import Origin, Outcome, Trial

NUMERICAL = (
    Param("x", Real(-2, 2)),
    Param("lr", Real(1e-4, 1, log=True)),
    Param("n", Integer(1, 64, log=True)),
    Param("k", Integer(0, 10, 3)),
)
CONDITIONAL = (
    *NUMERICAL,
    Param("o", Ordinal((2, 4, 8, 16))),
    Param("c", Choice(("a", 1, True, 2.5))),
    Param("m", Integer(1, 5), when={"c": ("a", True)}),
    Param("z", Real(0, 1), when={"m": (1, 2, 3)}),
)
WITH_VECTORS = (
    *CONDITIONAL,
    Param("v", Vector(Choice((0, 1)), 24)),
    Param("w", Vector(Ordinal((1, 2, 4)), 5), when={"c": ("a", 1)}),
    Param("r", Vector(Real(0, 1), 4)),
)
SPACES = {"numerical": NUMERICAL, "conditional": CONDITIONAL, "vectors": WITH_VECTORS}


def loss(point: Point) -> float:
    total = 0.0
    for value in point.values():
        for entry in value if isinstance(value, tuple) else (value,):
            total += 3.0 if isinstance(entry, str) else float(entry)
    return abs(total - 9.0)


def lies_in(params: Sequence[Param], point: Point) -> bool:
    """Exactly the active parameters, each with a legal value."""
    active = list(active_params(params, point))
    return set(point) == {p.name for p in active} and all(
        p.domain.contains(point[p.name]) for p in active
    )


def ended(number: int, point: Point, values: Any, status: str = "complete", **kw: Any) -> Trial:
    outcome = Outcome(number, status, excess=kw.get("excess", {}))  # type: ignore[arg-type]
    told = tuple(values) if values is not None else None
    return Trial(number, point, 0, Origin("sampler"), status, told, outcome)  # type: ignore[arg-type]


def run(
    searcher: Searcher,
    trials: int,
    *,
    goals: int = 1,
    first: int = 0,
    excess: Callable[[Point], Mapping[str, float]] = lambda point: {},
    score: Callable[[Point], float] = loss,
) -> list[Trial]:
    """Run trials one after another; their memory goes through JSON, as in a store."""
    done = []
    for number in range(first, trials):
        point = searcher.suggest(number, 0)
        assert point is not None
        searcher.start(number, point)
        values = (score(point), -2 * score(point))[:goals]
        trial = ended(number, point, values, excess=excess(point))
        memory = json.loads(json.dumps(searcher.finish(trial)))
        done.append(dataclasses.replace(trial, memory=memory))
    return done


def mask_problem(bits: int = 40, budget: float = 0.4, **kw: Any) -> Problem:
    """A mask whose kept entries may cost at most ``budget`` of all; repair drops the last ones."""
    costs = [1.0 + i % 5 for i in range(bits)]
    allowed = budget * sum(costs)

    def used(point: Point) -> float:
        mask = point["keep"]
        assert isinstance(mask, tuple)
        return sum(c for c, kept in zip(costs, mask, strict=True) if kept)

    def check(point: Point) -> Sequence[Violation]:
        over = used(point) - allowed
        return (Violation("budget", f"{used(point)} used", over, "1"),) if over > 0 else ()

    def repair(point: Point) -> Point:
        mask = list(point["keep"])  # type: ignore[arg-type]
        for i in reversed(range(bits)):
            if not check({"keep": tuple(mask)}):
                break
            mask[i] = 0
        return {**point, "keep": tuple(mask)}

    kw.setdefault("repair", repair)
    return Problem((Param("keep", Vector(Choice((0, 1)), bits)),), ("min",), check=check, **kw)


def ratio_problem(
    seed: int, trials: int, goals: tuple[Any, ...] = ("min",), known: bool = True, length: int = 8
) -> tuple[Problem, Callable[[Point], float]]:
    """Ratios ``keep`` of layers of unequal size, a scalar and a category, and the share in use.

    At most a quarter of all may be kept: a known rule with a repair that scales all ratios down,
    or else a measured constraint named ``size``.
    """
    sizes = [1.0 + (5 * i) % 7 * 2 for i in range(length)]
    low = 0.05

    def used(point: Point) -> float:
        keep = point["keep"]
        assert isinstance(keep, tuple)
        return sum(s * float(k) for s, k in zip(sizes, keep, strict=True)) / sum(sizes)

    def scaled(point: Point, factor: float) -> Point:
        return {**point, "keep": tuple(max(low, float(k) * factor) for k in point["keep"])}  # type: ignore[union-attr]

    def check(point: Point) -> Sequence[Violation]:
        over = used(point) - 0.25
        return (Violation("budget", f"{used(point)} kept", over, "1"),) if over > 1e-9 else ()

    def repair(point: Point) -> Point:
        below, above = 0.0, 1.0
        for _ in range(40):
            middle = (below + above) / 2
            if check(scaled(point, middle)):
                above = middle
            else:
                below = middle
        return scaled(point, below)

    params = (
        Param("keep", Vector(Real(low, 1, log=True), length)),
        Param("bits", Ordinal((2, 4, 8, 16))),
        Param("rule", Choice(("a", "b", "c"))),
    )
    if known:
        return Problem(params, goals, (), trials, seed, check, repair), used
    return Problem(params, goals, ("size",), trials, seed), used


def damage(point: Point) -> float:
    """What pruning costs: layers differ in what they bear; 8 bits and rule b are best."""
    keep = point["keep"]
    assert isinstance(keep, tuple)
    bears = (0.2, 1.5, 0.5, 3.0)
    total = sum(bears[i % 4] * (1 / float(k) ** 0.5 - 1) for i, k in enumerate(keep)) / len(keep)
    return total + 0.3 * abs((2, 4, 8, 16).index(point["bits"]) - 2) + 0.4 * (point["rule"] != "b")  # type: ignore[arg-type]


@pytest.fixture
def tools() -> Any:
    """The functions above, for tests (test modules cannot import one another)."""

    class Tools:
        spaces = SPACES
        run = staticmethod(run)
        loss = staticmethod(loss)
        ended = staticmethod(ended)
        lies_in = staticmethod(lies_in)
        mask_problem = staticmethod(mask_problem)
        ratio_problem = staticmethod(ratio_problem)
        damage = staticmethod(damage)

    return Tools
