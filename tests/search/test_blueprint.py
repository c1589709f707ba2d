"""A blueprint gives the searcher's problem, the worker and the runner of a study."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from search import Study
from search.api.errors import ConfigError
from search.runners.inline import Inline
from search.worker import LiveWorker


def test_the_problem_says_all_a_searcher_needs(toy_study: Callable[..., Study]) -> None:
    study = toy_study(
        trials=7, seed=3, constraints=["cost <= 3 ms"], known=["sum(mask) <= 2"], params={"n": 2}
    )
    problem = study.blueprint.problem()
    assert [p.name for p in problem.params] == ["x", "n", "kind", "y", "mask"]
    assert problem.goals == ("min", "min")
    assert problem.constraints == ("cost <= 3 ms",)
    assert (problem.trials, problem.seed, problem.gated) == (7, 3, False)
    full = {"x": 0.1, "n": 2, "kind": "v", "mask": (1,) * 12}
    assert problem.check(full)
    assert problem.repair is not None
    assert sum(problem.repair(full)["mask"]) <= 2  # type: ignore[arg-type, misc]


def test_runner_by_name_by_mapping_or_as_it_is(toy_study: Callable[..., Study]) -> None:
    blueprint = toy_study().blueprint
    assert blueprint.runner(None).slots == 1
    assert blueprint.runner({"name": "process", "slots": 3}).slots == 3
    own = Inline()
    assert blueprint.runner(own) is own
    with pytest.raises(ConfigError, match=r"runner\.slot: unknown key"):
        blueprint.runner({"name": "process", "slot": 3})


def test_points_are_members_of_the_space(toy_study: Callable[..., Study]) -> None:
    blueprint = toy_study().blueprint
    point = {"x": 0.1, "n": 2, "kind": "v", "mask": [0] * 12}
    assert blueprint.point(point)["mask"] == (0,) * 12
    with pytest.raises(ConfigError, match="point: mask: expected a list of 12"):
        blueprint.point({**point, "mask": [0]})
    with pytest.raises(ConfigError, match="scalar or a list"):
        blueprint.point({**point, "x": None})


def test_live_studies_are_marked(toy_study: Callable[..., Study]) -> None:
    blueprint = toy_study().blueprint
    assert isinstance(blueprint.worker(), LiveWorker)
    assert blueprint.meta().spec["live"] is True
