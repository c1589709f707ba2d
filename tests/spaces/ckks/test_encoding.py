from typing import Any

import pytest

from search.api.domain import Choice, Integer, Ordinal, Vector
from search.api.network import Site
from spaces.ckks.encoding import Encoding, sign_violations
from spaces.ckks.layers import Layers
from spaces.ckks.options import CkksConfig
from spaces.ckks.params import ActivationChoice, Chain, CkksParams, LayerPacking

NET = Layers(
    (
        Site("fc1", "linear", "linear", (8,), (8,)),
        Site("r1", "activation", "relu", (8,), (8,)),
        Site("fc2", "linear", "linear", (8,), (8,)),
        Site("r2", "activation", "silu", (8,), (8,)),
        Site("fc3", "linear", "linear", (8,), (2,)),
    )
)
BASE = {"log_n": 14, "scale": 30, "headroom": 6, "special_gap": 12, "input_packing": "plain"}
FULL = {**BASE, "rescaling": "last"}


def encoding(layers: Layers | None = NET, **options: Any) -> Encoding:
    return Encoding(CkksConfig(**options), layers)


def names(of: Encoding) -> list[str]:
    return [p.name for p in of.params]


def test_a_default_search_has_few_parameters() -> None:
    assert names(encoding()) == [*BASE, "rescaling", "degree"]
    assert names(encoding(None, depth=5)) == list(BASE)
    assert all(p.doc and p.unit is not None for p in encoding().params)


def test_options_with_one_value_are_fixed_and_no_parameters() -> None:
    fixed = encoding(log_n=(14,), scale=(30, 30), degree=(7,))
    assert names(fixed) == ["headroom", "special_gap", "input_packing", "rescaling"]
    assert fixed.complete({})["scale"] == 30
    assert fixed.decode({k: FULL[k] for k in names(fixed)}).log_n == 14


def test_a_point_becomes_a_configuration() -> None:
    params = encoding().decode({**FULL, "degree": 7})
    fitted = tuple(ActivationChoice(s, "polynomial", 7, 2.0) for s in ("r1", "r2"))
    assert params == CkksParams(14, Chain(36, (30,) * 9, (48,)), 30, activations=fitted)


def test_the_chain_follows_the_degree_unless_given() -> None:
    lengths = [len(encoding().decode({**FULL, "degree": d}).chain.levels) for d in (7, 15, 27)]
    assert lengths == [9, 11, 13]
    spare = encoding(spare_levels=(0, 2)).decode({**FULL, "degree": 7, "spare_levels": 2})
    assert len(spare.chain.levels) == 11
    assert len(encoding(levels=4).decode({**FULL, "degree": 7}).chain.levels) == 4
    assert len(encoding(None, depth=3).decode(BASE).chain.levels) == 3


def test_the_special_prime_is_cut_at_the_largest_size() -> None:
    high = {**FULL, "scale": 45, "headroom": 10, "degree": 7}
    assert encoding().decode(high).chain.special == (60,)


def test_vectors_over_layers_sites_and_levels() -> None:
    wide = encoding(
        embedding=("fold", "square"), baby=(0, 4, 8), activation=("polynomial", "square"),
        per_site=True, level_offset=(-1, 1), offset_per_level=True,
    )  # fmt: skip
    domains = {p.name: p.domain for p in wide.params}
    assert domains["embedding"] == Vector(Choice(("fold", "square")), 3)
    assert domains["baby"] == Vector(Ordinal((0, 4, 8)), 3)
    assert domains["activation"] == Vector(Choice(("polynomial", "square")), 2)
    assert domains["level_offset"] == Vector(Integer(-1, 1), 13)
    params = wide.decode(
        {**FULL, "embedding": ("fold", "square", "fold"), "baby": (0, 4, 0),
         "activation": ("square", "polynomial"), "degree": (7, 15), "margin": (2.0, 2.0),
         "level_offset": (-1, 1, 0) + (0,) * 10}
    )  # fmt: skip
    assert params.layers == (LayerPacking("fc2", "square", 4),)
    assert params.activations == (
        ActivationChoice("r1", "square"),
        ActivationChoice("r2", "polynomial", 15, 2.0),
    )
    assert params.chain.levels == (29, 31, 30, 30, 30, 30, 30, 30)


def test_all_linear_layers_rescale_alike() -> None:
    soon = encoding(per_layer=True).decode({**FULL, "rescaling": "soon", "degree": 7})
    assert soon.layers == tuple(LayerPacking(s, rescaling="soon") for s in NET.linears)
    only = encoding(rescaling=("soon",), embedding=("fold", "square"))
    assert "rescaling" not in names(only)
    mixed = only.decode({**BASE, "embedding": ("square", "fold", "fold"), "degree": 7})
    assert [(c.embedding, c.rescaling) for c in mixed.layers] == [
        ("square", "soon"), ("fold", "soon"), ("fold", "soon")
    ]  # fmt: skip


