from __future__ import annotations

from dataclasses import replace

import pytest

from evaluators.device.intermittent import Job, Supply
from evaluators.device.policies import Adaptive, Fixed, Greedy, Oracle, Situation, policy_named
from evaluators.device.prediction import Needs
from search.api.errors import ConfigError

ACCURACIES = (85.0, 88.0, 90.0)


@pytest.fixture
def situation(supply: Supply, jobs: tuple[Job, ...]) -> Situation:
    """15 s left, a full capacitor, no experience."""
    needs = Needs(jobs, supply, 15.0)
    return Situation(15.0, 2.5e-3, 1e-3, (1e-3,), needs, ACCURACIES)


def at(situation: Situation, *powers: float, answered: int | None = None) -> Situation:
    return replace(situation, now_w=powers[0], outlook_w=powers, answered=answered)


def test_greedy_takes_the_densest_that_fits_now(situation: Situation) -> None:
    need = [situation.need_w(k) for k in range(3)]
    assert Greedy().choose(at(situation, 1.01 * need[2])) == 2
    assert Greedy().choose(at(situation, 0.99 * need[2])) == 1
    assert Greedy().choose(at(situation, 0.99 * need[1])) == 0
    assert Greedy().choose(at(situation, 0.0)) == 0
    assert Greedy().choose(at(situation, 1.0, answered=0)) is None


def test_adaptive_weighs_accuracy_against_chance(situation: Situation) -> None:
    once = Adaptive(refine=False)
    need = [situation.need_w(k) for k in range(3)]
    weak, strong = 1.01 * need[0], 1.01 * need[2]
    assert once.choose(at(situation, *[strong] * 10)) == 2
    # In one of ten the densest would be late: 90 x 0.9 is less than 85.
    assert once.choose(at(situation, strong, *[strong] * 8, weak)) == 0
    assert once.choose(at(situation, 0.0)) == 0
    assert once.choose(at(situation, 1.0, answered=0)) is None


def test_adaptive_secures_an_answer_and_then_refines(situation: Situation) -> None:
    policy = Adaptive()
    both = 1.01 * situation.need_w(0, 2)
    assert policy.choose(at(situation, *[both] * 10)) in (0, 1, 2)
    need = [situation.need_w(k) for k in range(3)]
    doubt = (1.01 * need[2], *[1.01 * need[2]] * 8, 1.01 * need[0])
    assert policy.choose(at(situation, *doubt)) == 0
    assert policy.choose(at(situation, *doubt, answered=0)) == 2
    assert policy.choose(at(situation, *doubt, answered=2)) is None
    unlikely = (0.0, 0.0, 1.01 * need[2])
    assert policy.choose(at(situation, *unlikely, answered=0)) is None


def test_oracle_asks_the_future(situation: Situation) -> None:
    assert Oracle().choose(replace(situation, foresee=lambda k: k < 2)) == 1
    assert Oracle().choose(replace(situation, foresee=lambda k: False)) is None


def test_names() -> None:
    assert policy_named("fixed:2", 3) == Fixed(1)
    assert policy_named("adaptive", 3) == Adaptive()
    assert policy_named("single", 3) == Adaptive(refine=False)
    assert not policy_named("greedy", 3).foresees
    assert policy_named("oracle", 3).foresees
    for wrong in ("fixed:4", "fixed:0", "fixed:x", "best"):
        with pytest.raises(ConfigError, match="unknown policy"):
            policy_named(wrong, 3)


def test_answer_first_is_safe_and_then_tries_what_most_is_won_by(situation: Situation) -> None:
    policy = policy_named("answer_first", 3)
    assert policy.choose(replace(situation, left_s=0.01)) == 0
    plenty = replace(situation, answered=0, outlook_w=[1.0] * 4)
    assert policy.choose(plenty) == 2
    assert policy.choose(replace(plenty, answered=2)) is None
    assert policy.choose(replace(situation, answered=0, outlook_w=[0.0] * 4)) is None
