"""Candidates: the digest says what was chosen, and nothing else."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from search.api.candidate import Candidate, to_plain


@dataclasses.dataclass(frozen=True)
class Pick:
    site: str
    bits: tuple[int, ...]


PICK = Pick("stem", (1, 0))


def test_the_digest_is_that_of_kind_and_payload() -> None:
    bare = Candidate("picks", PICK)
    member = Candidate("picks", Pick("stem", (0, 0)))
    full = Candidate("picks", PICK, weights=Path("w"), members=(member,), parent="f" * 16)
    assert full.digest == bare.digest
    assert len(bare.digest) == 16
    assert int(bare.digest, 16) >= 0


@pytest.mark.parametrize(
    "other", [Candidate("plans", PICK), Candidate("picks", Pick("stem", (0, 1)))]
)
def test_another_kind_or_payload_has_another_digest(other: Candidate[Pick]) -> None:
    assert other.digest != Candidate("picks", PICK).digest


def test_a_payload_read_back_as_mappings_has_the_same_digest() -> None:
    stored = json.loads(json.dumps(to_plain(PICK)))
    assert Candidate("picks", stored).digest == Candidate("picks", PICK).digest


def test_order_of_keys_does_not_count() -> None:
    assert Candidate("p", {"a": 1, "b": 2}).digest == Candidate("p", {"b": 2, "a": 1}).digest


def test_plain_data_is_json_safe() -> None:
    plain = to_plain({1: (PICK, Path("a/b")), "rest": [None, 1.5, True]})
    assert plain == {
        "1": [{"site": "stem", "bits": [1, 0]}, "a/b"],
        "rest": [None, 1.5, True],
    }
    assert json.loads(json.dumps(plain)) == plain


def test_a_class_is_left_as_it_is() -> None:
    assert to_plain(Pick) is Pick
