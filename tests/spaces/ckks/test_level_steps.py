"""Levels of a chain, and which of them a square drops with the linear map behind it."""

from spaces.ckks.level_steps import LevelStep, pairs_of

INPUT = LevelStep("other", (), 0)


def linear(*inputs: int) -> LevelStep:
    return LevelStep("linear", inputs, 1)


def square(*inputs: int) -> LevelStep:
    return LevelStep("square", inputs, 1)


def test_a_square_before_a_linear_map_drops_no_level_of_its_own() -> None:
    steps = [INPUT, linear(0), square(1), linear(2)]
    assert pairs_of(steps, "each") == (False, False, False)
    assert pairs_of(steps, "paired") == (True, False)


def test_squares_that_something_else_reads_are_rescaled_at_once() -> None:
    ends = [INPUT, linear(0), square(1)]
    assert pairs_of(ends, "paired") == (False, False)
    added = [INPUT, linear(0), square(1), linear(2), LevelStep("other", (2, 3), 0)]
    assert pairs_of(added, "paired") == (False, False, False)
    fitted = [INPUT, linear(0), square(1), LevelStep("other", (2,), 3), linear(3)]
    assert pairs_of(fitted, "paired") == (False,) * 6


def test_every_reader_of_a_pair_drops_its_level() -> None:
    """A block with a linear shortcut, whose map is done as late as can be."""
    steps = [INPUT, linear(0), square(1), linear(2), square(3), linear(4), linear(2),
             LevelStep("other", (5, 6), 0)]  # fmt: skip
    assert pairs_of(steps, "paired") == (True, True, False)


def test_steps_that_lead_nowhere_do_not_count() -> None:
    steps = [INPUT, linear(0), square(1), linear(2), linear(2), LevelStep("other", (4,), 0)]
    assert pairs_of(steps, "paired") == (True, False)
    dead = [INPUT, linear(0), square(1), square(2), linear(1), LevelStep("other", (4,), 0)]
    assert pairs_of(dead, "paired") == (False, False)


def test_no_step_takes_no_level() -> None:
    assert pairs_of([INPUT, LevelStep("other", (0,), 0)], "paired") == ()
