import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.api.candidate import Violation
from search.api.domain import (
    Choice,
    Integer,
    Ordinal,
    Param,
    Point,
    Real,
    Vector,
    active_params,
    is_active,
    sample_point,
)  # fmt: skip
from search.api.errors import InfeasibleCandidate
from search.api.known import KnownConstraint
from search.api.repair import repair


class Rules:
    """Domains and known rules, counting how often they are asked."""

    def __init__(self, params: Sequence[Param], *texts: str) -> None:
        self.params = params
        self.rules = [KnownConstraint.parse(text, params) for text in texts]
        self.calls = 0

    def __call__(self, point: Point) -> Sequence[Violation]:
        self.calls += 1
        wrong = [p.name for p in active_params(self.params, point)
                 if p.name not in point or not p.domain.contains(point[p.name])]  # fmt: skip
        wrong += [p.name for p in self.params if p.name in point and not is_active(p, point)]
        if wrong:
            return [Violation("domain", name, 1.0, "1") for name in wrong]
        return [v for rule in self.rules if (v := rule.violation(point)) is not None]


MASK = (Param("mask", Vector(Choice((0, 1)), 64)),)


def test_a_legal_point_comes_back_unchanged() -> None:
    point = {"mask": (1,) * 20 + (0,) * 44, "foreign": 3}
    assert repair(point, MASK, Rules(MASK, "sum(mask) <= 20"), random.Random(0)) == point


def test_as_few_entries_change_as_the_rule_needs() -> None:
    point = {"mask": (1,) * 60 + (0,) * 4}
    legal = repair(point, MASK, Rules(MASK, "sum(mask) <= 20"), random.Random(0))
    assert sum(legal["mask"]) == 20
    assert legal["mask"][60:] == (0,) * 4


def test_equality_is_met_from_both_sides() -> None:
    for ones in (0, 10, 60):
        point = {"mask": (1,) * ones + (0,) * (64 - ones)}
        legal = repair(point, MASK, Rules(MASK, "sum(mask) == 20"), random.Random(0))
        assert sum(legal["mask"]) == 20
        assert sum(a != b for a, b in zip(legal["mask"], point["mask"], strict=True)) == abs(
            20 - ones
        )


def test_long_vectors_cost_few_checks() -> None:
    params = (Param("mask", Vector(Choice((0, 1)), 5_000)),)
    rules = Rules(params, "sum(mask) <= 777")
    legal = repair({"mask": (1,) * 5_000}, params, rules, random.Random(0))
    assert sum(legal["mask"]) == 777
    assert rules.calls < 100


def test_a_real_number_moves_no_further_than_needed() -> None:
    params = (Param("x", Real(0.0, 8.0)), Param("n", Integer(4, 4)))
    legal = repair({"x": 8.0, "n": 4}, params, Rules(params, "n * x <= 4"), random.Random(0))
    assert legal["x"] == pytest.approx(1.0, abs=1e-3)


def test_a_rule_on_one_entry_changes_that_entry_alone() -> None:
    def check(point: Point) -> Sequence[Violation]:
        return [Violation("third", "must be 0", 1.0, "1")] if point["mask"][3] else []  # type: ignore[index]

    legal = repair({"mask": (1,) * 64}, MASK, check, random.Random(1))
    assert legal["mask"] == (1,) * 3 + (0,) + (1,) * 60


@pytest.mark.parametrize(
    ("value", "domain", "expected"),
    [
        (11.0, Real(0.0, 10.0), 10.0),
        (-1, Real(0.0, 10.0), 0.0),
        (6, Integer(1, 9, 2), (5, 7)),
        (99, Integer(1, 9, 2), 9),
        (13, Ordinal((4, 8, 16)), 16),
        ("z", Choice(("a",)), "a"),
        ((7, 0, 1), Vector(Choice((0, 1)), 2), (1, 0)),
        ((1,), Vector(Integer(1, 1), 3), (1, 1, 1)),
        (1, Vector(Integer(1, 1), 2), (1, 1)),
        ((1.0,), Real(2.0, 2.0), 2.0),
        (float("nan"), Real(2.0, 2.0), 2.0),
        (None, Real(2.0, 2.0), 2.0),
    ],
)
def test_values_go_to_the_nearest_legal_one(
    value: object, domain: object, expected: object
) -> None:
    params = (Param("p", domain),)  # type: ignore[arg-type]
    found = repair({"p": value}, params, Rules(params), random.Random(0))["p"]  # type: ignore[dict-item]
    assert (
        found in expected
        if isinstance(domain, Integer) and isinstance(expected, tuple)
        else (found == expected)
    )


def test_conditional_parameters_follow() -> None:
    params = (
        Param("act", Choice(("relu", "x2act"))),
        Param("scale", Real(0.0, 1.0), when={"act": ("x2act",)}),
        Param("n", Integer(0, 9)),
    )
    assert "scale" not in repair({"act": "relu", "scale": 0.5, "n": 1}, params, Rules(params),
                                 random.Random(0))  # fmt: skip

    rules = Rules(params, "n >= 5", "scale <= 0.1")
    legal = repair({"act": "x2act", "scale": 0.9, "n": 1}, params, rules, random.Random(0))
    assert not rules(legal)


def test_no_legal_point_raises_with_what_is_broken_and_within_bounds() -> None:
    rules = Rules(MASK, "sum(mask) <= 20", "sum(mask) >= 30")
    with pytest.raises(InfeasibleCandidate, match="sum"):
        repair({"mask": (1,) * 64}, MASK, rules, random.Random(0), max_checks=500)
    assert rules.calls <= 520


PARAMS = (
    Param("x", Real(0.1, 10.0, log=True)),
    Param("n", Integer(1, 9, 2)),
    Param("bits", Ordinal((4, 8, 16))),
    Param("act", Choice(("relu", "x2act", "identity"))),
    Param("mask", Vector(Choice((0, 1)), 24)),
    Param("levels", Vector(Integer(0, 6), 5)),
    Param("scale", Real(0.0, 1.0), when={"act": ("x2act",)}),
)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 24), st.integers(0, 30), st.floats(0.5, 60.0))
def test_repaired_points_are_legal(seed: int, ones: int, total: int, product: float) -> None:
    texts = (f"sum(mask) <= {ones}", f"sum(levels) >= {total}", f"n * x <= {product}")
    rules = Rules(PARAMS, *texts, "bits + 4 * n <= 32", "scale <= 0.5")
    rng = random.Random(seed)
    point = sample_point(PARAMS, rng)
    legal = repair(point, PARAMS, rules, random.Random(seed))
    assert not rules(legal)
    assert legal == repair(point, PARAMS, rules, random.Random(seed))
