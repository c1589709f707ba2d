"""What the benchmarks of encrypted inference share: trained networks, encrypted runs, figures.

No benchmark itself.
"""

from __future__ import annotations

import platform
import statistics
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from evaluators.fhe import reference
from evaluators.fhe.backends import EncryptedRun, Limits, Task, median_stages
from evaluators.fhe.calibration import find_times
from evaluators.fhe.costs import OperationTimes
from evaluators.fhe.graph import Graph
from evaluators.fhe.levels import circuit_of
from evaluators.fhe.measured import server_cpu_ms
from evaluators.fhe.memory import key_mb, upload_mb
from evaluators.fhe.network import SAMPLES, graph_for
from evaluators.fhe.packed import PackedNetwork
from evaluators.fhe.packing import pack
from evaluators.fhe.precision import compare
from evaluators.fhe.seal.run import run_encrypted
from search.api.candidate import Candidate
from search.ladder import TrialContext
from search.methods.teacher import teacher_weights
from search.workloads.image import ImageClassification
from search.workloads.plan import load_weights
from spaces.ckks.params import Chain, CkksParams
from spaces.ckks.security import Security

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
NETWORKS = ("mlp", "lola", "lenet")
"""Short names; a configuration of each lies in ``configs``."""

LIMITS = Limits(2400.0, 17000.0)


@dataclass(frozen=True)
class Case:
    """A trained network and images that no training has seen.

    Args:
        name: short.
        graph: as CKKS sees it.
        network: as PyTorch sees it.
        samples: ``[n, elements]``, of the training split, for ranges.
        images: ``[n, elements]``, of the validation split.
        exact: ``[n, outputs]``, of the graph in the clear.
        accuracy: % of the validation split that the network classifies rightly.
    """

    name: str
    graph: Graph
    network: torch.nn.Module
    samples: np.ndarray
    images: np.ndarray
    exact: np.ndarray
    accuracy: float

    @property
    def depth(self) -> int:
        """Levels with one rescaling for each layer and square."""
        squares = sum(node.kind in ("linear", "square") for node in self.graph.nodes)
        return int(squares)


def trained(name: str, images: int, *, smoke: bool = False) -> Case:
    """The network of ``configs/ckks_<name>.yaml``; ``smoke``: a small one, on digits."""
    data = yaml.safe_load((CONFIGS / f"ckks_{name}.yaml").read_text(encoding="utf-8"))
    options = data["workload"]
    network, split, teacher = options["network"], options["data"], options["teacher"]
    if smoke:
        small = {"mlp": {"hidden": [32]}, "lola": {"channels": 2, "hidden": 16}}
        network, split = {"name": network, **small.get(name, {"hidden": 16})}, "digits"
        teacher = {"epochs": 2, "learning_rate": 0.02}
    torch.manual_seed(0)
    workload = ImageClassification(network=network, data=split, teacher=teacher)
    with tempfile.TemporaryDirectory() as folder:
        ctx = TrialContext(0, Path(folder), "cpu", lambda *_, **__: None, lambda: False)
        weights = teacher_weights(workload, ctx)
        anything = CkksParams(13, Chain(40, (30,), (50,)), 30)
        graph = graph_for(Candidate("ckks", anything, weights=weights), workload, "benchmark", ctx)
    module = load_weights(workload.build(0), weights).eval()
    validation = workload.data.validation
    with torch.no_grad():
        right = (module(validation.x).argmax(dim=1) == validation.y).float().mean()
    x, samples = flat(validation.x[:images]), flat(workload.data.train.x[:SAMPLES])
    accuracy = round(100 * float(right), 2)
    return Case(name, graph, module, samples, x, reference.run(graph, x), accuracy)


def flat(images: torch.Tensor) -> np.ndarray:
    """``[n, elements]``, float64."""
    return np.asarray(images.reshape(len(images), -1).double().numpy())


def packed_for(case: Case, params: CkksParams, times: OperationTimes) -> PackedNetwork:
    """The network in the slots of ``params``."""
    return pack(case.graph, params.slots, params, times)


