"""Importance finds what matters and does not sell noise."""

import random
import warnings
from dataclasses import replace

import pytest

from search.api.domain import Choice, Integer, Ordinal, Param, Real, Vector
from search.api.trial import Outcome
from search.report.family import family_of
from search.report.importance import MIN_TRIALS, importance_of


def a_law(make, params, law, trials=120, seed=1):
    """A study whose accuracy follows ``law`` of the point, without noise."""
    rng = random.Random(seed)
    study = make.study(trials=trials)
    made = []
    for t in study.trials:
        point = {p.name: p.domain.sample(rng) for p in params}
        made.append(replace(t, point=point, status="complete", values=(law(point),),
                            outcome=Outcome(t.number, "complete")))  # fmt: skip
    return family_of(
        [replace(study, params=params, trials=tuple(made), objectives=study.objectives[:1])]
    ).main


def test_the_parameter_that_rules_stands_out_and_the_others_do_not(make):
    params = (
        Param("rules", Real(0.0, 1.0)), Param("idle", Real(1e-3, 1.0, log=True)),
        Param("depth", Integer(1, 8)), Param("width", Ordinal((8, 16, 32))),
    )  # fmt: skip
    arm = a_law(make, params, lambda point: 90 * point["rules"])
    (found,) = importance_of(arm)
    assert next(iter(found.shares)) == "rules"
    assert found.shares["rules"] > found.chance
    assert all(v <= found.chance for name, v in found.shares.items() if name != "rules")
    assert sum(found.shares.values()) == pytest.approx(100)
    assert (found.trials, found.best, found.note) == (120, 12, "")


def test_entries_of_a_vector_are_told_apart(make):
    params = (Param("plan", Vector(Choice(("x2act", "relu")), 6)),)
    arm = a_law(make, params, lambda point: float(point["plan"][2] == "relu") + 1e-6)
    (found,) = importance_of(arm)
    assert next(iter(found.shares)) == "plan[2]"


def test_it_is_repeatable_and_silent(make, capfd):
    arm = family_of([make.study(trials=60)]).main
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first, second = importance_of(arm), importance_of(arm)
    assert first == second
    assert [i.objective for i in first] == ["accuracy", "latency_2pc"]
    assert capfd.readouterr() == ("", "")


def test_conditional_parameters_may_be_absent(make):
    params = (
        Param("kind", Choice(("a", "b"))), Param("only_a", Real(0, 1), when={"kind": ("a",)}),
    )  # fmt: skip
    arm = a_law(make, params, lambda point: float(point["kind"] == "a") + 0.5)
    trials = tuple(
        replace(t, point={k: v for k, v in t.point.items() if k == "kind"})
        if t.point["kind"] == "b" else t
        for t in arm.snapshot.trials
    )  # fmt: skip
    (found,) = importance_of(family_of([replace(arm.snapshot, trials=trials)]).main)
    assert set(found.shares) == {"kind", "only_a"}


def test_too_few_trials_are_not_analysed(make):
    arm = family_of([make.study(trials=10)]).main
    for found in importance_of(arm):
        assert not found.shares
        assert f"at least {MIN_TRIALS} are needed" in found.note


def test_what_cannot_be_analysed_says_why(make):
    one = (Param("only", Choice(("a",))),)
    long = (Param("mask", Vector(Choice(("a", "b")), 5000)),)
    assert "no parameter" in importance_of(a_law(make, one, lambda p: 1.0))[0].note
    assert "mask (5000 entries)" in importance_of(a_law(make, long, lambda p: 1.0, 30))[0].note
    flat = a_law(make, (Param("x", Real(0, 1)),), lambda p: 1.0)
    assert importance_of(flat)[0].note == "All trials have the same value."


def test_large_studies_are_sampled_and_say_so(make):
    params = tuple(Param(f"p{i}", Real(0, 1)) for i in range(50))
    (found,) = importance_of(a_law(make, params, lambda point: point["p3"], trials=300))
    assert found.trials == 200
    assert "200 trials drawn at random" in found.note
    assert next(iter(found.shares)) == "p3"
