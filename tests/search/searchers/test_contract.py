"""What every searcher promises, over mixed, conditional and vector spaces."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

import pytest

from search import registry
from search.api.candidate import Violation
from search.api.domain import Choice, Integer, Ordinal, Param, Point, point_digest
from search.api.errors import ConfigError
from search.api.searching import Problem, Searcher

NAMES = ["auto", "tpe", "nsga2", "gp", "cmaes", "qmc", "random", "evolution"]
NAMES += ["annealing", "amc", "reinforce"]
CASES = [(n, s) for n in NAMES for s in ("numerical", "conditional", "vectors")]
CASES = [c for c in CASES if c not in (("gp", "numerical"), ("gp", "vectors"))]  # it is slow
GP_IS_SLOW = [pytest.param(n, marks=pytest.mark.slow) if n == "gp" else n for n in NAMES]
WITHOUT_CMAES = [n for n in GP_IS_SLOW if n != "cmaes"]
FINITE = (
    Param("a", Choice(("p", "q"))),
    Param("b", Ordinal((1, 2, 4))),
    Param("i", Integer(0, 2)),
    Param("j", Integer(0, 2), when={"a": ("p",)}),
)


def make(name: str, problem: Problem, **options: Any) -> Searcher:
    cls = registry.load("searcher", name)
    found: Searcher = cls.from_config(cls.Config(**options), problem)
    return found


def trials_for(name: str) -> int:
    return 9 if name == "gp" else 30


def quick(name: str) -> dict[str, Any]:
    """Options under which the model, not the start, makes most of the proposals."""
    options = {"gp": {"n_startup_trials": 4}, "nsga2": {"population_size": 6}}
    options |= {"annealing": {"initial": 4}, "amc": {"warmup": 6, "updates": 4}}
    return options.get(name, {})


def test_the_registry_knows_all_searchers() -> None:
    known = {e.name for e in entry_points(group="cipher_search.searchers")}
    assert {*NAMES, "grid"} <= known
    for name in [*NAMES, "grid"]:
        assert registry.load("searcher", name).Config.model_config["extra"] == "forbid"


@pytest.mark.parametrize(("name", "space"), CASES)
def test_suggestions_lie_in_the_domain_and_repeat_by_seed(
    name: str, space: str, tools: Any
) -> None:
    params = tools.spaces[space]
    problem = Problem(params, ("min",), trials=400, seed=5)
    trials = tools.run(make(name, problem, **quick(name)), trials_for(name))
    assert all(tools.lies_in(params, t.point) for t in trials)
    again = tools.run(make(name, problem, **quick(name)), trials_for(name))
    assert [t.point for t in again] == [t.point for t in trials]
    other = Problem(params, ("min",), trials=400, seed=6)
    different = tools.run(make(name, other, **quick(name)), 3)
    assert [t.point for t in different] != [t.point for t in trials[:3]]


@pytest.mark.parametrize(("name", "space"), CASES)
def test_a_replay_goes_on_as_the_run_would_have(name: str, space: str, tools: Any) -> None:
    problem = Problem(tools.spaces[space], ("min",), trials=400, seed=1)
    count = trials_for(name)
    trials = tools.run(make(name, problem, **quick(name)), count)
    resumed = make(name, problem, **quick(name))
    resumed.replay(trials[: count - 4])
    rest = tools.run(resumed, count, first=count - 4)
    assert [t.point for t in rest] == [t.point for t in trials[count - 4 :]]
    assert [t.memory for t in rest] == [t.memory for t in trials[count - 4 :]]


@pytest.mark.parametrize("name", GP_IS_SLOW)
def test_suggest_is_a_pure_query(name: str, tools: Any) -> None:
    problem = Problem(tools.spaces["vectors"], ("min",), trials=400, seed=2)
    searcher, same = (make(name, problem, **quick(name)) for _ in "ab")
    tools.run(searcher, 12)
    tools.run(same, 12)
    first = searcher.suggest(12, 0)
    for attempt in (3, 1, 7, 0):
        searcher.suggest(12, attempt)
    assert searcher.suggest(12, 0) == first == same.suggest(12, 0)
    assert searcher.suggest(12, 1) != first
    assert [t.point for t in tools.run(searcher, 14, first=12)] == [
        t.point for t in tools.run(same, 14, first=12)
    ]


@pytest.mark.parametrize("name", WITHOUT_CMAES)
def test_two_objectives_constraints_and_every_way_to_end(name: str, tools: Any) -> None:
    params = tools.spaces["vectors"]
    problem = Problem(params, ("min", "max"), ("size",), trials=400, seed=3, gated=True)
    searcher = make(name, problem, **quick(name))
    tools.run(searcher, 10, goals=2, excess=lambda p: {"size": tools.loss(p) - 8})
    for number, status in enumerate(("failed", "crashed", "gated", "infeasible", "complete"), 10):
        point = searcher.suggest(number, 0)
        assert point is not None
        searcher.start(number, point)
        values = (float("nan"), 1.0) if status == "complete" else None
        excess = {"size": 2.0} if status == "gated" else {"a rule": 1.0}
        searcher.finish(tools.ended(number, point, values, status, excess=excess))
    rest = tools.run(searcher, 18, goals=2, first=15)
    assert all(tools.lies_in(params, t.point) for t in rest)


@pytest.mark.parametrize("name", GP_IS_SLOW)
def test_trials_in_flight_and_foreign_points(name: str, tools: Any) -> None:
    params = tools.spaces["conditional"]
    problem = Problem(params, ("min",), trials=400, seed=4)
    searcher = make(name, problem, **quick(name))
    mine: Point = {"x": 0, "lr": 0.5, "n": 3, "k": 9, "o": 8, "c": 2.5}
    points: dict[int, Point] = {}
    for number in range(16):
        point = searcher.suggest(number, 0)
        assert point is not None
        points[number] = mine if number == 2 else point
        searcher.start(number, points[number])
        if number >= 3:  # three in flight, ending out of order
            due = number - 3 if number % 2 else number - 2
            if due in points:
                ended = points.pop(due)
                searcher.finish(tools.ended(due, ended, (tools.loss(ended),)))
    late = tools.ended(40, {**mine, "n": 4}, (1.0,))
    searcher.finish(late)  # a trial that was never started here
    after = searcher.suggest(41, 0)
    assert after is not None
    assert tools.lies_in(params, after)


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("cmaes", "gp")] + ["grid"])
def test_small_spaces_are_used_up_without_repeats(name: str, tools: Any) -> None:
    def check(point: Point) -> tuple[Violation, ...]:
        return (Violation("r", "b 4 is banned", 1, "1"),) if point["b"] == 4 else ()

    problem = Problem(FINITE, ("min",), seed=1, check=check)
    searcher = make(name, problem)
    points = [t.point for t in tools.run(searcher, 24)]
    assert len({point_digest(p) for p in points}) == 24 == 2 * 3 * 3 + 2 * 3
    assert searcher.suggest(24, 0) is None


@pytest.mark.parametrize("name", NAMES)
def test_known_rules_are_respected(name: str, tools: Any) -> None:
    def check(point: Point) -> tuple[Violation, ...]:
        over = point["x"]
        assert isinstance(over, float)
        return (Violation("r", "x > -1", over + 1, "1"),) if over > -1 else ()

    problem = Problem(tools.spaces["numerical"], ("min",), seed=1, check=check, trials=400)
    trials = tools.run(make(name, problem, **quick(name)), 8 if name == "gp" else 12)
    assert any(isinstance(t.point["x"], float) for t in trials)
    assert not any(check(t.point) for t in trials)


@pytest.mark.parametrize("name", [*NAMES, "grid"])
def test_unknown_options_are_refused_with_the_known_ones(name: str, tools: Any) -> None:
    cls = registry.load("searcher", name)
    with pytest.raises(ConfigError, match="unknown key") as error:
        cls(Problem(tools.spaces["numerical"], ("min",)), n_startup=3)
    assert error.value.path.startswith("searcher")
    for known in cls.Config.model_fields:
        assert known in str(error.value)


@pytest.mark.parametrize("name", NAMES)
def test_name_and_reason_are_one_line(name: str, tools: Any) -> None:
    searcher = make(name, Problem(tools.spaces["vectors"], ("min",), trials=50))
    assert searcher.name
    assert searcher.reason
    assert "\n" not in searcher.reason
