"""One linear layer by TenSEAL's encrypted vectors, and by our packer on the same parameters.

Used by ``ckks_vs_defaults.py``; no benchmark itself.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from ckks_shared import rounded, times_of

from evaluators.fhe import reference
from evaluators.fhe.packing import pack
from evaluators.fhe.precision import bits
from evaluators.fhe.seal.run import run_encrypted
from evaluators.fhe.trace import graph_of
from spaces.ckks.params import Chain, CkksParams

LOG_N, FIRST, LEVEL, SPECIAL = 13, 60, 40, 60  # the tutorials' chain, with two levels


def drawn(inputs: int, outputs: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Input, matrix ``[inputs, outputs]``, and something to add to the input before."""
    rng = np.random.default_rng(0)
    return (
        rng.uniform(-1, 1, inputs),
        rng.normal(size=(inputs, outputs)) / np.sqrt(inputs),
        rng.uniform(-1, 1, inputs),
    )


def by_vectors(inputs: int, outputs: int) -> dict[str, Any]:
    """TenSEAL's ``CKKSVector``: its product with a matrix, alone and behind an addition."""
    import tenseal as ts

    x, matrix, more = drawn(inputs, outputs)
    sizes = [FIRST, LEVEL, LEVEL, SPECIAL]
    context = ts.context(ts.SCHEME_TYPE.CKKS, 2**LOG_N, -1, sizes, n_threads=1)
    context.global_scale = 2.0**LEVEL
    context.generate_galois_keys()
    began = time.process_time()
    result = np.array(ts.ckks_vector(context, x).matmul(matrix).decrypt())
    cpu = time.process_time() - began
    added = np.array((ts.ckks_vector(context, x) + more.tolist()).matmul(matrix).decrypt())
    return {
        "cpu_s": rounded(cpu),
        "bits": error_bits(result, x @ matrix),
        "bits_behind_an_addition": error_bits(added, (x + more) @ matrix),
    }


def by_packer(inputs: int, outputs: int) -> dict[str, Any]:
    """The same two by our packer and engine; what is added is part of the bias."""
    x, matrix, more = drawn(inputs, outputs)
    found: dict[str, Any] = {}
    for name, shift in (("bits", np.zeros(inputs)), ("bits_behind_an_addition", more)):
        layer = torch.nn.Linear(inputs, outputs, dtype=torch.float64)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(matrix.T))
            layer.bias.copy_(torch.from_numpy(shift @ matrix))
        graph = graph_of(torch.nn.Sequential(layer).eval(), (inputs,))
        params = CkksParams(LOG_N, Chain(FIRST, (LEVEL, LEVEL), (SPECIAL,)), LEVEL)
        packed = pack(graph, params.slots, params, times_of())
        run = run_encrypted(packed, params, x[None, :])
        exact = reference.run(graph, x[None, :])
        if "cpu_s" not in found:
            found["cpu_s"] = rounded(run.inferences[0].cpu_seconds)
        found[name] = error_bits(run.inferences[0].output, exact[0])
    return found


def error_bits(values: np.ndarray, exact: np.ndarray) -> float:
    """-log2 of the mean absolute error."""
    return round(bits(float(np.abs(values - exact).mean())), 2)
