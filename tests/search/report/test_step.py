"""The staircase promises nothing that no trial reached."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.pareto import non_dominated
from search.report.step import step_front

goal = st.sampled_from(["min", "max"])
point = st.tuples(st.integers(0, 9).map(float), st.integers(0, 9).map(float))


@pytest.mark.parametrize(
    ("goals", "points", "line"),
    [
        (("min", "max"), [(1, 80), (2, 90), (2, 70)], [(1, 80), (2, 80), (2, 90)]),
        (("min", "min"), [(1, 9), (3, 4)], [(1, 9), (3, 9), (3, 4)]),
        (("max", "min"), [(1, 2), (3, 5)], [(1, 2), (1, 5), (3, 5)]),
        (("max", "max"), [(1, 5), (3, 2)], [(1, 5), (1, 2), (3, 2)]),
        (("min", "min"), [], []),
    ],
)
def test_worked_examples(goals, points, line):
    assert step_front(points, goals) == line


@given(st.lists(point, min_size=1, max_size=10), st.tuples(goal, goal))
def test_corners_are_reached_and_the_front_lies_on_the_line(points, goals):
    line = step_front(points, goals)
    front = {points[i] for i in non_dominated(points, goals)}
    assert front <= set(line)
    for corner in line:
        assert any(
            all(p <= c if g == "min" else p >= c for p, c, g in zip(f, corner, goals, strict=True))
            for f in front
        )
    for before, after in zip(line, line[1:], strict=False):
        assert before[0] == after[0] or before[1] == after[1]
