"""A circuit names every operation once, with who does it."""

from __future__ import annotations

import pytest

from evaluators.fhe.levels import circuit_of
from evaluators.fhe.packing import pack
from spaces.ckks.params import Chain, CkksParams

PARAMS = CkksParams(13, Chain(33, (28,) * 5, (40,)), 28)


@pytest.mark.parametrize("name", ["mlp", "lola"])
def test_keys_are_those_of_the_rotations_done(networks, name: str) -> None:
    packed = pack(getattr(networks, name)(), PARAMS.slots, PARAMS)
    circuit = circuit_of(packed, PARAMS)
    steps = {step for linear in packed.linears.values() for _, step in linear.babies}
    steps |= {step for linear in packed.linears.values() for _, step in linear.giants}
    steps |= {step for linear in packed.linears.values() for step in linear.folds}
    assert {step % PARAMS.slots for step in circuit.rotations} == {s % PARAMS.slots for s in steps}
    done = sum(
        count.count
        for stage in circuit.stages
        for count in stage.counts
        if count.operation == "rotate"
    )
    assert done == sum(linear.rotations for linear in packed.linears.values())


def test_the_client_encrypts_first_and_decrypts_last(networks) -> None:
    circuit = circuit_of(pack(networks.mlp(), PARAMS.slots, PARAMS), PARAMS)
    places = [{count.place for count in stage.counts} for stage in circuit.stages]
    assert places[0] == places[-1] == {"client"}
    assert all(place <= {"server"} for place in places[1:-1])
    assert circuit.relinearise
