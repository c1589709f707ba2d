"""Styles that tell things apart."""

import itertools

from search.report.palette import ARM_COLOURS, arm_style, ink_on, operator_styles


def test_six_arms_differ_in_colour_and_in_symbol():
    styles = [arm_style(i) for i in range(6)]
    for part in range(3):
        assert len({s[part] for s in styles}) == 6
    assert arm_style(6) == arm_style(0)


def test_unknown_operators_get_colours_of_their_own():
    styles = operator_styles(["relu", "sigmoid", "gelu", "relu", "verylongname"])
    assert list(styles) == ["relu", "sigmoid", "gelu", "verylongname"]
    assert styles["verylongname"][1] == "verylo"
    for a, b in itertools.combinations(styles.values(), 2):
        assert a[0] != b[0]


def test_ink_is_readable():
    assert ink_on("#FFFFFF") == "#102A43"
    assert ink_on("#000000") == "#FFFFFF"
    assert {ink_on(c) for c in ARM_COLOURS} <= {"#102A43", "#FFFFFF"}
