from pathlib import Path

import pytest

from evaluators.trained import need_workload, trained_network
from search.api.candidate import Candidate
from search.api.errors import ConfigError, EvaluationError
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
