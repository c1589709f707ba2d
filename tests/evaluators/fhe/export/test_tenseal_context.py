from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from evaluators.fhe.export.tenseal_context import (
    beyond_high_level,
    context_data,
    context_script,
    high_level_line,
    obstacle,
)
from spaces.ckks.params import Chain, CkksParams
from spaces.ckks.primes import primes_of


def test_the_data_has_the_exact_primes(params: CkksParams) -> None:
    data = json.loads(json.dumps(context_data(params, (1, 2, 8), True)))
    assert data["poly_modulus_degree"] == 8192
    assert data["coeff_mod_bit_sizes"] == [32, 27, 27, 27, 45]
    assert data["coeff_modulus"] == list(primes_of(params.chain, 13))
    assert data["global_scale"] == 2**27
    assert (data["galois_steps"], data["relinearise"]) == ([1, 2, 8], True)
    assert data["high_level"]["line"] == high_level_line(params)
    assert any("the 3 steps" in line for line in data["high_level"]["cannot"])


def test_the_script_runs_and_both_ways_have_the_same_primes(
    params: CkksParams, tmp_path: Path
) -> None:
    file = tmp_path / "context.py"
    file.write_text(context_script(params, (1, 2), True))
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import context\n"
        "made = context.context(); secret, galois, relin = context.keys(made)\n"
        "primes = [m.value() for m in made.key_context_data().parms().coeff_modulus()]\n"
        "assert primes == context.PRIMES, primes\n"
        "assert galois.size() == 2, galois.size()\n"
        "assert context.high_level().global_scale == 2**27\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    done = subprocess.run([sys.executable, str(file)], capture_output=True, text=True, check=True)
    assert "ring dimension 8192, 113 bit in 4 primes" in done.stdout
    assert "the same primes" in done.stdout


@pytest.mark.parametrize(
    ("log_n", "message"), [(16, "up to 2^15 (here 2^16)"), (12, "at most 109 bit")]
)
def test_what_the_high_level_does_not_take(params: CkksParams, log_n: int, message: str) -> None:
    other = dataclasses.replace(params, log_n=log_n)
    why = obstacle(other)
    assert why is not None
    assert message in why
    text = context_script(other, None, None)
    assert f"does not take these parameters: {why}" in text
    assert "high_level()" not in text
    assert "not known without the network" in text
    compile(text, "context.py", "exec")
    assert context_data(other, None, None)["high_level"]["line"] is None


def test_the_standard_of_2018_decides(params: CkksParams) -> None:
    assert obstacle(dataclasses.replace(params, chain=Chain(60, (50, 48), (60,)))) is None
    assert obstacle(dataclasses.replace(params, chain=Chain(60, (50, 49), (60,)))) is not None


def test_what_is_beyond_it_is_always_told() -> None:
    assert any("guidelines of 2024" in line for line in beyond_high_level(None))
