from collections.abc import Sequence
from typing import Any

import pytest

from search import registry
from search.api.domain import Integer, Param, Point
from search.api.errors import ConfigError
from search.api.searching import Problem, Searcher
from search.api.trial import Trial
from search.searchers.synthesis import DirectSynthesis

PARAMS = (Param("n", Integer(0, 5)),)


def climb(trials: Sequence[Trial], constraints: Sequence[str]) -> Point | None:
    """One more than the last that failed."""
    if any(t.feasible or t.status == "running" for t in trials):
        return None
    return {"n": len(trials)} if len(trials) <= 5 else None


def problem(**options: Any) -> Problem:
    return Problem(PARAMS, ("min",), synthesise=climb, **options)


def test_it_mends_until_a_point_holds(tools: Any) -> None:
    searcher: Searcher = DirectSynthesis(problem())
    for number in range(3):
        point = searcher.suggest(number, 0)
        assert point == {"n": number}
        searcher.start(number, point)
        assert searcher.suggest(number + 1, 0) is None  # nothing to do while it runs
        status = "infeasible" if number < 2 else "complete"
        assert searcher.finish(tools.ended(number, point, (1.0,), status)) == {}
    assert searcher.suggest(3, 0) is None


def test_a_refused_point_is_not_proposed_again() -> None:
    searcher = DirectSynthesis(problem())
    assert searcher.suggest(0, 0) == {"n": 0}
    assert searcher.suggest(0, 1) is None


def test_a_point_that_ran_is_not_proposed_again(tools: Any) -> None:
    searcher = DirectSynthesis(Problem(PARAMS, ("min",), synthesise=lambda t, c: {"n": 4}))
    searcher.finish(tools.ended(0, {"n": 4}, None, "failed"))
    assert searcher.suggest(1, 0) is None


def test_a_replay_goes_on_as_the_run_would_have(tools: Any) -> None:
    trials = [tools.ended(n, {"n": n}, None, "infeasible") for n in range(3)]
    resumed = DirectSynthesis(problem())
    resumed.replay(trials)
    assert resumed.suggest(3, 0) == {"n": 3}


def test_constraints_reach_the_space() -> None:
    heard: list[Sequence[str]] = []

    def listen(trials: Sequence[Trial], constraints: Sequence[str]) -> None:
        heard.append(constraints)

    bounds = ("precision_ckks >= 12 bit",)
    DirectSynthesis(Problem(PARAMS, ("min",), bounds, synthesise=listen)).suggest(0, 0)
    assert heard == [bounds]


def test_other_spaces_are_refused_with_a_hint() -> None:
    with pytest.raises(ConfigError, match=r"searcher: .*such as ckks .*Use auto or random"):
        DirectSynthesis(Problem(PARAMS, ("min",)))
    with pytest.raises(ConfigError, match="speed"):
        DirectSynthesis(problem(), speed=3)


def test_it_is_registered_and_says_what_it_does() -> None:
    found = registry.load("searcher", "direct_synthesis")
    assert found is DirectSynthesis
    assert "mended" in DirectSynthesis(problem()).reason


def test_a_study_of_configurations_ends_with_the_one_that_holds(tmp_path: Any) -> None:
    """A real space and a stand-in for the noise: two bits short at first."""
    from search.api.metric import Measurement, Metric
    from search.study import Study
    from spaces.ckks.options import CkksConfig
    from spaces.ckks.rules import expected_bits
    from spaces.ckks.space import CkksSpace

    class Noise:
        metrics = (Metric("precision_ckks", "bit", "max", "bits"),)
        needs: frozenset[str] = frozenset()

        def evaluate(self, candidate: Any, fidelity: Any, ctx: Any) -> list[Measurement]:
            params = candidate.payload
            bits = expected_bits(params.scale, params.log_n) - 3
            return [Measurement("precision_ckks", bits, "bit", fidelity.name, "model")]

    study = Study(
        space=CkksSpace(None, CkksConfig(depth=5)), evaluators=[Noise()],
        objectives=["precision_ckks"], constraints=["precision_ckks >= 12 bit"],
        searcher="direct_synthesis", budget={"trials": 20}, directory=tmp_path, name="synthesis",
    )  # fmt: skip
    study.run()
    trials = study.trials()
    assert [t.point["log_n"] for t in trials] == [13, 14]
    assert [t.feasible for t in trials] == [False, True]
    assert study.last_end == "direct_synthesis has nothing further to propose"
