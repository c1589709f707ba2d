"""The operations; those that need JAX are run by SPU's interpreter."""

import ast
import json
import subprocess
from pathlib import Path

import pytest

from evaluators.mpc.crypten import secure
from evaluators.mpc.spu import party
from evaluators.mpc.spu.environment import need_spu

FILE = Path(party.__file__).with_name("operations.py")


def test_every_operation_of_programs_is_known() -> None:
    tree = ast.parse(FILE.read_text(encoding="utf-8"))
    (table,) = (
        n.value for n in tree.body
        if isinstance(n, ast.AnnAssign) and getattr(n.target, "id", "") == "OPERATIONS"
    )  # fmt: skip
    assert isinstance(table, ast.Dict)
    assert {k.value for k in table.keys if isinstance(k, ast.Constant)} == set(secure.OPERATIONS)


def in_jax(expression: str) -> object:
    code = (
        "import sys, json, importlib.util as u; s = u.spec_from_file_location('o', sys.argv[1]); "
        "o = u.module_from_spec(s); s.loader.exec_module(o); import numpy as np; "
        f"print(json.dumps({expression}))"
    )
    done = subprocess.run(
        [need_spu(), "-I", "-c", code, FILE], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


@pytest.mark.spu
def test_small_factors_keep_their_bits() -> None:
    one, plain, small, coarse = in_jax(
        "[[np.float64(p).tolist() for p in o.factors(np.array(v), b)] "
        "for v, b in ((1.0, 18), (0.25, 18), (-3e-5, 18), (0.004, 8))]"
    )  # type: ignore[misc]
    assert one == []
    assert plain == [0.25]
    for parts, value, bits in ((small, -3e-5, 18), (coarse, 0.004, 8)):
        product = 1.0
        for part in parts:
            assert abs(part) >= 2.0**-bits
            product *= part
        assert product == pytest.approx(value, rel=1e-6)
        assert abs(parts[0]) >= 2.0 ** (min(10, bits - 2) - bits)


@pytest.mark.spu
def test_windows_of_pools() -> None:
    found = in_jax("[o._windows(5, 2, 2, 0, True), o._windows(4, 3, 2, 1, False)]")
    assert found == [[[0, 2], [2, 4], [4, 5]], [[0, 2], [1, 4]]]
