"""What calibration measures on this host: single operations, and a whole encrypted block."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from search.api.errors import EvaluationError

if TYPE_CHECKING:
    from evaluators.fhe.costs import OperationTimes
    from evaluators.fhe.graph import Graph
    from spaces.ckks.params import CkksParams

Sample = tuple[str, int, int, float]
"""Operation, log2 N, limbs, ms."""

GRID: Mapping[int, tuple[int, ...]] = {
    12: (1, 2, 3, 4),  # more than tables of security allow there: a line needs points
    13: (1, 2, 3, 4, 6, 8),
    14: (1, 2, 4, 6, 8, 12),
    15: (1, 2, 4, 8, 14),
}
"""log2 N -> limbs at which operations are timed."""

ROUNDS = 3
JOB, TIMES = "job.json", "times.json"
"""Files of the child: what to time, and what came out."""
CHILD = (sys.executable, "-m", "evaluators.fhe.seal.times")
_MEMORY_MB = 6000.0
_BLOCK = (256, 64, 64, 10)  # widths of the network that gives the factor
_RUNS = 3


def operation_samples(
    grid: Mapping[int, Sequence[int]] | None = None,
    rounds: int | None = None,
    *,
    progress: Callable[[int, int, str], None] | None = None,
    timeout_s: float = 900.0,
) -> list[Sample]:
    """CPU time of every operation at every ring dimension and number of limbs of ``grid``.

    Raises:
        EvaluationError: the child process failed.
    """
    from evaluators.fhe.backends import Limits
    from evaluators.fhe.child_process import run_child

    found: list[Sample] = []
    chosen = GRID if grid is None else grid
    for done, (log_n, limbs) in enumerate(chosen.items(), start=1):
        with tempfile.TemporaryDirectory(prefix="ckks-times-") as name:
            folder = Path(name)
            job = {"log_n": log_n, "limbs": list(limbs), "rounds": rounds or ROUNDS}
            (folder / JOB).write_text(json.dumps(job), encoding="utf-8")
            run_child(CHILD, folder, Limits(timeout_s, _MEMORY_MB))
            rows = json.loads((folder / TIMES).read_text(encoding="utf-8"))
        found += [(r["operation"], int(r["log_n"]), int(r["limbs"]), float(r["ms"])) for r in rows]
        if progress is not None:
            progress(done, len(chosen) + 1, f"ring dimension {2**log_n}")
    return found


def block_factor(times: OperationTimes) -> float:
    """Measured over predicted CPU time of a small encrypted network.

    Raises:
        EvaluationError: the encrypted run failed.
    """
    import numpy as np

    from evaluators.fhe.costs import latency
    from evaluators.fhe.levels import circuit_of
    from evaluators.fhe.packing import pack
    from evaluators.fhe.seal.run import run_encrypted

    graph, params = block()
    packed = pack(graph, params.slots, params)
    expected = latency(circuit_of(packed, params), params.log_n, times).total
    inputs = np.random.default_rng(1).uniform(-1, 1, (_RUNS, _BLOCK[0]))
    run = run_encrypted(packed, params, inputs)
    least = min(inference.cpu_seconds for inference in run.inferences)
    if expected <= 0:
        raise EvaluationError("calibration: the model gives no time for the encrypted block")
    return 1e3 * least / expected


def block() -> tuple[Graph, CkksParams]:
    """The network that gives the factor, and its parameters: linear maps and squares."""
    import numpy as np
    from scipy.sparse import csr_array

    from evaluators.fhe.graph import Graph, Linear, Node
    from spaces.ckks.params import Chain, CkksParams

    random = np.random.default_rng(0)
    nodes = [Node("x", "input", (), (_BLOCK[0],))]
    for index, (wide, narrow) in enumerate(zip(_BLOCK, _BLOCK[1:], strict=False)):
        if index:
            nodes.append(Node(f"square{index}", "square", (nodes[-1].name,), (wide,)))
        weights = random.normal(size=(narrow, wide)) / np.sqrt(wide)
        linear = Linear(csr_array(weights), random.normal(size=narrow) / 4)
        nodes.append(Node(f"fc{index}", "linear", (nodes[-1].name,), (narrow,), linear))
    depth = 2 * (len(_BLOCK) - 1) - 1
    params = CkksParams(13, Chain(31, (26,) * depth, (45,)), 26)
    return Graph(tuple(nodes), {}), params
