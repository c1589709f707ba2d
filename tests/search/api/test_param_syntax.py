import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from search.api.domain import Choice, Integer, Ordinal, Param, Real, Vector
from search.api.errors import ConfigError
from search.api.param_syntax import param_to_data, parse_param, parse_params

FORMS = [
    ({"real": [0, 1], "log": False, "unit": "ms"}, Param("p", Real(0.0, 1.0), "ms")),
    ({"real": [0.1, 1], "log": True}, Param("p", Real(0.1, 1.0, log=True))),
    ({"integer": [1, 8]}, Param("p", Integer(1, 8))),
    ({"integer": [1, 9], "step": 2}, Param("p", Integer(1, 9, 2))),
    ({"integer": [1, 9], "log": True}, Param("p", Integer(1, 9, log=True))),
    ({"ordinal": [4, 8, 16]}, Param("p", Ordinal((4, 8, 16)))),
    ({"choice": ["a", True, 1.5]}, Param("p", Choice(("a", True, 1.5)))),
    ({"vector": {"choice": [0, 1]}, "length": 64}, Param("p", Vector(Choice((0, 1)), 64))),
    (
        {"vector": {"integer": [0, 8], "step": 4}, "length": 2, "doc": "d"},
        Param("p", Vector(Integer(0, 8, 4), 2), doc="d"),
    ),
    ({"real": [0, 1], "when": {"a": ["x"]}}, Param("p", Real(0.0, 1.0), when={"a": ("x",)})),
    ({"real": [0, 1], "when": {"a": "x"}}, Param("p", Real(0.0, 1.0), when={"a": ("x",)})),
]


@pytest.mark.parametrize(("data", "param"), FORMS)
def test_forms(data: dict[str, object], param: Param) -> None:
    assert parse_param("p", data, "space.params.p") == param


@pytest.mark.parametrize(("data", "param"), FORMS)
def test_inverse_survives_yaml(data: dict[str, object], param: Param) -> None:
    text = yaml.safe_dump(param_to_data(param))
    assert parse_param("p", yaml.safe_load(text), "p") == param


SCALARS = st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
OPTIONS = st.lists(SCALARS, min_size=1, max_size=4, unique_by=lambda o: (type(o).__name__, o))


@given(OPTIONS, st.integers(1, 9), st.text(max_size=5))
def test_inverse_for_any_options(options: list[object], length: int, doc: str) -> None:
    for domain in (Choice(tuple(options)), Vector(Ordinal(tuple(options)), length)):
        param = Param("p", domain, doc=doc)
        assert parse_param("p", param_to_data(param), "p") == param


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (3, r"^s\.p: expected a mapping such as \{real: \[0, 1\]\} \(got 3\)"),
        ({}, r"^s\.p: no domain \(got keys none; expected one of real, integer"),
        ({"interger": [1, 2]}, "Did you mean 'integer'"),
        ({"real": [0, 1], "choice": [1]}, "one kind of domain only"),
        ({"real": [0, 1], "step": 1}, r"unknown key 'step' \(known: real, log, unit, when, doc\)"),
        ({"real": [0, 1], "lgo": True}, "Did you mean 'log'"),
        ({"real": [1, 0]}, r"^s\.p\.real: low must not exceed high"),
        ({"real": [0, 1], "log": True}, "a log scale needs low > 0"),
        ({"real": [0, 1], "log": 1}, r"^s\.p\.log: expected true or false"),
        ({"real": [0]}, r"expected \[low, high\]"),
        ({"real": ["1e-4", 1]}, r"Write 1\.0e-4, not 1e-4"),
        ({"real": ["a", 1]}, r"expected a number \(got 'a'\)$"),
        ({"real": [0, float("inf")]}, "bounds must be finite"),
        ({"integer": [1, 2.5]}, "expected an integer"),
        ({"integer": [1, 2], "step": 0}, "step must be at least 1"),
        ({"integer": [True, 2]}, "expected an integer"),
        ({"choice": []}, "expected a list of options"),
        ({"choice": "ab"}, "expected a list of options"),
        ({"choice": [1, None]}, r"^s\.p\.choice\[1\]: expected a number, text or bool"),
        ({"choice": [1, 1]}, "options must differ"),
        ({"vector": {"choice": [0, 1]}}, "key 'length' is missing"),
        ({"vector": {"choice": [0, 1]}, "length": 0}, "length must be at least 1"),
        ({"vector": [0, 1], "length": 2}, r"^s\.p\.vector: expected a mapping"),
        ({"vector": {"vector": {"choice": [0]}, "length": 1}, "length": 1}, "vector of vectors"),
        ({"vector": {"choice": [0], "unit": "ms"}, "length": 1}, "unknown key 'unit'"),
        ({"real": [0, 1], "unit": 3}, r"^s\.p\.unit: expected text"),
        ({"real": [0, 1], "when": ["a"]}, r"^s\.p\.when: expected a mapping"),
    ],
)
def test_errors_say_where_and_what(data: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_param("p", data, "s.p")


def test_a_name_is_text() -> None:
    with pytest.raises(ConfigError, match="name is text"):
        parse_params({1: {"real": [0, 1]}}, "s")


@pytest.mark.parametrize(
    ("when", "message"),
    [
        ({"later": [1]}, r"^s\.b\.when\.later: unknown parameter 'later' \(earlier ones: a, v\)"),
        ({"a": ["z"]}, "a never has the value 'z'"),
        ({"v": [0]}, "a condition on a vector"),
        ({"b": [0.5]}, "earlier parameters only"),
    ],
)
def test_conditions_must_be_decidable(when: dict[str, object], message: str) -> None:
    data = {
        "a": {"choice": ["x", "y"]},
        "v": {"vector": {"choice": [0, 1]}, "length": 2},
        "b": {"real": [0, 1], "when": when},
        "later": {"integer": [1, 2]},
    }
    with pytest.raises(ConfigError, match=message):
        parse_params(data, "s")


def test_all_parameters_keep_their_order() -> None:
    data = {"b": {"real": [0, 1]}, "a": {"real": [0, 1], "when": {"b": [0.5]}}}
    assert [p.name for p in parse_params(data, "s")] == ["b", "a"]
    with pytest.raises(ConfigError, match="at least one"):
        parse_params({}, "s")
