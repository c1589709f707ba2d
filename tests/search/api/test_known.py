import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.api.domain import Choice, Integer, Ordinal, Param, Real, Vector
from search.api.errors import ConfigError
from search.api.known import KnownConstraint

PARAMS = (
    Param("n", Integer(1, 8)),
    Param("x", Real(-10.0, 10.0)),
    Param("bits", Ordinal((4, 8))),
    Param("flag", Choice((True, False))),
    Param("act", Choice(("relu", "x2act"))),
    Param("mask", Vector(Choice((0, 1)), 4)),
    Param("mixed", Vector(Choice((True, 1, 2)), 4)),
    Param("activation", Vector(Choice(("relu", "x2act")), 4)),
    Param("weights", Vector(Real(0.0, 1.0), 3)),
    Param("maybe", Real(0.0, 1.0), when={"act": ("x2act",)}),
)
POINT = {
    "n": 3,
    "x": -2.5,
    "bits": 8,
    "flag": True,
    "act": "relu",
    "mask": (1, 0, 1, 1),
    "mixed": (True, 1, 1, 2),
    "activation": ("relu", "x2act", "relu", "relu"),
    "weights": (0.5, 0.25, 1.0),
}


@pytest.mark.parametrize(
    ("text", "excess"),
    [
        ("n <= 2", 1.0),
        ("n <= 4", -1.0),
        ("n >= 4", 1.0),
        ("4 >= n", -1.0),
        ("n == 3", 0.0),
        ("n == 5", 2.0),
        ("n * x <= 4", -11.5),
        ("n + 2 * bits - x / 2 <= 0", 20.25),
        ("-x <= 2", 0.5),
        ("+n <= (1 + 1)", 1.0),
        ("abs(x) <= 2", 0.5),
        ("flag <= 0", 1.0),
        ("sum(mask) <= 2", 1.0),
        ("sum(mask) <= 20", -17.0),
        ("sum(weights) <= 1", 0.75),
        ("sum(n, x, 1) <= 0", 1.5),
        ("min(weights) >= 0.5", 0.25),
        ("max(weights) <= 0.5", 0.5),
        ("max(n, bits) <= 4", 4.0),
        ("len(mask) <= 3", 1.0),
        ("sum(mask) / len(mask) <= 0.5", 0.25),
        ("count(activation, relu) <= 2", 1.0),
        ("count(activation, 'x2act') >= 2", 1.0),
        ("count(mask, 1) == 3", 0.0),
        ("count(mixed, 1) <= 0", 2.0),
        ("count(mixed, True) <= 0", 1.0),
        ("maybe <= 0.5", 0.0),
        ("maybe + n <= 0.5", 0.0),
    ],
)
def test_excess(text: str, excess: float) -> None:
    assert KnownConstraint.parse(text, PARAMS).excess(POINT) == pytest.approx(excess)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("n", "expected one comparison"),
        ("1 <= n <= 3", "expected one comparison"),
        ("n < 3", "a comparison is one of <=, >=, =="),
        ("n != 3", "a comparison is one of"),
        ("n <= 3 and x <= 1", "expected one comparison"),
        ("n <=", "cannot be read"),
        ("(" * 400 + "n" + ")" * 50, "cannot be read"),
        ("n + " * 200 + "n <= 3", "too long"),
        ("1 <= 2", "names no parameter"),
        ("m <= 2", r"unknown parameter 'm' \(known: n, x,"),
        ("bit <= 2", "Did you mean 'bits'"),
        ("n ** 2 <= 3", "this operation is not allowed"),
        ("n % 2 <= 3", "this operation is not allowed"),
        ("n // 2 <= 3", "this operation is not allowed"),
        ("x / n <= 3", "division is by a number other than 0 only"),
        ("x / 0 <= 3", "division is by a number other than 0 only"),
        ("x / (1 - 1) <= 3", "division is by a number other than 0 only"),
        ("n.real <= 3", "is not allowed"),
        ("mask[0] <= 3", "is not allowed"),
        ("[n] <= 3", "is not allowed"),
        ("(lambda: n)() <= 3", "unknown function"),
        ("__import__('os') <= 3", "unknown function '__import__'"),
        ("n.__class__() <= 3", "unknown function"),
        ("summ(mask) <= 3", "Did you mean 'sum'"),
        ("sum(*mask) <= 3", "plain arguments only"),
        ("max(mask, key=1) <= 3", "plain arguments only"),
        ("sum() <= 3", "needs a vector or several numbers"),
        ("sum(n) <= 3", "sum.n.: n is not a vector"),
        ("sum(n + 1) <= 3", "expected the name of a vector"),
        ("sum(activation) <= 3", "its entries are texts. Use count"),
        ("mask <= 3", "mask is a vector; use sum, count"),
        ("act <= 3", "act is not a number"),
        ("abs(n, x) <= 3", r"abs takes 1 argument \(got 2\)"),
        ("count(mask) <= 3", r"count takes 2 arguments \(got 1\)"),
        ("count(activation, rleu) <= 3", "entries of activation never have the value 'rleu'"),
        ("count(mask, 2) <= 3", "never have the value 2"),
        ("count(mask, n + 1) <= 3", "expected a plain value"),
        ("n <= 'a'", "expected a number"),
        ("n <= True", "expected a number"),
        ("n <= 1" + "0" * 400, "a number is too large"),
        ("n <= 1e999", "a number is too large"),
    ],
)
def test_anything_else_is_refused_with_a_reason(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        KnownConstraint.parse(text, PARAMS, "space.known[0]")
    assert caught.value.path == "space.known[0]"


def test_a_rule_is_text() -> None:
    with pytest.raises(ConfigError, match="expected a rule as text"):
        KnownConstraint.parse(3, PARAMS)  # type: ignore[arg-type]


def test_violation_carries_the_rule() -> None:
    rule = KnownConstraint.parse(" n <= 2 ", PARAMS)
    violation = rule.violation(POINT)
    assert violation is not None
    assert (violation.rule, violation.excess, violation.unit) == ("n <= 2", 1.0, "1")
    assert rule.violation({**POINT, "n": 2}) is None


def test_products_of_reals_meet_within_rounding() -> None:
    rule = KnownConstraint.parse("x * 3 == 0.3", PARAMS)
    assert 0.1 * 3 != 0.3
    assert rule.violation({"x": 0.1}) is None


def test_overflow_is_a_finite_excess() -> None:
    params = [Param("x", Real(0.0, 1e300))]
    assert 0 < KnownConstraint.parse("x * x <= 1", params).excess({"x": 1e300}) < float("inf")
    assert KnownConstraint.parse("x * x - x * x <= 1", params).excess({"x": 1e300}) > 0


def test_it_names_its_parameters_and_crosses_processes() -> None:
    rule = KnownConstraint.parse("count(activation, relu) + n <= 2", PARAMS)
    assert rule.names == {"activation", "n"}
    assert pickle.loads(pickle.dumps(rule)).excess(POINT) == rule.excess(POINT) == 4.0
    assert pickle.loads(pickle.dumps(rule)) == rule


@given(st.text(max_size=60))
def test_no_text_does_more_than_raise_a_configuration_error(text: str) -> None:
    try:
        rule = KnownConstraint.parse(text, PARAMS)
    except ConfigError:
        return
    assert isinstance(rule.excess(POINT), float)


@given(st.tuples(*[st.sampled_from([0, 1])] * 4), st.integers(0, 4))
def test_sum_and_count_agree(mask: tuple[int, ...], bound: int) -> None:
    a = KnownConstraint.parse(f"sum(mask) <= {bound}", PARAMS)
    b = KnownConstraint.parse(f"count(mask, 1) <= {bound}", PARAMS)
    assert a.excess({"mask": mask}) == b.excess({"mask": mask}) == sum(mask) - bound
