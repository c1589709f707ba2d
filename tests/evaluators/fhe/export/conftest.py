"""One tiny real study of CKKS configurations, exported once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from evaluators.fhe.packed import PackedNetwork
from evaluators.fhe.packing import pack
from search import Study
from spaces.ckks.params import ActivationChoice, Chain, CkksParams, LayerPacking

SPEC = {
    "workload": {
        "name": "image_classification",
        "network": {"name": "ckks_mlp", "hidden": [16]},
        "data": "digits",
        "teacher": {"epochs": 4, "learning_rate": 0.02},
    },
    "space": {"name": "ckks", "log_n": [12, 13], "drops": ["each"], "security": {"bits": 128}},
    "method": "pretrained",
    "objectives": ["key_mb"],
    "ladder": [{"rung": "static", "evaluators": ["ckks_static"]}],
    "searcher": "direct_synthesis",
    "budget": {"trials": 1},
    "runner": "inline",
}


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """One finished trial of a perceptron with a square on digits."""
    base = tmp_path_factory.mktemp("ckks-export")
    torch.set_num_threads(1)
    config = base / "study.yaml"
    head = {"study": {"name": "tiny", "directory": str(base / "runs")}}
    config.write_text(json.dumps({**head, **SPEC}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CIPHER_SEARCH_CACHE", str(base / "cache"))
        made = Study.from_yaml(config)
        made.run()
        made.export(0, base / "trial-0")
    return made


@pytest.fixture(scope="session")
def exported(study: Study) -> Path:
    """The folder of its trial."""
    return study.path.parents[1] / "trial-0"


@pytest.fixture(scope="session")
def params() -> CkksParams:
    """A configuration with everything that can be chosen."""
    return CkksParams(
        13,
        Chain(32, (27, 27, 27), (45,)),
        27,
        layers=(LayerPacking("fc1", "square", 4),),
        activations=(ActivationChoice("act", "polynomial", 7, 1.5),),
    )


@pytest.fixture(scope="session")
def packed(networks: Any, params: CkksParams) -> PackedNetwork:
    """A perceptron with one square, in slots."""
    graph = networks.chain((1, 4, 4), ("fc", 8), ("square",), ("fc", 4))
    return pack(graph, params.slots, params)
