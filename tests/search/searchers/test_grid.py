from __future__ import annotations

from typing import Any

import pytest

from search.api.candidate import Violation
from search.api.domain import Choice, Integer, Ordinal, Param, Point, Real, Vector, point_digest
from search.api.errors import ConfigError
from search.api.searching import Problem
from search.searchers.grid import LARGEST, Grid

PARAMS = (
    Param("a", Choice(("p", "q"))),
    Param("lr", Real(0.01, 1, log=True), when={"a": ("p",)}),
    Param("n", Integer(0, 100)),
    Param("v", Vector(Choice((0, 1)), 2)),
)
RESOLUTION = {"lr": 3, "n": 2}


def test_every_point_exactly_once(tools: Any) -> None:
    grid = Grid(Problem(PARAMS, ("min",)), resolution=RESOLUTION)
    assert grid.size == 3 * 2 * 4 + 2 * 4
    points = [t.point for t in tools.run(grid, grid.size)]
    assert len({point_digest(p) for p in points}) == grid.size
    assert {p["lr"] for p in points if "lr" in p} == {0.01, 0.1, 1.0}
    assert {p["n"] for p in points} == {0, 100}
    assert grid.suggest(99, 0) is None
    assert str(grid.size) in grid.reason


def test_known_rules_and_foreign_points_are_skipped() -> None:
    def check(point: Point) -> tuple[Violation, ...]:
        return (Violation("r", "", 1, "1"),) if point["i"] == 1 else ()

    grid = Grid(Problem((Param("i", Integer(0, 4)),), ("min",), check=check))
    grid.start(0, {"i": 2})
    assert [grid.suggest(1, attempt) for attempt in range(4)] == [
        {"i": 0},
        {"i": 3},
        {"i": 4},
        None,
    ]
    assert grid.suggest(1, 0) == {"i": 0}


def test_a_replay_continues_where_it_stopped(tools: Any) -> None:
    problem = Problem(PARAMS, ("min",))
    whole = tools.run(Grid(problem, resolution=RESOLUTION), 32)
    resumed = Grid(problem, resolution=RESOLUTION)
    resumed.replay(whole[:11])
    assert [t.point for t in tools.run(resumed, 32, first=11)] == [t.point for t in whole[11:]]


def test_one_value_is_the_middle_and_coarse_integers_do_not_repeat() -> None:
    grid = Grid(
        Problem((Param("x", Real(0, 1)), Param("i", Integer(0, 2))), ("min",)),
        resolution={"x": 1, "i": 9},
    )
    assert grid.suggest(0, 0) == {"x": 0.5, "i": 0}
    assert grid.size == 3


def test_real_parameters_need_a_resolution() -> None:
    with pytest.raises(ConfigError, match=r"lr is a number in .*endless.*searcher\.resolution\.lr"):
        Grid(Problem(PARAMS, ("min",)))
    with pytest.raises(ConfigError, match="endless points. Use evolution or random"):
        Grid(Problem((Param("v", Vector(Real(0, 1), 2)),), ("min",)))


@pytest.mark.parametrize(
    ("params", "size"),
    [
        ((Param("v", Vector(Choice((0, 1)), 200)),), "1.61e[+]60"),
        ((Param("v", Vector(Choice((0, 1)), 5000)),), "more than 1e308"),
        ((Param("i", Integer(1, 10**5)), Param("j", Integer(1, 10**5))), "1e[+]10"),
        (
            (
                Param("a", Choice(("p", "q"))),
                Param("i", Integer(1, 10**5), when={"a": ("p",)}),
                Param("j", Integer(1, 50), when={"a": ("p",)}),
            ),
            "5e[+]06",
        ),
    ],
)
def test_the_size_of_a_hopeless_grid_is_told(params: Any, size: str) -> None:
    with pytest.raises(ConfigError, match=f"grid has {size} points .at most {LARGEST}"):
        Grid(Problem(params, ("min",)))


def test_conditions_keep_a_grid_small() -> None:
    params = (
        Param("a", Choice(("p", "q"))),
        Param("i", Integer(1, 10**5), when={"a": ("p",)}),
        Param("j", Integer(1, 10**5), when={"a": ("q",)}),
    )
    assert Grid(Problem(params, ("min",))).size == 2 * 10**5


@pytest.mark.parametrize(
    ("resolution", "message"),
    [
        ({"a": 3}, "only real and integer parameters have a resolution .known: lr, n"),
        ({"zzz": 3}, "only real and integer"),
        ({"lr": 0}, "at least 1 value .got 0"),
    ],
)
def test_bad_resolutions(resolution: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        Grid(Problem(PARAMS, ("min",)), resolution=resolution)
    assert error.value.path.startswith("searcher.resolution.")


def test_ordinals_in_order() -> None:
    grid = Grid(Problem((Param("o", Ordinal((8, 2, 4))),), ("min",)))
    assert [grid.suggest(0, k) for k in range(3)] == [{"o": 8}, {"o": 2}, {"o": 4}]
