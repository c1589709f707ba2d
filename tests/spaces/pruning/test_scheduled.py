import pytest

from search.api.domain import Integer, Real
from search.api.errors import ConfigError
from spaces.pruning.plan import Schedule
from spaces.pruning.scheduled import Scheduled


def test_numbers_are_no_parameters() -> None:
    made = Scheduled(2, 1e-3, 1e-1)
    assert made.params() == ()
    assert made.check({}) == []
    assert made.chosen({}) == Schedule(2, 1e-3, 1e-1)


def test_ranges_are() -> None:
    made = Scheduled((1, 4), [1e-4, 1e-2], {"real": [1e-3, 1e-1], "log": True})
    assert [p.domain for p in made.params()] == [
        Integer(1, 4), Real(1e-4, 1e-2, log=True), Real(1e-3, 1e-1, log=True)
    ]  # fmt: skip
    schedule = made.chosen({"rounds": 3, "rho_first": 1e-3, "rho_last": 1e-2})
    assert schedule == Schedule(3, 1e-3, 1e-2)
    assert made.chosen(made.point(schedule)) == schedule


def test_a_penalty_rises() -> None:
    made = Scheduled(1, [1e-4, 1e-1], [1e-3, 1e-2])
    point = {"rho_first": 5e-2, "rho_last": 2e-3}
    (violation,) = made.check(point)
    assert violation.rule == "rho"
    assert violation.excess == pytest.approx(0.048)
    repaired = made.repair(point)
    assert repaired == {"rho_first": 1e-2, "rho_last": 1e-2}
    assert not made.check(repaired)
    legal = {"rho_first": 1e-3, "rho_last": 2e-3}
    assert made.repair(legal) == legal


def test_a_penalty_that_could_only_fall() -> None:
    with pytest.raises(ConfigError, match=r"space\.rho_last: the penalty rises: .*0.001, below"):
        Scheduled(1, [1e-2, 1e-1], 1e-3)
