import pytest

from search.api.domain import Choice, Ordinal, Vector
from search.api.errors import ConfigError
from spaces.pruning.plan import LayerLevels
from spaces.pruning.quantised import Quantised

NAMES = ("conv", "fc")


def test_nothing_is_quantised_unless_asked() -> None:
    made = Quantised(NAMES, NAMES, None, None)
    assert made.params() == made.chosen({}) == made.names == ()
    assert made.check({}, {}) == []


def test_one_width_is_no_parameter() -> None:
    made = Quantised(NAMES, NAMES, 4, "power_of_two")
    assert made.params() == ()
    assert made.chosen({}) == tuple(LayerLevels(n, 4, "power_of_two") for n in NAMES)


def test_several_are_chosen_for_each_layer() -> None:
    made = Quantised(NAMES, NAMES, (8, 2), ("equal", "ternary"))
    assert [p.domain for p in made.params()] == [
        Vector(Ordinal((2, 8)), 2), Vector(Choice(("equal", "ternary")), 2)
    ]  # fmt: skip
    point = {"bits": (8, 8), "levels": ("equal", "ternary")}
    levels = made.chosen(point)
    assert levels == (LayerLevels("conv", 8), LayerLevels("fc", 1, "ternary"))
    assert made.chosen(made.point(levels)) == levels


def test_binary_levels_need_whole_layers() -> None:
    made = Quantised(NAMES, ("conv",), 4, ("binary", "equal"))
    point = {"levels": ("binary", "binary")}
    (violation,) = made.check(point, {"conv": 7})
    assert (violation.rule, violation.excess) == ("binary", 7.0)
    assert "conv: binary levels have no zero, got 7 dropped weights" in violation.detail
    assert made.repair(point, {"conv": 7}) == {"levels": ("equal", "binary")}
    with pytest.raises(ConfigError, match=r"space\.levels: binary levels have no zero, but conv"):
        Quantised(NAMES, ("conv",), 4, "binary")
    assert Quantised(NAMES, (), None, "binary").chosen({})[0] == LayerLevels("conv", 1, "binary")


def test_powers_of_two_have_few_bits() -> None:
    made = Quantised(NAMES, NAMES, (4, 8), ("power_of_two", "equal"))
    point = {"bits": (8, 8), "levels": ("power_of_two", "equal")}
    (violation,) = made.check(point, {})
    assert (violation.rule, violation.excess, violation.unit) == ("bits", 2.0, "bit")
    assert made.repair(point, {}) == {"bits": (4, 8), "levels": ("power_of_two", "equal")}
