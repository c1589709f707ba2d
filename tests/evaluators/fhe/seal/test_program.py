"""What is written for the child is what it reads."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluators.fhe.seal import program
from spaces.ckks.primes import primes_of


def written(hand: Any, folder: Path) -> program.Program:
    primes = primes_of(hand.params.chain, hand.params.log_n)
    return program.write(
        folder,
        hand.packed,
        log_n=hand.params.log_n,
        primes=primes[:-1],
        special=primes[-1:],
        levels=hand.levels,
    )


def test_a_program_reads_back_as_it_was_written(hand: Any, tmp_path: Path) -> None:
    one = written(hand, tmp_path)
    assert program.Program.read(tmp_path) == one
    assert one.slots == hand.packed.slots
    assert [step.kind for step in one.steps] == ["linear", "square", "linear"]
    assert one.relinearise


def test_diagonals_and_bias_are_those_of_the_packing(hand: Any, tmp_path: Path) -> None:
    one = written(hand, tmp_path)
    linear = hand.packed.linears["fc1"]
    assert len(one.terms(2)) == len(linear.terms)
    assert one.terms(2)[5].tolist() == [0, 0, linear.terms[5].baby, linear.terms[5].giant]
    assert np.array_equal(one.diagonals(2)[5], linear.diagonal(5))
    assert np.array_equal(one.bias(2), linear.bias())


def test_rotations_are_those_of_all_maps_once_and_positive(hand: Any) -> None:
    # babies 1 to 3, giants 4, 8, 12 of a map of period 16
    assert program.rotations(hand.packed) == (1, 2, 3, 4, 8, 12)


def test_another_version_is_refused(hand: Any, tmp_path: Path) -> None:
    written(hand, tmp_path)
    file = tmp_path / "program.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "version": 0}))
    with pytest.raises(ValueError, match="another version"):
        program.Program.read(tmp_path)
