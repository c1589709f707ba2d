"""Advised search: who is asked when, and who is named."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from search import Integer, Param, Study
from search.api.domain import Point
from search.api.errors import ConfigError
from search.api.searching import Problem, StudyView
from search.api.trial import Origin, Trial
from search.searchers.advised import Advised


@dataclass
class Counting:
    """Advises 1, 2, 3, ... and remembers what it saw."""

    limit: int = 99
    seen: list[int] = field(default_factory=list)

    def advise(self, view: StudyView) -> Any:
        """The next number."""
        self.seen.append(len(view.trials()))
        if len(self.seen) > self.limit:
            return None
        return _Said({"n": len(self.seen)}, Origin("advisor", "counting", "next"))


@dataclass(frozen=True)
class _Said:
    point: Point
    origin: Origin


def advised(advisor: Any = None, **options: Any) -> Advised:
    """A searcher over numbers."""

    def make(name: str, given: Mapping[str, Any]) -> Any:
        return advisor or Counting()

    problem = Problem((Param("n", Integer(1, 1000)),), ("min",), advisor=make)
    options.setdefault("fallback", "random")
    return Advised(problem, None, advisor="counting", **options)


def told(searcher: Advised, count: int) -> list[str]:
    """Who proposed each of ``count`` trials."""
    names = []
    for number in range(count):
        point = searcher.suggest(number, 0)
        assert point is not None
        origin = searcher.origin(number, 0)
        assert origin is not None
        names.append(origin.by)
        searcher.start(number, point)
        searcher.finish(Trial(number, point, 0, origin, "complete", (1.0,)))
    return names


@pytest.mark.parametrize(("share", "asked"), [(0.0, 0), (0.25, 3), (0.5, 6), (1.0, 12)])
def test_turns_are_spread_evenly(share: float, asked: int) -> None:
    names = told(advised(share=share), 12)
    assert names.count("counting") == asked
    if share == 0.5:
        assert names[:4] == ["counting", "random", "counting", "random"]


def test_a_silent_advisor_and_refused_points_leave_it_to_the_sampler() -> None:
    assert told(advised(Counting(limit=2), share=1.0), 5)[2:] == ["random"] * 3
    searcher = advised(share=1.0)
    searcher.suggest(0, 0)
    searcher.suggest(0, 1)
    origin = searcher.origin(0, 1)
    assert origin is not None
    assert origin.by == "random"


def test_a_point_that_is_known_is_not_proposed_again() -> None:
    searcher = advised(share=1.0)
    searcher.start(0, {"n": 1})
    searcher.suggest(1, 0)
    origin = searcher.origin(1, 0)
    assert origin is not None
    assert origin.by == "random"


def test_the_advisor_sees_running_and_replayed_trials() -> None:
    advisor = Counting()
    searcher = advised(advisor, share=1.0)
    searcher.replay([Trial(0, {"n": 500}, 0, Origin("sampler"), "complete", (1.0,))])
    searcher.start(1, {"n": 501})
    searcher.suggest(2, 0)
    assert advisor.seen == [2]
    assert "counting is asked for 100 %" in searcher.reason
    assert searcher.name == "advised (counting, random)"


def test_what_cannot_work_is_said() -> None:
    problem = Problem((Param("n", Integer(1, 9)),), ("min",))
    with pytest.raises(ConfigError, match="needs a study behind it"):
        Advised(problem, None, advisor="x")
    with pytest.raises(ConfigError, match="another searcher"):
        advised(fallback={"name": "advised", "advisor": "x"})
    with pytest.raises(ConfigError, match="share"):
        advised(share=2)


def test_a_study_names_who_proposed(toy_study: Callable[..., Study]) -> None:
    from search import Choice, Metric, Vector

    study = toy_study(
        space_params=(Param("activation", Vector(Choice(("relu", "identity")), 6)),),
        metrics=(Metric("accuracy", "%", "max", ""), Metric("latency", "ms", "min", "")),
        function=lambda c: {
            "accuracy": 50.0 + sum(n for n, e in enumerate(c.payload["activation"]) if e == "relu"),
            "latency": float(list(c.payload["activation"]).count("relu")),
        },
        searcher={"name": "advised", "advisor": "relu_placement", "fallback": "random"},
        trials=16,
    )
    study.run()
    origins = [t.origin for t in study.trials()]
    assert {o.by for o in origins} == {"relu_placement", "random"}
    advice = next(o for o in origins if o.by == "relu_placement")
    assert advice.kind == "advisor"
    assert "ReLU at site" in advice.reason
    assert advice.parent is not None
