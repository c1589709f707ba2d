from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from search.api.domain import Choice, Integer, Ordinal, Param, Real, Vector
from search.api.errors import ConfigError
from search.api.searching import Problem
from search.searchers.auto import Auto

REALS = tuple(Param(f"x{i}", Real(0, 1)) for i in range(6))
CATEGORIES = tuple(Param(f"c{i}", Choice(("a", "b", "c", "d", "e"))) for i in range(6))
MASK = Param("keep", Vector(Choice((0, 1)), 50))
MIXED = (*REALS[:2], *CATEGORIES, Param("n", Integer(1, 4)))
CONDITIONAL = (*REALS, Param("y", Real(0, 1), when={"x0": (0.5,)}))


@pytest.mark.parametrize(
    ("params", "goals", "trials", "more", "chosen", "why"),
    [
        ((MASK,), 1, 100, {}, "evolution", "keep must be proposed and repaired whole"),
        ((*REALS, MASK), 2, 100, {}, "evolution", "keep must be"),
        (REALS, 1, 100, {}, "gp", "6 mostly continuous parameters, 100 trials and 1 objective "),
        (REALS, 2, 300, {}, "gp", "2 objectives suit"),
        (REALS, 3, 100, {}, "tpe", "3 objective"),
        (REALS, 2, 301, {}, "tpe", "a continuous space"),
        (REALS, 2, None, {}, "tpe", "an open number of trials"),
        (REALS, 1, 100, {"gated": True}, "tpe", "trials that end at gates"),
        (CONDITIONAL, 1, 100, {}, "tpe", "a conditional space"),
        (MIXED, 2, 100, {}, "tpe", "a mixed space"),
        (CATEGORIES, 2, 200, {}, "nsga2", "categorical space of 15625 points"),
        (CATEGORIES, 1, 40, {}, "tpe", "mixed space"),
        (CATEGORIES[:2], 1, 25, {}, "grid", "25 trials suffice for all 25 points"),
        (CATEGORIES[:2], 1, 24, {}, "tpe", ""),
        ((), 1, 5, {}, "grid", "nothing to choose"),
        (
            tuple(Param(f"p{i}", Ordinal((1, 2))) for i in range(201)),
            1,
            100,
            {},
            "evolution",
            "201",
        ),
    ],
)
def test_the_rules(
    params: Any, goals: int, trials: int | None, more: dict[str, Any], chosen: str, why: str
) -> None:
    auto = Auto(Problem(params, ("min",) * goals, trials=trials, **more))
    assert auto.name == f"auto ({chosen})"
    assert auto.reason.startswith(f"{chosen}, since ")
    assert why in auto.reason


def test_it_delegates(tools: Any) -> None:
    from search.searchers.evolution import Evolution

    problem = Problem((MASK,), ("min",), seed=3, trials=40)
    mine, theirs = (tools.run(s(problem), 25) for s in (Auto, Evolution))
    assert [t.point for t in mine] == [t.point for t in theirs]
    resumed = Auto(problem)
    resumed.replay(mine[:20])
    assert [t.point for t in tools.run(resumed, 25, first=20)] == [t.point for t in mine[20:]]


def test_it_takes_no_options() -> None:
    with pytest.raises(ConfigError, match="unknown key"):
        Auto(Problem((MASK,), ("min",)), population=3)


def test_masks_need_no_optuna_and_nobody_torch() -> None:
    code = (
        "import sys; from search.searchers.auto import Auto; from search.api.searching import "
        "Problem; from search.api.domain import *\n"
        "Auto(Problem((Param('v', Vector(Choice((0, 1)), 9)),), ('min',))).suggest(0, 0)\n"
        "assert 'optuna' not in sys.modules and 'torch' not in sys.modules\n"
        "import search.searchers.optuna_backed\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
