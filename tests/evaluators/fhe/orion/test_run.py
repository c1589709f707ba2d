"""Networks run by Orion for real, its levels against ours, and its failures as verdicts."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from evaluators.fhe.backends import Limits, Task
from evaluators.fhe.failures import BackendFailure
from evaluators.fhe.graph import Graph
from evaluators.fhe.levels import assign, depth
from evaluators.fhe.orion import run
from evaluators.fhe.orion.run import CAPABILITIES, Orion, parameters
from evaluators.fhe.orion.shipped import shipped
from evaluators.fhe.reference import run as reference
from evaluators.fhe.trace import graph_of
from search.api.errors import EvaluationError
from search.workloads.networks.encrypted import ckks_lenet, ckks_lola, ckks_mlp
from spaces.ckks.params import Chain, CkksParams

LIMITS = Limits(300, 6000)
PARAMS = CkksParams(11, Chain(45, (35, 35, 35), (50,)), 35)  # no security: small and quick


def task(network: nn.Module, shape: tuple[int, ...], params: CkksParams = PARAMS) -> Task:
    torch.manual_seed(0)
    for _ in range(5):
        network(torch.rand(32, *shape))
    return Task(graph_of(network.eval(), shape), params, network=network)


def small(params: CkksParams = PARAMS) -> Task:
    return task(ckks_mlp((1, 6, 6), 3, hidden=(8,)), (1, 6, 6), params)


def inputs(count: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(size=(count, 36))


@pytest.mark.orion
@pytest.mark.slow
def test_answers_are_those_of_the_network_under_each_set_of_keys() -> None:
    what, x = small(), inputs(3)
    found = Orion().run(what, x, schedule=[[0, 2], [1]], limits=LIMITS)
    assert [(i.repeat, i.image) for i in found.inferences] == [(0, 0), (0, 2), (1, 1)]
    exact = reference(what.graph, x)
    for inference in found.inferences:
        assert np.abs(inference.output - exact[inference.image]).max() < 2**-10
        places = [(s.stage, s.place) for s in inference.stages]
        assert places == [("encrypt", "client"), ("network", "server"), ("decrypt", "client")]
        assert all(s.seconds > 0 and s.cpu_seconds >= 0 for s in inference.stages)
    assert [s.stage for s in found.setup] == ["compile", "encode_weights", "keys", "keys"]
    assert found.notes["input_level"] == 3
    assert 100 < found.peak_mb < LIMITS.memory_mb


@pytest.mark.orion
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "make"), [("mlp", ckks_mlp), ("lola", ckks_lola), ("lenet", ckks_lenet)]
)
def test_levels_are_as_orion_assigns_them(name: str, make) -> None:
    params = shipped()[name]
    what = task(make((1, 28, 28), 10), (1, 28, 28), params)
    compiled = Orion().compile(what, LIMITS)
    ours = assign(what.graph, params)
    assert compiled.input_level == depth(what.graph)
    assert compiled.bootstraps == 0
    levels = {site: (own.limbs_in - 1, own.limbs_out - 1) for site, own in ours.items()}
    assert compiled.levels == {site: levels[site] for site in compiled.levels}
    assert len(compiled.levels) == len(what.graph.nodes) - 1  # all but the input


@pytest.mark.orion
@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"chain": Chain(45, (35,), (50,))}, "depth"),
        ({"log_n": 17, "chain": Chain(18, (18,) * 5, (20,))}, "no_primes"),
    ],
)
def test_failures_have_kinds(changes: dict, kind: str) -> None:
    what = small(dataclasses.replace(PARAMS, **changes))
    with pytest.raises(BackendFailure) as caught:
        Orion().run(what, inputs(1), schedule=[[0]], limits=LIMITS)
    assert caught.value.kind == kind, caught.value


@pytest.mark.orion
def test_limits_end_it() -> None:
    with pytest.raises(BackendFailure, match="no answer within") as caught:
        Orion().run(small(), inputs(1), schedule=[[0]], limits=Limits(0.5, 6000))
    assert caught.value.kind == "timeout"
    with pytest.raises(BackendFailure) as caught:
        Orion().run(small(), inputs(1), schedule=[[0]], limits=Limits(60, 30))
    assert caught.value.kind == "memory"


def test_what_it_cannot_do_is_refused_before_a_process_starts() -> None:
    orion = Orion(python=Path("/nowhere"))
    assert orion.capabilities() is CAPABILITIES
    refused = {
        "a prime of 61 bits": dataclasses.replace(PARAMS, chain=Chain(61, (35,) * 3, (50,))),
        "bootstrapping at act1": dataclasses.replace(PARAMS, bootstraps=("act1",)),
    }
    for words, params in refused.items():
        with pytest.raises(BackendFailure, match=words) as caught:
            orion.run(small(params), inputs(1), schedule=[[0]], limits=LIMITS)
        assert caught.value.kind == "unsupported"
    with pytest.raises(BackendFailure, match="compiles networks itself"):
        orion.run(Task(small().graph, PARAMS), inputs(1), schedule=[[0]], limits=LIMITS)
    with pytest.raises(EvaluationError, match="no inputs"):
        orion.run(small(), inputs(1), schedule=[[]], limits=LIMITS)


def test_parameters_under_orions_names() -> None:
    assert parameters(PARAMS) == {
        "logn": 11,
        "logq": [45, 35, 35, 35],
        "logp": [50],
        "log_default_scale": 35,
        "h": 1365,
        "ring_type": "standard",
    }
    assert parameters(shipped()["lenet"])["h"] == 192
    assert parameters(shipped()["lenet"])["ring_type"] == "conjugate_invariant"


def stand_in(tmp_path: Path, report: str, outputs: str) -> Path:
    """An interpreter that leaves these results, whatever it is told."""
    python = tmp_path / "python"
    python.write_text(
        f"#!/bin/sh\ncat > $3/report.json <<'END'\n{report}\nEND\n"
        f"cp {tmp_path}/{outputs} $3/outputs.npy\n"
    )
    python.chmod(0o755)
    return python


@pytest.mark.parametrize(
    ("report", "values", "kind"),
    [
        ("{", [[0.0, 0.0, 0.0]], "crash"),
        ('{"inferences": []}', [[0.0, 0.0, 0.0]], "crash"),
        ("GOOD", [[0.0, 0.0]], "crash"),
        ("GOOD", [[0.0, float("nan"), 0.0]], "imprecise"),
    ],
)
def test_results_are_read_with_suspicion(
    tmp_path: Path, report: str, values: list, kind: str
) -> None:
    good = (
        '{"inferences": [{"image": 0, "repeat": 0, "stages": []}], "setup": [], "peak_mb": 1, '
        '"notes": {}}'
    )
    np.save(tmp_path / "values.npy", np.array(values))
    python = stand_in(tmp_path, good if report == "GOOD" else report, "values.npy")
    with pytest.raises(BackendFailure) as caught:
        Orion(python=python).run(small(), inputs(1), schedule=[[0]], limits=LIMITS)
    assert caught.value.kind == kind


@pytest.mark.parametrize(
    ("script", "kind", "words"),
    [
        ("echo 'panic: cannot GenModuli: failed' >&2; kill -ABRT $$", "no_primes", "SIGABRT"),
        ("echo 'fatal error: out of memory' >&2; kill -ABRT $$", "memory", "out of memory"),
        ("kill -KILL $$", "crash", "SIGKILL"),
        ("exit 7", "crash", "ended with code 7"),
    ],
)
def test_a_dying_process_is_a_verdict(tmp_path: Path, script: str, kind: str, words: str) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    with pytest.raises(BackendFailure, match=words) as caught:
        Orion(python=python).run(small(), inputs(1), schedule=[[0]], limits=LIMITS)
    assert caught.value.kind == kind


def test_graphs_and_modules_are_of_the_same_sites() -> None:
    what = small()
    assert isinstance(what.graph, Graph)
    assert run._layers(what).layers[-1]["site"] == what.graph.nodes[-1].name
