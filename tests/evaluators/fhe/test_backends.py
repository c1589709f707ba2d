"""What back ends take and answer."""

import dataclasses

import numpy as np
import pytest

from evaluators.fhe.backends import Capabilities, Inference, StageTime, shared_out
from spaces.ckks.params import Chain, CkksParams

CAPABLE = Capabilities("some", (12, 14), (20, 60), 1, ("standard",), False, False)
PARAMS = CkksParams(13, Chain(31, (26, 26), (45,)), 26)


def test_what_it_has_it_does_not_lack() -> None:
    assert CAPABLE.lacks(PARAMS) == ""


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"log_n": 15}, "2^15 (it has 2^12 to 2^14)"),
        ({"ring": "conjugate_invariant"}, "'conjugate_invariant' (it has standard)"),
        ({"secret_weight": 64}, "weight 64"),
        ({"bootstraps": ("a", "b")}, "bootstrapping at a, b"),
        ({"chain": Chain(31, (26,), (45, 45))}, "2 special primes (it takes 1 to 1)"),
        ({"chain": Chain(31, (19,), (45,))}, "19 bits (it takes 20 to 60)"),
    ],
)
def test_what_it_lacks_is_named(changes: dict[str, object], words: str) -> None:
    assert words in CAPABLE.lacks(dataclasses.replace(PARAMS, **changes))  # type: ignore[arg-type]


def test_times_of_an_inference_add_up() -> None:
    stages = (
        StageTime("encrypt", "encrypt", "client", 1.0, 0.5),
        StageTime("fc", "linear", "server", 2.0, 1.5),
        StageTime("decrypt", "decrypt", "client", 4.0, 3.0),
    )
    inference = Inference(0, 0, np.zeros(1), stages)
    assert inference.seconds == 7.0
    assert inference.server_seconds == 2.0
    assert inference.cpu_seconds == 5.0


def test_images_are_dealt_over_keys_and_some_go_to_all() -> None:
    assert shared_out([0, 1, 2, 3, 4], 2, always=[9]) == [[0, 2, 4, 9], [1, 3, 9]]
    assert shared_out([0], 3) == [[0]]


def test_pairs_are_for_back_ends_that_defer_rescaling() -> None:
    paired = CkksParams(13, Chain(31, (50, 26), (55,)), 26, drops="paired")
    assert "rescales after every step" in CAPABLE.lacks(paired)
    assert not dataclasses.replace(CAPABLE, pairs=True).lacks(paired)
