"""Numbers in a text against the records."""

from __future__ import annotations

import pytest

from agents.llm.claims import UNKNOWN, Fact, check_claims, facts_of, marked
from search.api.metric import Measurement
from search.api.trial import Origin, Outcome, RungResult, Trial

FACTS = [
    Fact(1204.0, "ms", "latency of trial 4"),
    Fact(20.37, "bit", "precision of trial 4"),
    Fact(13.0, "", "point of trial 4"),
    Fact(0.913, "1", "accuracy of trial 4"),
    Fact(2.5, "GiB", "memory"),
]


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("it takes 1.2 s", True),
        ("it takes 1.204 s", True),
        ("it takes 1204 ms", True),
        ("it takes 1,204 ms", True),
        ("it takes 1.3 s", False),
        ("it takes 1.2 ms", False),
        ("at 20.4 bits", True),
        ("at 20 bit", True),
        ("at 21 bits", False),
        ("log_n is 13", True),
        ("log_n is 14", False),
        ("13 layers", True),
        ("13 s", False),
        ("accuracy 91 %", True),
        ("accuracy 91.3%", True),
        ("accuracy 93 %", False),
        ("2560 MiB", True),
        ("1.204e3 ms", True),
    ],
)
def test_a_number_is_known_to_the_digits_written(text: str, known: bool) -> None:
    (claim,) = check_claims(text, FACTS)
    assert bool(claim.where) is known
    assert (UNKNOWN in marked(text, [claim])) is not known


def test_names_with_digits_are_no_claims() -> None:
    assert check_claims("ResNet-20 on fc1 with 2pc, x2act and v1.2b", FACTS) == []


def test_facts_come_from_trials_demands_and_results() -> None:
    outcome = Outcome(3, "complete", (RungResult(
        "top", 1.0, (Measurement("latency", 2.0, "s", "top", "measured"),)),))  # fmt: skip
    trial = Trial(3, {"log_n": 13, "v": (1, 9), "b": True}, 0, Origin("user"), "complete",
                  (2.0,), outcome)  # fmt: skip
    seen = [{"value": 77.0, "unit": "ms"}, {"text": "about 5 MB", "nan": float("nan")}]
    facts = facts_of([trial], ["precision >= 20 bit", "no demand"], seen)
    values = {(f.value, f.unit) for f in facts}
    assert {(3.0, ""), (2.0, "s"), (13.0, ""), (9.0, ""), (20.0, "bit"), (77.0, "ms"),
            (5.0, "MB"), (1.0, "")} <= values  # fmt: skip
    (latency,) = [f for f in facts if f.unit == "s"]
    assert latency.where == "latency of trial 3 at top (measured)"
