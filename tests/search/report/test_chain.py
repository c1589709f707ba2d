"""Chains and layers as trials leave them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from search.api.trial import Origin, Outcome, Trial
from search.report.chain import chain_of

PREDICTED = [
    ("input", "input", "client", 4, 4, 26.0, 6.0, 0.0),
    ("fc1", "linear", "server", 4, 3, 26.0, 20.0, 0.5),
    ("act1", "square", "server", 3, 2, 27.0, 4.0, 0.25),
    ("fc2", "linear", "server", 2, 1, 26.0, 9.0, 0.25),
    ("output", "output", "client", 1, 1, 26.0, 1.0, 0.0),
]
KEYS = ("node", "kind", "place", "limbs_in", "limbs_out", "scale_out", "ms", "error_share")
STAGES = [dict(zip(KEYS, row, strict=True)) for row in PREDICTED]
MEASURED = [
    {"stage": "encrypt", "kind": "encrypt", "place": "client", "ms": 12.0, "cpu_ms": 7.0},
    {"stage": "fc1", "kind": "linear", "place": "server", "ms": 40.0, "cpu_ms": 21.0},
    {"stage": "act1", "kind": "square", "place": "server", "ms": 8.0, "cpu_ms": 4.0},
    {"stage": "fc2", "kind": "linear", "place": "server", "ms": 20.0, "cpu_ms": 7.0},
    {"stage": "decrypt", "kind": "decrypt", "place": "client", "ms": 1.0, "cpu_ms": 1.0},
]
PAYLOAD = {
    "log_n": 13, "scale": 26, "secret_weight": None, "input_packing": "columns",
    "chain": {"first": 37, "levels": [24, 25, 26], "special": [50]},
}  # fmt: skip


def a_trial(payload=PAYLOAD, number=3, measurements=(), values=None, **notes):
    candidate = {"kind": "ckks", "digest": "0" * 16, "payload": payload, "members": []}
    outcome = Outcome(number, "complete", measurements, {}, candidate, notes=notes)
    return Trial(number, {"scale": 26}, 0, Origin("sampler"), "complete", values, outcome,
                 started=0.0, finished=1.0)  # fmt: skip


def whole(**changes):
    return a_trial(ckks_predicted={"stages": STAGES}, ckks_stages=MEASURED, **changes)


def test_primes_stand_in_the_order_of_use_with_the_layer_that_drops_them():
    chain = chain_of(whole())
    assert [(p.bits, p.role, p.layer) for p in chain.primes] == [
        (50, "key switching", ""),
        (26, "level", "fc1"),
        (25, "level", "act1"),
        (24, "level", "fc2"),
        (37, "kept", ""),
    ]
    assert chain.primes[2].scale == 27.0
    assert chain.log_qp == 162
    assert (chain.log_n, chain.scale, chain.packing, chain.secret_weight) == (
        13,
        26,
        "columns",
        None,
    )


def test_levels_that_no_layer_needs_are_spare():
    longer = {**PAYLOAD, "chain": {"first": 37, "levels": [24, 25, 26, 27], "special": [50]}}
    assert [(p.bits, p.role) for p in chain_of(whole(payload=longer)).primes[1:3]] == [
        (27, "spare"),
        (26, "level"),
    ]


def test_a_layer_may_drop_several_primes():
    rows = [{**STAGES[1], "limbs_in": 4, "limbs_out": 1}]
    chain = chain_of(a_trial(ckks_predicted={"stages": rows}))
    assert chain.layers[0].dropped == (26, 25, 24)
    assert {p.layer for p in chain.primes if p.role == "level"} == {"fc1"}


def test_prediction_and_measurement_stand_side_by_side():
    layers = {one.name: one for one in chain_of(whole()).layers}
    first = layers["fc1"]
    assert (first.limbs, first.dropped, first.error_share) == ((4, 3), (26,), 0.5)
    assert (first.predicted_ms, first.cpu_ms, first.wall_ms) == (20.0, 21.0, 40.0)
    assert layers["input"].cpu_ms == 7.0  # the back end calls it encrypt
    assert layers["output"].wall_ms == 1.0


def test_what_was_not_noted_is_unknown():
    chain = chain_of(a_trial())
    assert chain.layers == ()
    assert [p.role for p in chain.primes] == ["key switching", *["level"] * 3, "kept"]
    bare = [{k: row[k] for k in ("node", "kind", "place", "ms")} for row in STAGES]
    old = chain_of(a_trial(ckks_predicted={"stages": bare}))
    assert {(one.limbs, one.dropped, one.scale) for one in old.layers} == {(None, (), None)}
    run_only = chain_of(a_trial(ckks_stages=MEASURED))
    assert [one.name for one in run_only.layers][:2] == ["input", "fc1"]
    assert run_only.layers[1].predicted_ms is None
    assert run_only.layers[1].cpu_ms == 21.0


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"choices": []},
        {"chain": []},
        {**PAYLOAD, "chain": {"first": 37}},
        {**PAYLOAD, "log_n": "big"},
        None,
    ],
)
def test_other_candidates_have_no_chain(payload):
    assert chain_of(a_trial(payload=payload)) is None


def test_a_trial_without_an_outcome_has_no_chain():
    assert chain_of(replace(whole(), outcome=None)) is None
