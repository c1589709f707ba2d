import pytest

from evaluators.usage import sites_of, usage_of
from search.api.candidate import Candidate
from search.api.errors import ConfigError, EvaluationError
from search.api.network import Site, Work
from spaces.relu import NonlinearityPlan, SiteChoice

SITES = (Site("a", "activation", "relu", (4,), (4,)),)


def test_any_payload_that_counts_its_work_will_do() -> None:
    plan = NonlinearityPlan((SiteChoice("a", "x2act"),))
    assert usage_of(Candidate("k", plan), SITES) == [Work("a", "x2act", 1.0, 4.0, 4.0, 0.0)]


def test_other_payloads_are_refused() -> None:
    with pytest.raises(EvaluationError, match="payload of type dict does no countable work"):
        usage_of(Candidate("k", {"x": 1}), SITES)


def test_sites_need_a_workload() -> None:
    with pytest.raises(ConfigError, match="evaluator e needs a network"):
        sites_of(None, "e")
