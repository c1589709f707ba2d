"""Fronts, the reference point, hypervolumes, and which arms belong together."""

from dataclasses import replace

import pytest

from search.api.errors import ConfigError
from search.pareto import hypervolume
from search.report.family import axis_pairs, best_so_far, family_of, is_wide, values_of


def test_the_main_arm_comes_first_whatever_the_order(make):
    family = family_of([make.study("random", 10), make.study("main", 10)])
    assert [arm.name for arm in family.arms] == ["main", "random"]
    assert family_of([make.study("b", 5), make.study("a", 5)]).main.name == "b"


def test_the_front_is_feasible_sorted_and_not_dominated(family):
    for arm in family_of(family).arms:
        assert arm.front
        assert all(t.feasible for t in arm.front)
        accuracy = [values_of(t)[0] for t in arm.front]
        latency = [values_of(t)[1] for t in arm.front]
        assert accuracy == sorted(accuracy)
        assert latency == sorted(latency)


def test_the_reference_point_lies_a_tenth_beyond_the_worst_value_of_all_arms(family):
    made = family_of(family)
    first, second = zip(*(values_of(t) for arm in made.arms for t in arm.scored), strict=True)
    assert made.reference == pytest.approx(
        (
            min(first) - 0.1 * (max(first) - min(first)),
            max(second) + 0.1 * (max(second) - min(second)),
        )
    )
    assert "worst value among the completed trials of all arms" in made.reference_note
    assert f"latency_2pc = {made.reference[1]:.6g} ms" in made.reference_note


def test_every_trial_of_a_front_counts_even_at_its_ends(family):
    made = family_of(family)
    for trial in made.main.front:
        assert hypervolume([values_of(trial)], made.reference, ("max", "min")) > 0


def test_one_trial_alone_has_a_volume(make):
    made = family_of([make.one(1)])
    (value,) = values_of(made.main.scored[0])
    assert made.reference == pytest.approx((0.9 * value,))
    assert made.main.hypervolume == pytest.approx(0.1 * value)


def test_a_given_reference_counts_and_is_named(family):
    made = family_of(family, {"latency_2pc": 50.0})
    assert made.reference[1] == 50.0
    assert "latency_2pc given by the caller, else worst" in made.reference_note
    both = family_of(family, {"latency_2pc": 50.0, "accuracy": 10.0})
    assert both.reference == (10.0, 50.0)
    assert both.reference_note.endswith("(given by the caller).")


def test_the_hypervolume_is_that_of_the_front_and_never_falls(family):
    made = family_of(family)
    for arm in made.arms:
        exact = hypervolume([values_of(t) for t in arm.front], made.reference, ("max", "min"))
        assert arm.hypervolume == pytest.approx(exact)
        assert list(arm.history) == sorted(arm.history)
        assert len(arm.history) == len(arm.ended)
    assert made.volume_unit == "% × ms"


def test_arms_are_compared_after_the_same_number_of_trials(family):
    made = family_of(family)
    assert made.common_trials == 50
    assert made.volume_at(made.main, 50) == made.main.history[49]
    assert made.volume_at(made.main, 0) is None
    assert made.volume_at(made.main, 61) is None


def test_history_follows_the_order_in_which_trials_ended(make):
    study = make.study(trials=12)
    last_first = tuple(replace(t, finished=-t.number) for t in study.trials)
    arm = family_of([replace(study, trials=last_first)]).main
    assert [t.number for t in arm.ended] == list(range(11, -1, -1))


def test_running_trials_are_neither_ended_nor_scored(make):
    study = make.study(trials=3)
    running = replace(study.trials[0], status="running", outcome=None, finished=None, values=None)
    arm = family_of([replace(study, trials=(running, *study.trials[1:]))]).main
    assert [t.number for t in arm.ended] == [1, 2]
    assert 0 not in {t.number for t in arm.scored}


def test_values_that_are_not_finite_are_not_scored(make):
    study = make.study(trials=2)
    broken = replace(study.trials[0], values=(float("nan"), 1.0))
    arm = family_of([replace(study, trials=(broken, study.trials[1]))]).main
    assert [t.number for t in arm.scored] == [1]


def test_best_is_the_earliest_feasible_trial_with_the_best_value(make):
    study = make.study(trials=40)
    arm = family_of([study]).main
    assert values_of(arm.best(1))[1] == min(values_of(t)[1] for t in arm.feasible)
    steps = best_so_far(arm, 0)
    assert steps[-1] == (len(arm.ended), values_of(arm.best(0))[0])
    assert [value for _, value in steps] == sorted(value for _, value in steps)


def test_nothing_scored_gives_no_reference_and_no_volume(make):
    for study in (make.failed(), make.study(trials=0), replace(make.study(), objectives=())):
        family = family_of([study])
        assert family.reference is None
        assert family.main.hypervolume is None
        assert family.main.front == ()
        assert family.reference_note.startswith("No trial was completed")


def test_costs_go_right_and_quality_goes_up(make):
    assert axis_pairs(family_of([make.study(trials=2)])) == [(1, 0)]
    assert axis_pairs(family_of([make.three(trials=2)])) == [(1, 0), (2, 0), (1, 2)]
    assert axis_pairs(family_of([make.one(trials=2)])) == []


def test_only_wide_positive_ranges_are_logarithmic():
    assert is_wide([1.0, 100.0])
    assert not is_wide([1.0, 40.0])
    assert not is_wide([0.0, 100.0])
    assert not is_wide([])


def test_arms_that_do_not_belong_together_are_refused(make):
    with pytest.raises(ConfigError, match="report: random: arms cannot be compared: objectives"):
        family_of([make.study("main", 2), replace(make.three(2), arm="random")])
    with pytest.raises(ConfigError, match="report: main: two arms have this name"):
        family_of([make.study("main", 2), make.study("main", 2)])
    with pytest.raises(ConfigError, match="got no snapshots; expected at least one"):
        family_of([])


def test_a_reference_for_no_objective_is_refused(make):
    with pytest.raises(ConfigError, match="report: reference: 'energy' is no objective"):
        family_of([make.study(trials=2)], {"energy": 1.0})


def test_a_trial_without_values_says_so(make):
    with pytest.raises(ValueError, match="trial 0 has no objective values"):
        values_of(make.failed().trials[0])
