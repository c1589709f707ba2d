import dataclasses
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spaces.ckks.libraries import LATTIGO
from spaces.ckks.params import Chain, CkksParams
from spaces.ckks.primes import primes_of
from spaces.ckks.rules import (
    LEAST_BITS,
    Demands,
    expected_bits,
    final_scale,
    is_legal,
    scale_for,
    special_for,
    switched_bits,
    violations,
    warnings,
)
from spaces.ckks.security import Security

GOOD = CkksParams(13, Chain(31, (26,) * 5, (45,)), 26)


def chain(first: int = 31, levels: tuple[int, ...] = (26,) * 5, special: tuple[int, ...] = (45,)):  # type: ignore[no-untyped-def]
    return Chain(first, levels, special)


def change(**fields: object) -> CkksParams:
    return dataclasses.replace(GOOD, **fields)  # type: ignore[arg-type]


def test_a_measured_configuration_passes() -> None:
    assert violations(GOOD, Demands(depth=5, output_range=8)) == ()
    assert warnings(GOOD, Demands()) == ()


@pytest.mark.parametrize(
    ("params", "rule", "excess", "words"),
    [
        (
            change(chain=chain(special=(54,))),
            "insecure",
            1,
            r"got 215 bit; at most 214.*log_n 14, or 1 bit less",
        ),
        (change(log_n=12), "insecure", 100, r"at most 106 at N = 2\^12.*log_n 13"),
        (
            change(log_n=17, chain=chain(levels=(60,) * 70), scale=60),
            "insecure",
            753,
            "no ring dimension allows",
        ),
        (
            change(chain=chain(levels=(26,) * 4)),
            "depth",
            1,
            "got 4; the network needs 5, 1 more.*scale out of bounds",
        ),
        (change(chain=chain(levels=())), "depth", 5, "Nearest: 5 primes"),
        (
            change(chain=chain(first=28)),
            "overflow",
            2,
            "at least 4 for results up to 8.*first prime of 30",
        ),
        (change(chain=chain(first=20)), "overflow", 10, "wrap around"),
        (
            change(chain=chain(special=(30,))),
            "imprecise",
            1,
            "got 30 bit; at least 31.*43 costs nothing more",
        ),
        (change(scale=13), "imprecise", 1, "Nearest: 14"),
        (
            change(log_n=14, scale=40, chain=chain(first=60, levels=(21,) * 5, special=(60,))),
            "scale_mismatch",
            11,
            "Nearest: a scale of 21",
        ),
        (
            change(log_n=14, scale=22, chain=chain(first=60, levels=(40,) * 5, special=(60,))),
            "scale_mismatch",
            11,
            "a prime of 40 bits",
        ),
        (
            change(log_n=14, chain=chain(special=(62,))),
            "unsupported",
            2,
            "prime of 62 bits.*Nearest: 60",
        ),
        (
            change(log_n=15, chain=chain(levels=(19,) * 5), scale=23),
            "no_primes",
            4,
            "5 primes of 19 bits: there are",
        ),
        (change(secret_weight=192), "unsupported", 1, "secrets of seal are dense"),
        (change(ring="conjugate_invariant"), "unsupported", 1, "no conjugate_invariant ring"),
        (
            change(chain=chain(special=())),
            "unsupported",
            1,
            "exactly 1.*neither rotated nor multiplied",
        ),
        (change(chain=chain(special=(30, 31))), "unsupported", 1, "exactly 1"),
        (change(log_n=9), "unsupported", 1, "seal takes 10 to 17. Nearest: 10"),
        (change(bootstraps=("fc1",)), "unsupported", 1, "cannot refresh a ciphertext at fc1"),
    ],
)
def test_each_failure_has_its_word_its_excess_and_a_way_out(
    params: CkksParams, rule: str, excess: float, words: str
) -> None:
    found = {v.rule: v for v in violations(params, Demands(depth=5, output_range=8))}
    assert rule in found, found
    assert found[rule].excess == excess
    assert re.search(words, found[rule].detail), found[rule].detail


def test_all_reasons_are_told_not_only_the_first() -> None:
    bad = CkksParams(12, Chain(26, (26,) * 3, (20,)), 26)
    rules = [v.rule for v in violations(bad, Demands(depth=5))]
    assert rules == ["insecure", "depth", "overflow", "imprecise"]


def test_security_is_left_out_only_when_told_so_in_words() -> None:
    bad = change(log_n=12)
    loose = Demands(security=Security(allow_insecure=True))
    assert [v.rule for v in violations(bad, Demands())] == ["insecure"]
    assert violations(bad, loose) == ()
    assert "never use this with real data" in warnings(bad, loose)[0]


def test_dimensions_and_weights_without_a_row_do_not_pass() -> None:
    sparse = change(secret_weight=192)
    (violation,) = violations(sparse, Demands(library=LATTIGO))
    assert violation.rule == "insecure"
    assert "log_n 13 and a secret of weight 192: the table gives no modulus" in violation.detail
    assert "Nearest: log_n 14" in violation.detail
    assert violations(change(secret_weight=192, log_n=14), Demands(library=LATTIGO)) == ()


def test_special_primes_serve_groups_of_data_primes() -> None:
    two = change(log_n=14, chain=Chain(40, (30,) * 5, (35, 34)), scale=30)
    (violation,) = violations(two, Demands(library=LATTIGO))
    assert (violation.rule, violation.excess) == ("imprecise", 1)
    assert not violations(
        dataclasses.replace(two, chain=Chain(40, (30,) * 5, (35, 35))), Demands(library=LATTIGO)
    )


