"""Plans read from plain data."""

from dataclasses import replace

import pytest

from search.report.plan import (
    choices_of,
    is_original,
    kept_of,
    layers_of,
    operators_along,
    plan_summary,
    searched,
)


def with_candidate(trial, candidate):
    return replace(trial, outcome=replace(trial.outcome, candidate=candidate))


def test_choices_replace_operators_in_execution_order(make):
    trial = make.study(trials=1).trials[0]
    along = operators_along(trial, make.SITES)
    assert len(along) == len(make.SITES)
    assert along[0] == "conv"
    chosen = choices_of(trial)
    assert along[1] == chosen["stem.act"]
    assert along[2] == chosen["stem.pool"] in ("avg", "max")
    assert len(chosen) == 10
    assert searched(make.SITES, [trial]) == set(chosen)
    assert sum(int(part.split(" × ")[0]) for part in plan_summary(trial).split(" + ")) == 10


@pytest.mark.parametrize(
    "candidate",
    [
        None, {}, {"payload": None}, {"payload": [1]}, {"payload": {"choices": "relu"}},
        {"payload": {"choices": [1, {"site": 3, "operator": "relu"}, {"site": "a"}]}},
    ],
)  # fmt: skip
def test_other_payloads_have_no_plan(make, candidate):
    trial = with_candidate(make.study(trials=1).trials[0], candidate)
    assert choices_of(trial) == {}
    assert plan_summary(trial) == ""


def test_a_trial_without_outcome_has_no_plan(make):
    assert choices_of(replace(make.study(trials=1).trials[0], outcome=None)) == {}


def test_a_choice_equal_to_the_original_is_no_change(make):
    pool = next(s for s in make.SITES if s.operator == "maxpool")
    assert is_original("max", pool)
    assert is_original("maxpool", pool)
    assert not is_original("avg", pool)


def masked(make, kept=7):
    entry = {"site": "stem.act", "operator": "relu/poly2", "kept": kept}
    candidate = {"payload": {"choices": [entry, {"site": "b", "operator": "relu", "kept": None}]}}
    return with_candidate(make.study(trials=1).trials[0], candidate)


def test_what_masks_keep_is_read_and_summed(make):
    assert kept_of(masked(make)) == {"stem.act": 7}
    assert plan_summary(masked(make)) == "1 × relu/poly2 + 1 × relu, masks keep 7"
    assert kept_of(make.study(trials=1).trials[0]) == {}


def test_a_pruning_plan_says_what_each_layer_keeps(make):
    layers = [
        {"site": "conv1", "structure": "filter", "kept": 5, "units": 20},
        {"site": "fc1", "structure": "element", "kept": 9, "units": 1000},
        {"site": "fc2", "unit": "block", "kept": 1, "units": 2},
        {"site": "fc3", "structure": "element", "kept": 1, "units": 0},
        7,
    ]
    trial = with_candidate(make.study(trials=1).trials[0], {"payload": {"layers": layers}})
    assert layers_of(trial) == [("conv1", "filter", 0.25), ("fc1", "element", 0.009)]
    assert plan_summary(trial) == "conv1: 25 % (filter), fc1: 0.9 % (element)"