def on_seal(
    case: Case,
    params: CkksParams,
    times: OperationTimes,
    *,
    keys: int = 2,
    images: int | None = None,
    processes: int = 1,
    packed: PackedNetwork | None = None,
) -> dict[str, Any]:
    """One encrypted run on our engine, as figures."""
    packed = packed or packed_for(case, params, times)
    inputs = case.images[:images]
    run = run_encrypted(packed, params, inputs, repeats=keys, limits=LIMITS, processes=processes)
    circuit = circuit_of(packed, params)
    chain = params.chain
    held = len(circuit.rotations) + int(circuit.relinearise)
    limbs = circuit.stages[0].limbs_in
    sent = packed.layouts[packed.graph.nodes[0].name].ciphertexts
    keyed = key_mb(held, np.array([chain.limbs]), np.array([len(chain.special)]), params.n)
    return {
        **described(params),
        "input_packing": params.input_packing,
        "drops": params.drops,
        **figures(run, case),
        "upload_mb": round(upload_mb(sent, limbs, params.n), 3),
        "key_mb": round(float(keyed[0]), 1),
        "rotations": sum(linear.rotations for linear in packed.linears.values()),
        "diagonals": [len(linear.terms) for linear in packed.linears.values()],
    }


def on_orion(
    case: Case, params: CkksParams, *, keys: int = 1, images: int | None = None
) -> dict[str, Any]:
    """One encrypted run by Orion with ``params``, as figures.

    Raises:
        MissingExtra: Orion is not installed.
        BackendFailure: there is no answer.
    """
    from evaluators.fhe.orion.run import Orion

    inputs = case.images[:images]
    schedule = [list(range(len(inputs)))] * keys
    task = Task(case.graph, params, network=case.network)
    run = Orion().run(task, inputs, schedule=schedule, limits=LIMITS)
    chain, special = params.chain, np.array([len(params.chain.special)])
    held = run.notes["cost"]["galois_key_count"] + 1
    limbs = run.notes["input_level"] + 1
    # It encrypts with the public key: both halves of a ciphertext are sent.
    sent = 2 * -(-inputs.shape[1] // params.slots)
    return {
        **described(params),
        **figures(run, case),
        "upload_mb": round(upload_mb(sent, limbs, params.n), 3),
        "key_mb": round(float(key_mb(held, np.array([chain.limbs]), special, params.n)[0]), 1),
        "galois_keys": run.notes["cost"]["galois_key_count"],
    }


def described(params: CkksParams) -> dict[str, Any]:
    """The configuration and what the security tables say about it."""
    chain = params.chain
    weight = params.secret_weight
    new, old = Security(), Security(table="legacy_2018")
    return {
        "log_n": params.log_n,
        "chain": [chain.first, *chain.levels, "+", *chain.special],
        "scale": params.scale,
        "ring": params.ring,
        "secret_weight": weight or "dense",
        "log_qp": chain.log_qp,
        "limit_2024": new.limit(params.log_n, weight),
        "slack_2024": new.slack(params),
        "limit_2018": old.limit(params.log_n, weight),
        "packing": [f"{c.site} {c.rescaling}" for c in params.layers],
    }


def figures(run: EncryptedRun, case: Case) -> dict[str, Any]:
    """Times of one inference (medians), precision, classes, memory, and times by stage."""
    found = compare(
        np.array([i.output for i in run.inferences]),
        np.array([case.exact[i.image] for i in run.inferences]),
    )
    inferences = run.inferences
    return {
        "inferences": len(inferences),
        "cpu_s": rounded(statistics.median(i.cpu_seconds for i in inferences)),
        "server_cpu_s": rounded(statistics.median(server_cpu_ms(i) / 1e3 for i in inferences)),
        "least_cpu_s": rounded(min(i.cpu_seconds for i in inferences)),
        "wall_s": rounded(statistics.median(i.seconds for i in inferences)),
        "bits": round(found.mean, 2),
        "worst_bits": round(found.worst, 2),
        "agreement": round(100 * found.agreement, 1),
        "memory_mb": round(run.peak_mb),
        "setup_cpu_s": {s.stage: rounded(s.cpu_seconds) for s in run.setup},
        "stages_ms": {row["stage"]: round(row["cpu_ms"], 1) for row in median_stages(run)},
    }


def times_of(wanted: str = "auto") -> OperationTimes:
    """Times that layouts are chosen by."""
    return find_times(wanted)


def facts() -> dict[str, Any]:
    """Of the machine."""
    import os

    return {"host": platform.node(), "load": [round(v, 1) for v in os.getloadavg()]}


def rounded(value: float) -> float:
    """Four significant digits."""
    return float(f"{value:.4g}")


def ratio(one: Mapping[str, Any], other: Mapping[str, Any], figure: str = "cpu_s") -> float:
    """How many times ``one`` takes of what ``other`` takes."""
    return round(float(one[figure]) / float(other[figure]), 2)
