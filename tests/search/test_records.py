"""The stored form gives back what was put in."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from search.api.metric import Measurement
from search.api.trial import Origin, Outcome, RungResult
from search.records import (
    origin_from_data,
    origin_to_data,
    outcome_from_data,
    outcome_to_data,
    pack_vector,
    split_point,
    unpack_vector,
)

_entries = st.one_of(
    st.lists(st.integers(0, 1)),
    st.lists(st.booleans()),
    st.lists(st.integers(-(2**40), 2**40)),
    st.lists(st.floats(allow_nan=False, allow_infinity=False)),
    st.lists(st.sampled_from(["relu", "x2act"])),
    st.lists(st.one_of(st.booleans(), st.integers(-3, 3), st.text(max_size=3))),
)


@given(_entries)
def test_vectors_survive_json(entries: list[object]) -> None:
    values = tuple(entries)
    back = unpack_vector(json.loads(json.dumps(pack_vector(values))))  # type: ignore[arg-type]
    assert back == values
    assert [type(v) for v in back] == [type(v) for v in values]


def test_bits_are_packed_tightly() -> None:
    packed = pack_vector((1, 0) * 5000)
    assert len(json.dumps(packed)) < 2000


def test_split_point_keeps_scalars_apart_from_vectors() -> None:
    scalars, vectors = split_point({"x": 1.5, "mask": (0, 1)})
    assert scalars == {"x": 1.5}
    assert unpack_vector(vectors["mask"]) == (0, 1)


def test_outcome_round_trip() -> None:
    m = Measurement("acc", 81.5, "%", "full", "measured", std=0.4, n=3000, split="validation")
    outcome = Outcome(
        3, "complete", (RungResult("full", 1.5, (m,)),), {"cost <= 1 ms": -0.5},
        {"kind": "k", "digest": "d", "payload": {"a": [1]}}, {}, {"note": 1}, "", 2.0, "host:1",
    )  # fmt: skip
    data = json.loads(json.dumps(outcome_to_data(outcome)))
    assert outcome_from_data(3, data, {"w": Path("w")}) == Outcome(
        **{**outcome.__dict__, "artefacts": {"w": Path("w")}}
    )


def test_origin_round_trip() -> None:
    origin = Origin("retry", "tpe", "its worker was lost", 4)
    assert origin_from_data(json.loads(json.dumps(origin_to_data(origin)))) == origin
