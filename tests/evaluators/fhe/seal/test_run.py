"""Packed networks run encrypted for real, and runs that cannot be are refused in words."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluators.fhe.backends import Limits, Task, median_stages
from evaluators.fhe.failures import BackendFailure
from evaluators.fhe.seal.run import CAPABILITIES, Seal, run_encrypted
from search.api.errors import EvaluationError
from spaces.ckks.params import Chain


def run(hand: Any, **options: Any) -> Any:
    inputs = options.pop("inputs", hand.inputs)
    return run_encrypted(hand.packed, hand.params, inputs, levels=hand.levels, **options)


def worst(hand: Any, found: Any) -> float:
    exact = hand.plain(hand.inputs)
    return max(float(np.abs(i.output - exact[i.image]).max()) for i in found.inferences)


@pytest.mark.parametrize(
    "options", [{}, {"early": True}, {"residual": True}], ids=["late", "early", "residual"]
)
def test_the_answer_is_that_of_the_network(
    hands: Callable[..., Any], options: dict[str, bool]
) -> None:
    hand = hands(**options)
    assert worst(hand, run(hand)) < 2**-8


def test_more_bits_of_scale_give_more_bits_of_answer(hands: Callable[..., Any]) -> None:
    coarse, fine = (hands(log_n=12, widths=(8, 4), scale=bits) for bits in (25, 35))
    assert worst(fine, run(fine)) < worst(coarse, run(coarse)) / 200


def test_every_repeat_has_keys_of_its_own_and_the_schedule_is_kept(hand: Any) -> None:
    found = run(hand, schedule=[[0, 2], [1, 2]])
    assert [(i.repeat, i.image) for i in found.inferences] == [(0, 0), (0, 2), (1, 1), (1, 2)]
    assert [s.stage for s in found.setup] == ["encode_weights", "keys", "keys"]
    same = [i.output for i in found.inferences if i.image == 2]
    assert not np.array_equal(*same)  # other keys, other noise
    assert worst(hand, found) < 2**-8


def test_stages_are_told_with_their_place_and_time(hand: Any) -> None:
    found = run(hand)
    stages = found.inferences[0].stages
    assert [s.stage for s in stages] == ["encrypt", "fc0", "act0", "fc1", "decrypt"]
    assert [s.place for s in stages] == ["client", "server", "server", "server", "client"]
    inference = found.inferences[0]
    assert 0 < inference.server_seconds < inference.seconds
    assert inference.cpu_seconds > 0
    assert found.peak_mb > 20
    assert {row["stage"] for row in median_stages(found)} == {s.stage for s in stages}


def test_two_processes_give_the_same_answers(hand: Any) -> None:
    found = run(hand, processes=2)
    assert [i.image for i in found.inferences] == [0, 1, 2]
    assert worst(hand, found) < 2**-8


def test_a_layer_of_zeros_is_no_transparent_ciphertext(hands: Callable[..., Any]) -> None:
    hand = hands()
    linear = dataclasses.replace(
        hand.packed.linears["fc1"], diagonal=lambda i: np.zeros(hand.packed.slots)
    )
    linears = {**hand.packed.linears, "fc1": linear}
    found = run(hand.replace(packed=dataclasses.replace(hand.packed, linears=linears)))
    bias = hand.packed.graph.nodes[-1].linear.bias
    assert np.abs(found.inferences[0].output - bias).max() < 2**-8


def test_no_keys_are_left_in_a_kept_folder(hand: Any, tmp_path: Path) -> None:
    run(hand, keep=tmp_path / "kept")
    names = {file.name.split(".", 1)[-1] for file in (tmp_path / "kept").iterdir()}
    assert names <= {"json", "npy", "terms.npy", "diagonals.npy", "bias.npy", "txt", "log"}


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"ring": "conjugate_invariant"}, "unsupported", "ring"),
        ({"secret_weight": 192}, "unsupported", "sparse secret"),
        ({"bootstraps": ("fc0",)}, "unsupported", "bootstrapping"),
        ({"chain": Chain(30, (25,) * 3, ())}, "unsupported", "0 special primes"),
        ({"chain": Chain(30, (25,) * 3, (61,))}, "unsupported", "61 bits"),
        ({"log_n": 13}, "slots", "2048 slots (there are 4096)"),
        ({"chain": Chain(30, (15,) * 30, (40,))}, "no_primes", "15 bits"),
    ],
)
def test_what_cannot_be_run_is_said_before(
    hand: Any, changes: dict[str, Any], kind: str, words: str
) -> None:
    other = hand.replace(params=dataclasses.replace(hand.params, **changes))
    with pytest.raises(BackendFailure) as failure:
        run(other)
    assert failure.value.kind == kind
    assert words in failure.value.detail


def test_a_plan_that_does_not_hold_is_found(hand: Any) -> None:
    wrong = dataclasses.replace(hand.levels["act0"], scale_out=2.0**25.001)
    with pytest.raises(BackendFailure, match="act0: scale 2") as failure:
        run(hand.replace(levels={**hand.levels, "act0": wrong}))
    assert failure.value.kind == "scale_mismatch"


def test_a_scale_beyond_the_modulus_is_an_overflow(hand: Any) -> None:
    fc0 = dataclasses.replace(hand.levels["fc0"], weight_scale=2.0**120)
    with pytest.raises(BackendFailure, match=r"scale 2\^120.0 where \d+ bit") as failure:
        run(hand.replace(levels={**hand.levels, "fc0": fc0}))
    assert failure.value.kind == "overflow"


def test_values_too_large_are_an_overflow(hand: Any) -> None:
    with pytest.raises(BackendFailure, match="too large") as failure:
        run(hand, inputs=hand.inputs * 2.0**90)
    assert failure.value.kind == "overflow"


def test_no_inputs_are_an_error(hand: Any) -> None:
    with pytest.raises(EvaluationError, match="no inputs"):
        run(hand, inputs=hand.inputs[:0])


def test_the_back_end_says_what_it_can_and_runs_tasks(hand: Any) -> None:
    # levels come from the parameters here, as in every search
    back_end = Seal()
    assert back_end.capabilities() is CAPABILITIES
    task = Task(hand.packed.graph, hand.params, hand.packed)
    found = back_end.run(task, hand.inputs, schedule=[[0, 1, 2]], limits=Limits(60, 2000))
    assert worst(hand, found) < 2**-8
    with pytest.raises(BackendFailure, match="packed"):
        back_end.run(Task(hand.packed.graph, hand.params), hand.inputs, schedule=[[0]],
                     limits=Limits())  # fmt: skip