def test_degree_counts_only_where_something_is_fitted() -> None:
    chosen = encoding(activation=("square", "polynomial"), margin=(1.5, 2.0))
    (degree,) = [p for p in chosen.params if p.name == "degree"]
    assert degree.when == {"activation": ("polynomial",)}
    point = {**FULL, "activation": "square", "drops": "each"}
    assert not chosen.domain_violations(point)
    assert chosen.decode(point).activations[0] == ActivationChoice("r1", "square")
    assert chosen.domain_violations({**FULL, "drops": "each", "activation": "polynomial"})


def test_bootstraps_and_secrets() -> None:
    big = encoding(bootstrap=True, library="lattigo", secret_weight=(0, 192), levels=6)
    point = {**FULL, "secret_weight": 192, "bootstrap": (False, True, False), "degree": 7}
    params = big.decode(point)
    assert (params.secret_weight, params.bootstraps) == (192, ("fc2",))
    assert big.decode({**point, "secret_weight": 0}).secret_weight is None


@pytest.mark.parametrize(
    "change", [{"scale": 70}, {"scale": 30.0}, {"scale": (30,)}, {"log_n": 11}]
)
def test_values_outside_their_domain_are_told(change: dict[str, Any]) -> None:
    (violation,) = encoding().domain_violations({**FULL, "degree": 7, **change})
    assert violation.rule == "domain"
    assert next(iter(change)) in violation.detail


def test_missing_values_are_told() -> None:
    assert len(encoding().domain_violations({})) == 7


def test_signs_of_impossible_degree() -> None:
    signs = CkksParams(14, Chain(36, (30,), (48,)), 30,
                       activations=(ActivationChoice("r1", "sign_relu", 8),
                                    ActivationChoice("r2", "sign_relu", 15)))  # fmt: skip
    (violation,) = sign_violations(signs)
    assert violation.rule == "unsupported"
    assert "r1: no composite sign has degree 8" in violation.detail
    assert "Nearest: 7" in violation.detail


PAIRS = Layers(
    (
        Site("fc1", "linear", "linear", (8,), (8,)),
        Site("a1", "activation", "square", (8,), (8,)),
        Site("fc2", "linear", "linear", (8,), (8,)),
        Site("a2", "activation", "square", (8,), (8,)),
        Site("fc3", "linear", "linear", (8,), (2,)),
    )
)


def paired(**values: Any) -> CkksParams:
    return encoding(PAIRS).decode({**BASE, "rescaling": "last", "drops": "paired", **values})


def test_pairs_are_offered_where_there_are_any() -> None:
    domains = {p.name: p for p in encoding(PAIRS).params}
    assert domains["drops"].domain == Choice(("each", "paired"))
    assert domains["weight_bits"].when == {"drops": ("paired",)}
    assert "drops" not in names(encoding(NET))  # nothing but fitted polynomials
    assert "drops" in names(encoding(NET, activation=("polynomial", "square")))
    assert "drops" not in names(encoding(PAIRS, library="lattigo"))
    assert names(encoding(PAIRS, drops=("each",))) == names(encoding(PAIRS, library="lattigo"))
    only = {p.name: p for p in encoding(PAIRS, drops=("paired",)).params}
    assert only["weight_bits"].when == {}


def test_primes_of_pairs_hold_scale_and_weights() -> None:
    found = paired(weight_bits=25)
    assert (found.chain, found.drops) == (Chain(36, (55, 55, 30), (55,)), "paired")
    assert paired(weight_bits=20).chain == Chain(36, (50, 50, 30), (50,))
    each = encoding(PAIRS).decode({**BASE, "rescaling": "last", "drops": "each"})
    assert (each.chain, each.weight_bits) == (Chain(36, (30,) * 5, (48,)), 0)


def test_scales_rise_where_pairs_need_more_than_a_prime_has() -> None:
    """2 * 30 + 32 - 60 = 32, 2 * 32 + 32 - 60 = 36, and 6 bits of head-room."""
    assert paired(weight_bits=32).chain == Chain(42, (60, 60, 30), (60,))


def test_pairs_of_no_known_network_are_refused() -> None:
    from search.api.errors import ConfigError
    from spaces.ckks.space import CkksSpace

    with pytest.raises(ConfigError, match="space.drops: which levels are dropped in pairs"):
        CkksSpace(None, CkksConfig(depth=5, drops=("paired",)))
