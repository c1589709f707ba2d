from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from evaluators.fhe.network import SAMPLES, graph_for
from evaluators.fhe.reference import ranges, run
from search.api.candidate import Candidate
from search.api.errors import ConfigError, EvaluationError
from search.workloads.image import ImageClassification
from search.workloads.plan import save_weights
from spaces.ckks.params import ActivationChoice, Chain, CkksParams

PARAMS = CkksParams(13, Chain(40, (30,) * 5, (50,)), 30)


@pytest.fixture(scope="module")
def workload() -> ImageClassification:
    return ImageClassification({"name": "ckks_mlp", "hidden": [16]}, "digits")


@pytest.fixture(scope="module")
def relu() -> ImageClassification:
    network = {"name": "ckks_mlp", "hidden": [16], "activation": "relu"}
    return ImageClassification(network, "digits")


def candidate(workload: Any, folder: Path, seed: int = 0, **choices: Any) -> Candidate[Any]:
    weights = save_weights(workload.build(seed), folder / f"{seed}.safetensors")
    return Candidate("ckks", dataclasses.replace(PARAMS, **choices), weights)


def test_the_graph_is_the_network(workload: ImageClassification, tmp_path: Path) -> None:
    graph = graph_for(candidate(workload, tmp_path), workload, "test", None)
    x = workload.data.validation.x[:20]
    with torch.no_grad():
        expected = workload.build(0).eval()(x).numpy()
    np.testing.assert_allclose(run(graph, x.numpy()), expected, atol=1e-4)
    assert graph.ranges == ranges(graph, workload.data.train.x[:SAMPLES].numpy())


def test_chains_share_a_graph_and_other_weights_do_not(
    workload: ImageClassification, tmp_path: Path
) -> None:
    first = candidate(workload, tmp_path)
    other_chain = dataclasses.replace(
        first, payload=dataclasses.replace(PARAMS, scale=25, log_n=14)
    )
    graphs = [
        graph_for(c, workload, "test", None)
        for c in (first, other_chain, candidate(workload, tmp_path, seed=1))
    ]
    assert graphs[0] is graphs[1]
    assert graphs[0] is not graphs[2]


def test_choices_of_activations(relu: ImageClassification, tmp_path: Path) -> None:
    choice = ActivationChoice("act1", "polynomial", 7, 1.5)
    made = candidate(relu, tmp_path, activations=(choice,))
    nodes = {n.name: n for n in graph_for(made, relu, "test", None).nodes}
    polynomial = nodes["act1"].polynomial
    assert polynomial is not None
    assert (polynomial.function, len(polynomial.coefficients) <= 8) == ("relu", True)
    with pytest.raises(ConfigError, match="act1: relu is no polynomial"):
        graph_for(candidate(relu, tmp_path), relu, "test", None)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"weights": None}, "test needs trained weights .*pretrained"),
        ({"weights": Path("/nowhere")}, "/nowhere: no such file"),
        ({"payload": object()}, "test reads CKKS configurations .*object"),
        (
            {
                "payload": dataclasses.replace(
                    PARAMS, activations=(ActivationChoice("act2", "square"),)
                )
            },
            "activation 'act2': the network has no such site. Did you mean 'act1'",
        ),
    ],
    ids=["weights", "file", "payload", "site"],
)
def test_what_cannot_be_read(
    workload: ImageClassification, tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    made = dataclasses.replace(candidate(workload, tmp_path), **changed)
    with pytest.raises(EvaluationError, match=message):
        graph_for(made, workload, "test", None)
