from typing import Any

import pytest

from search.api.domain import Real
from search.api.errors import ConfigError
from spaces.pruning.options import (
    PruningRatioConfig,
    alternatives,
    by_site,
    level_choices,
    matching,
    rho_of,
    rounds_of,
)

NAMES = ("conv1", "conv2", "fc1")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("element", {n: (("element",),) for n in NAMES}),
        (["column", "filter"], {n: (("filter", "column"),) for n in NAMES}),
        (
            {"search": ["element", "filter+column"]},
            {n: (("element",), ("filter", "column")) for n in NAMES},
        ),
        (
            {"conv*": "filter", "conv2": {"search": ["nm", "pattern"]}},
            {"conv1": (("filter",),), "conv2": (("nm",), ("pattern",)), "fc1": ()},
        ),
    ],
)
def test_forms_of_structure(data: Any, expected: Any) -> None:
    assert alternatives(data, NAMES)[0] == expected


def test_layers_named_in_full_are_known() -> None:
    assert alternatives({"conv*": "filter", "fc1": "element"}, NAMES)[1] == {"fc1"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("rows", r"space\.structure: unknown structure 'rows'"),
        ({"search": []}, r"space\.structure\.search: at least one"),
        ({"search": ["element", "element"]}, "alternatives must differ"),
        ({"search": "element"}, r"expected \{search: \[...\]\}"),
        ({"conv9": "filter"}, r"space\.structure: no layer is called 'conv9' \(layers: conv1, "),
        ({"conv1": 3}, r"space\.structure\.conv1: expected a structure or a list"),
        ({"conv1": {"choose": ["nm"]}}, r"space\.structure\.conv1: expected \{search"),
    ],
)
def test_wrong_structures_say_where(data: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        alternatives(data, NAMES)


def test_names_come_before_globs_and_first_globs_before_later_ones() -> None:
    assert by_site({"*": 1, "conv*": 2, "conv2": 3}, NAMES, "p") == {
        "conv1": 1, "conv2": 3, "fc1": 1
    }  # fmt: skip
    assert matching(["conv*"], NAMES, "p") == {"conv1", "conv2"}
    with pytest.raises(ConfigError, match="p: no layer is called 'x'"):
        matching(["x"], NAMES, "p")


def test_levels() -> None:
    assert level_choices(None, None) == ((), ())
    assert level_choices(4, None) == ((4,), ("equal",))
    assert level_choices((8, 2), "power_of_two") == ((2, 8), ("power_of_two",))
    assert level_choices(None, ("ternary", "binary")) == ((1,), ("ternary", "binary"))


@pytest.mark.parametrize(
    ("bits", "levels", "message"),
    [
        (None, "equal", r"space\.bits: levels equal need bits"),
        ((4, 4), None, r"space\.bits: entries must differ"),
        (4, ("equal", "equal"), r"space\.levels: entries must differ"),
        (8, "power_of_two", r"space\.bits: power_of_two has at most 6 bits \(got 8\)"),
    ],
)
def test_levels_that_cannot_be(bits: Any, levels: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        level_choices(bits, levels)


def test_rounds_and_penalties() -> None:
    assert rounds_of(3) == (3, 3)
    assert rounds_of((1, 4)) == (1, 4)
    assert rho_of(1e-3, "rho_first") == 1e-3
    assert rho_of([1e-4, 1e-2], "rho_first") == Real(1e-4, 1e-2, log=True)
    assert rho_of({"real": [0.1, 1.0]}, "rho_last") == Real(0.1, 1.0)


@pytest.mark.parametrize("given", [0, -1.0, True, "1", [1.0], [2.0, 1.0], {"real": [0, 1]},
                                   {"choice": [1, 2]}])  # fmt: skip
def test_penalties_that_cannot_be(given: Any) -> None:
    with pytest.raises(ConfigError, match=r"space\.rho_last: expected a number above 0"):
        rho_of(given, "rho_last")


@pytest.mark.parametrize("given", [0, (2, 1), (0, 3)])
def test_rounds_that_cannot_be(given: Any) -> None:
    with pytest.raises(ConfigError, match=r"space\.rounds"):
        rounds_of(given)


@pytest.mark.parametrize(
    "options", [{"low": 0}, {"ratio": 0.5}, {"spend": 2}, {"fixed": {"conv1": 0.0}},
                {"bits": 17}, {"levels": "linear"}, {"unknown": 1}, {"granularity": "block"}],
)  # fmt: skip
def test_bounds_of_options(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        PruningRatioConfig(**options)
