import dataclasses
from typing import Any

import pytest

from search.api.candidate import to_plain
from search.api.errors import ConfigError
from spaces.eve.family import Execution, LayerMode, ModeFamily, ModePlan


def mode(level: int, kept: int, bits: int = 8, **changes: Any) -> ModePlan:
    layer = LayerMode("conv1", "pattern", kept, 9, Execution(4, 4, 8, 16))
    return ModePlan(level, (dataclasses.replace(layer, **changes),), bits)


def test_it_survives_json() -> None:
    family = ModeFamily((mode(1, 2), mode(2, 4), mode(3, 9)), pool=4)
    assert ModeFamily.decode(to_plain(family)) == family
    assert ModePlan.decode(to_plain(family.members[1])) == family.members[1]
    assert family.bits == 8
    assert family.as_mapping() == family.members[0].as_mapping() == {}
    assert family.members[0].masks() == {}
    assert family.members[1].layers[0].keep == pytest.approx(4 / 9)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ((), "levels 1, 2"),
        ((mode(2, 2),), "levels 1, 2"),
        ((mode(1, 4), mode(2, 2)), "never fewer"),
        ((mode(1, 2, 8), mode(2, 4, 16)), "8 and 16 bits"),
        ((mode(1, 2), mode(2, 4, site="conv2")), "same units"),
        ((mode(1, 2), dataclasses.replace(mode(2, 4), layers=())), "different layers"),
    ],
)
def test_families_are_nested(members: tuple[ModePlan, ...], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        ModeFamily(members)


def test_other_data_is_refused() -> None:
    with pytest.raises(ConfigError, match="not a family"):
        ModeFamily.decode({"members": []})
    with pytest.raises(ConfigError, match="not a mode"):
        ModePlan.decode({"level": 1})
    data = to_plain(mode(1, 2))
    data["layers"][0]["execution"]["order"] = "reuse_X"
    with pytest.raises(ConfigError, match="unknown value 'reuse_X'"):
        ModePlan.decode(data)
