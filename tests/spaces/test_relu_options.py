import pytest

from search.api.errors import ConfigError
from search.api.network import Site
from spaces.relu_options import ACTIVATIONS, ReluPlacementConfig, fixed_sites, operators_of

SITES = tuple(Site(n, "activation", "relu", (2,), (2,)) for n in ("a.0", "a.1", "b"))
OPTIONS = {s.name: ACTIVATIONS for s in SITES}


def test_globs_fix_several_sites_in_execution_order() -> None:
    fixed = fixed_sites({"b": "relu", "a.*": "x2act"}, SITES, OPTIONS)
    assert list(fixed.items()) == [("a.0", "x2act"), ("a.1", "x2act"), ("b", "relu")]


def test_patterns_that_agree_may_overlap() -> None:
    assert fixed_sites({"a.0": "relu", "a.*": "relu"}, SITES, OPTIONS) == {
        "a.0": "relu", "a.1": "relu"
    }  # fmt: skip


def test_errors_name_the_option() -> None:
    with pytest.raises(ConfigError, match=r"space\.fixed\['c'\]: no activation or max pool"):
        fixed_sites({"c": "relu"}, SITES, OPTIONS)
    with pytest.raises(ConfigError, match=r"p\[1\]: unknown operator 'x2acct'.*'x2act'"):
        operators_of(["relu", "x2acct"], ACTIVATIONS, "p")


def test_unknown_options_are_refused_and_defaults_are_the_papers_choices() -> None:
    with pytest.raises(ValueError, match="extra"):
        ReluPlacementConfig(granularityy="layer")
    config = ReluPlacementConfig()
    assert (config.activations, config.pools) == (("x2act", "relu"), ("avg", "max"))