def test_bootstrapping_lifts_the_rule_on_depth() -> None:
    short = change(log_n=14, chain=chain(levels=(26,) * 2), bootstraps=("fc1",))
    assert violations(short, Demands(depth=9, library=LATTIGO)) == ()


def test_warnings_say_what_is_legal_but_dear() -> None:
    tutorial = CkksParams(13, Chain(60, (40, 40), (60,)), 40)
    (word,) = warnings(tutorial, Demands())
    assert "take 60" in word
    assert "it costs no time" in word
    unequal = warnings(change(scale=25, chain=chain(first=29)), Demands())
    assert any("primes of 26 bits are dropped" in w for w in unequal)
    assert any("results with coefficients beyond 8" in w for w in unequal)
    sparse = warnings(change(log_n=14, secret_weight=192), Demands(library=LATTIGO))
    assert any("interpolated" in w for w in sparse)
    assert any("2018" in w for w in warnings(GOOD, Demands(security=Security(table="legacy_2018"))))


def test_the_rule_of_thumb_and_its_inverse() -> None:
    assert expected_bits(26, 13) == 13.0
    assert [scale_for(b, 13) for b in (13.0, 13.1, 12.5)] == [26, 27, 26]
    assert (special_for(31), special_for(55), special_for(40, 5)) == (43, 60, 45)


@given(
    log_n=st.integers(8, 18),
    first=st.integers(1, 64),
    levels=st.lists(st.integers(10, 60), max_size=12),
    special=st.lists(st.integers(1, 61), max_size=2),
    scale=st.integers(1, 60),
)
@settings(max_examples=200, deadline=None)
def test_what_passes_is_secure_and_has_its_primes(
    log_n: int, first: int, levels: list[int], special: list[int], scale: int
) -> None:
    params = CkksParams(log_n, Chain(first, tuple(levels), tuple(special)), scale)
    found = violations(params, Demands(depth=3))
    assert all(v.excess > 0 and v.detail for v in found)
    assert is_legal(params, Demands(depth=3)) == (not found)
    if not found:
        slack = Security().slack(params)
        assert slack is not None
        assert slack >= 0
        assert len(set(primes_of(params.chain, log_n))) == len(levels) + 2
        assert len(levels) >= 3
        assert special[0] >= max(first, *levels)


def test_two_bits_of_head_room_are_the_least_that_seal_encodes_with() -> None:
    from tenseal import sealapi

    parms = sealapi.EncryptionParameters(sealapi.SCHEME_TYPE.CKKS)
    parms.set_poly_modulus_degree(4096)
    for first in (27, 28):
        parms.set_coeff_modulus(sealapi.CoeffModulus.Create(4096, [first, 40]))
        context = sealapi.SEALContext(parms, True, sealapi.SEC_LEVEL_TYPE.NONE)
        encoder, plain = sealapi.CKKSEncoder(context), sealapi.Plaintext()
        narrow = CkksParams(12, Chain(first, (), (40,)), 26)
        if violations(narrow, Demands()):
            assert first == 27
            with pytest.raises(ValueError, match="scale out of bounds"):
                encoder.encode([0.1], 2.0**26, plain)
        else:
            encoder.encode([0.1], 2.0**26, plain)


def test_a_small_special_prime_may_serve_what_is_rotated_before_rescaling() -> None:
    weak = change(chain=chain(special=(24,)))
    first = weak.chain.first
    assert [v.rule for v in violations(weak, Demands())] == ["imprecise"]
    for faint in (True, False):
        bits = switched_bits(
            weak.scale if faint else weak.scale + min(weak.chain.levels), 13, first - 24
        )
        found = [v.rule for v in violations(weak, Demands(faint_rotations=faint))]
        assert found == ([] if bits >= LEAST_BITS else ["imprecise"])
    hopeless = change(chain=chain(first=60, special=(14,)))
    assert "imprecise" in [v.rule for v in violations(hopeless, Demands(faint_rotations=True))]


def test_scales_that_rise_take_room_of_the_first_prime() -> None:
    assert final_scale(31, 32, (60, 60, 60, 31), (True, True, True, False)) == 52
    assert final_scale(31, 0, (60, 60, 60, 31), (True, True, True, False)) == 31
    assert final_scale(30, 30, (60, 30), (True,)) == 30
    risen = CkksParams(14, Chain(54, (60, 60, 60, 31), (60,)), 31, drops="paired", weight_bits=32)
    demands = Demands(depth=4, pairs=(True, True, True, False), output_range=2.0)
    assert not violations(risen, demands)
    low = dataclasses.replace(risen, chain=Chain(53, (60, 60, 60, 31), (60,)))
    (violation,) = violations(low, demands)
    assert violation.rule == "overflow"
    assert "first prime of 54 bits" in violation.detail


def test_weights_of_pairs_must_not_be_rounded_away() -> None:
    demands = Demands(depth=2, pairs=(True, False))
    faint = CkksParams(13, Chain(36, (40, 30), (50,)), 30, drops="paired")
    (violation,) = violations(faint, demands)
    assert violation.rule == "scale_mismatch"
    assert "leaves 10 to the weights" in violation.detail
    good = dataclasses.replace(faint, chain=Chain(36, (56, 30), (58,)))
    assert not violations(good, demands)
    (lacking,) = violations(good, dataclasses.replace(demands, library=LATTIGO))
    assert lacking.rule == "unsupported"
    assert "Nearest: each" in lacking.detail
