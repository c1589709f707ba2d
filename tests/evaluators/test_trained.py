from pathlib import Path

import pytest

from evaluators.trained import need_workload, trained_network
from search.api.candidate import Candidate
from search.api.errors import ConfigError, EvaluationError
from search.workloads.image import ImageClassification
from search.workloads.plan import save_weights
from spaces.ckks.params import Chain, CkksParams
from spaces.plan import NonlinearityPlan, SiteChoice


def test_without_a_workload_the_message_says_what_to_add() -> None:
    with pytest.raises(ConfigError, match="evaluator mine needs a network and data.*workload:"):
        need_workload(None, "mine")
    assert need_workload("any", "mine") == "any"


def test_what_cannot_become_a_network_is_refused() -> None:
    plan = NonlinearityPlan((SiteChoice("a", "relu", relu_bits=8),))
    weights = Path("weights.safetensors")
    with pytest.raises(EvaluationError, match="mine needs trained weights"):
        trained_network(Candidate("k", plan), None, "mine")
    with pytest.raises(EvaluationError, match="payload of type int"):
        trained_network(Candidate("k", 3, weights), None, "mine")
    with pytest.raises(EvaluationError, match=r"a: X compares whole \(got relu_bits=8\)"):
        trained_network(Candidate("k", plan, weights), None, "mine", whole_ring="X compares whole")


def test_a_ckks_configuration_runs_the_network_as_it_is(tmp_path: Path) -> None:
    import torch

    workload = ImageClassification(network={"name": "ckks_mlp", "hidden": [4]}, data="digits")
    own = workload.build(3).eval()
    params = CkksParams(13, Chain(37, (26,) * 3, (50,)), 26)
    candidate = Candidate("ckks", params, save_weights(own, tmp_path / "w.safetensors"))
    network = trained_network(candidate, workload, "accuracy")
    assert not network.training
    x = torch.rand(2, 1, 8, 8)
    assert torch.equal(network(x), own(x))
