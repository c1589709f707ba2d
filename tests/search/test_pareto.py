"""Front and hypervolume against moocore, by properties, and at the edges."""

import moocore
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from search.pareto import hypervolume, hypervolume_history, non_dominated

# A coarse grid makes ties and copies common; odd steps keep sums inexact.
grid = st.integers(-4, 4).map(lambda i: i * 0.3)


@st.composite
def problems(draw, least=1):
    m = draw(st.integers(least, 4))
    n = draw(st.integers(0, 12))
    values = draw(hnp.arrays(np.float64, (n, m), elements=grid))
    goals = draw(st.lists(st.sampled_from(["min", "max"]), min_size=m, max_size=m))
    reference = draw(st.lists(grid, min_size=m, max_size=m))
    return values, goals, reference


def signs(goals):
    return np.array([1.0 if goal == "min" else -1.0 for goal in goals])


def dominates(a, b):
    return bool((a <= b).all() and (a < b).any())


@given(problems())
def test_front_is_what_the_definition_says(problem):
    values, goals, _ = problem
    points = values * signs(goals)
    expected = [
        i for i in range(len(points)) if not any(dominates(other, points[i]) for other in points)
    ]
    assert non_dominated(values, goals) == expected


@given(problems(least=2))
def test_hypervolume_matches_moocore(problem):
    values, goals, reference = problem
    if not len(values):
        assert hypervolume(values, reference, goals) == 0.0
        return
    flip = signs(goals)
    expected = moocore.hypervolume(values * flip, ref=np.array(reference) * flip)
    assert hypervolume(values, reference, goals) == pytest.approx(expected, abs=1e-9)


@given(problems())
def test_history_is_the_hypervolume_of_every_prefix_and_never_falls(problem):
    values, goals, reference = problem
    history = hypervolume_history(values, reference, goals)
    prefixes = [hypervolume(values[: k + 1], reference, goals) for k in range(len(values))]
    assert history == pytest.approx(prefixes, abs=1e-9)
    assert history == sorted(history)


@given(problems(), st.randoms(use_true_random=False))
def test_order_and_dominated_points_do_not_matter(problem, rng):
    values, goals, reference = problem
    shuffled = list(values)
    rng.shuffle(shuffled)
    front = [values[i] for i in non_dominated(values, goals)]
    whole = hypervolume(values, reference, goals)
    assert hypervolume(shuffled, reference, goals) == pytest.approx(whole, abs=1e-9)
    assert hypervolume(front, reference, goals) == pytest.approx(whole, abs=1e-9)


@pytest.mark.parametrize("objectives", [3, 4, 5, 6])
def test_large_fronts_match_moocore(objectives):
    rng = np.random.default_rng(objectives)
    values = rng.normal(size=(60, objectives))
    values /= -np.linalg.norm(values, axis=1, keepdims=True)
    reference = [1.0] * objectives
    assert hypervolume(values, reference, ["min"] * objectives) == pytest.approx(
        moocore.hypervolume(values, ref=reference), rel=1e-10
    )


@settings(max_examples=30)
@given(st.integers(2, 5), st.integers(0, 2**32 - 1))
def test_large_front_filter_matches_moocore(objectives, seed):
    values = np.random.default_rng(seed).integers(0, 12, size=(200, objectives)).astype(float)
    expected = np.flatnonzero(moocore.is_nondominated(values, keep_weakly=True))
    assert non_dominated(values, ["min"] * objectives) == list(expected)


def test_a_worked_example_with_mixed_goals():
    values = [(90.0, 10.0), (80.0, 4.0), (85.0, 12.0), (70.0, 4.0)]
    assert non_dominated(values, ("max", "min")) == [0, 1]
    # 30 x 10 below the first point's accuracy, plus 20 x 6 only the second reaches.
    assert hypervolume(values, (60.0, 20.0), ("max", "min")) == 30 * 10 + 20 * 6
    history = hypervolume_history(values, (60.0, 20.0), ("max", "min"))
    assert history == [300.0, 420.0, 420.0, 420.0]


def test_all_copies_of_a_front_point_are_kept():
    assert non_dominated([(1, 2), (2, 1), (1, 2), (3, 3)], ["min", "min"]) == [0, 1, 2]
    assert non_dominated([(0.0, 1.0), (-0.0, 1.0)], ["min", "min"]) == [0, 1]


def test_points_at_or_behind_the_reference_add_nothing():
    assert hypervolume([(1.0, 0.0), (2.0, -5.0)], (1.0, 1.0), ["min", "min"]) == 0.0
    assert hypervolume_history([(1.0, 0.0)], (1.0, 1.0), ["min", "min"]) == [0.0]


def test_nothing_in_nothing_out():
    assert non_dominated([], ["min"]) == []
    assert hypervolume([], [0.0, 0.0], ["min", "max"]) == 0.0
    assert hypervolume_history([], [0.0, 0.0], ["min", "max"]) == []


@pytest.mark.parametrize(
    ("values", "goals", "message"),
    [
        ([(1, 2)], ["min"], r"values: expected shape \[n, 1\] \(got \[1, 2\]\)"),
        ([1, 2], ["min", "min"], r"values: expected shape \[n, 2\] \(got \[2\]\)"),
        ([(1, 2)], ["min", "low"], r"goals: expected 'min' or 'max' per objective"),
        ([(1, float("nan"))], ["min", "min"], r"values: expected finite numbers"),
        ([(1, float("inf"))], ["min", "min"], r"values: expected finite numbers"),
        ([], [], r"goals: expected"),
    ],
)
def test_wrong_input_is_refused(values, goals, message):
    with pytest.raises(ValueError, match=message):
        non_dominated(values, goals)


def test_a_reference_of_the_wrong_length_is_refused():
    with pytest.raises(ValueError, match=r"expected shape \[n, 2\] \(got \[1, 3\]\)"):
        hypervolume([(1, 2)], (1, 2, 3), ["min", "min"])


def test_the_history_of_many_trials_ends_at_the_volume_of_all():
    values = np.random.default_rng(0).random((500, 3))
    goals, reference = ["min", "max", "min"], [1.0, 0.0, 1.0]
    history = hypervolume_history(values, reference, goals)
    front = values[non_dominated(values, goals)]
    assert (np.diff(history) >= 0).all()
    assert history[-1] == pytest.approx(hypervolume(front, reference, goals))
