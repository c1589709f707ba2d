"""Shares of layers by scores of their weights."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from search.api.network import Site
from search.methods.pruning.allocation import RULES, Allocation, energies
from search.workloads.pruning.structures import mask_of
from spaces.pruning.layout import Piece
from spaces.pruning.space import PruningRatio

WIDTHS = {"fc1": (8, 6), "fc2": (5, 8), "fc3": (3, 5)}


def sites() -> list[Site]:
    """Three linear layers."""
    return [
        Site(name, "linear", "linear", (inputs,), (rows,), rows * inputs, rows * inputs)
        for name, (rows, inputs) in WIDTHS.items()
    ]


def weights(seed: int = 0) -> dict[str, Tensor]:
    """Of different sizes, so that layers are not alike."""
    made = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(*shape, generator=made) * 4.0**-at
        for at, (name, shape) in enumerate(WIDTHS.items())
    }


def shares(rule: str, given: Mapping[str, Tensor], ratio: float, **options: object) -> list[float]:
    """What each layer keeps at ``ratio``."""
    space = PruningRatio(sites(), ratio=ratio, low=0.01, **options)
    allocation = Allocation(space, given, rule)
    found = allocation.shares(space.allowed or 0)
    assert space.kept_weights(found) <= (space.allowed or 0)
    return list(found)


@pytest.mark.parametrize("ratio", [1.5, 3, 8])
def test_lamp_keeps_the_best_scores_of_the_whole_network(ratio: float) -> None:
    """By the definition: a weight's square over those of its layer that are no smaller.

    Source: Lee et al. (ICLR 2021), equation 4.
    """
    given = weights()
    scores = {
        name: [float(w**2 / sum(v**2 for v in flat if v**2 >= w**2)) for w in flat]
        for name, flat in ((n, t.double().flatten()) for n, t in given.items())
    }
    everything = sorted((s for own in scores.values() for s in own), reverse=True)
    found = shares("lamp", given, ratio)
    kept = [round(share * t.numel()) for share, t in zip(found, given.values(), strict=True)]
    bound = everything[sum(kept) - 1]
    assert kept == [sum(s >= bound for s in own) for own in scores.values()]


def test_magnitude_is_one_threshold_for_all_layers() -> None:
    given = weights()
    found = shares("magnitude", given, 3)
    kept = sum(round(s * t.numel()) for s, t in zip(found, given.values(), strict=True))
    bound = torch.cat([t.abs().flatten() for t in given.values()]).sort(descending=True).values
    expected = [float((t.abs() >= bound[kept - 1]).double().mean()) for t in given.values()]
    # The smallest layer would vanish; one weight of it stays.
    assert found == pytest.approx([max(e, 0.01) for e in expected])


def test_magnitude_starves_layers_of_small_weights_and_lamp_does_not() -> None:
    """Scores by layer do not depend on a layer's scale."""
    given = weights()
    scaled = {name: t * 10.0**at for at, (name, t) in enumerate(given.items())}
    assert shares("lamp", given, 4) == pytest.approx(shares("lamp", scaled, 4))
    assert shares("magnitude", given, 4)[2] < 0.1 < shares("lamp", given, 4)[2]


def test_shapes_alone_decide_by_erdos_renyi() -> None:
    """Density in proportion to the sum of sides over their product, 1 at most."""
    found = shares("erdos_renyi", weights(), 3)
    density = [sum(shape) / (shape[0] * shape[1]) for shape in WIDTHS.values()]
    for a, b, x, y in zip(found, found[1:], density, density[1:], strict=False):
        assert a / b == pytest.approx(x / y, abs=0.25)  # whole weights
    assert found == shares("erdos_renyi", weights(1), 3)


@pytest.mark.parametrize("structure", ["element", "filter", "column", "channel", "nm", "pattern"])
def test_energies_are_those_of_the_units_that_a_mask_keeps(structure: str) -> None:
    weight = torch.randn(6, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    units = {"element": 216, "filter": 6, "column": 36, "channel": 4, "nm": 4, "pattern": 9}
    found = energies(weight, Piece(structure, units[structure], 0)).cumsum(0)
    for kept in (1, 2, 3):
        # As many patterns as kernels could choose, so that each has its own best one.
        mask = mask_of(weight, structure, kept, units[structure], pool=500)
        assert float(found[kept - 1]) == pytest.approx(float((weight * mask).square().sum()))


def test_rules_fall_with_rank() -> None:
    weight = weights()["fc1"]
    for name, rule in RULES.items():
        scores = rule(weight, Piece("element", weight.numel(), 0))
        assert bool((scores.diff() <= 0).all()), name


def test_dead_layers_keep_their_smallest_share() -> None:
    given = weights() | {"fc2": torch.zeros(5, 8)}
    found = shares("lamp", given, 4)
    assert found[1] == pytest.approx(0.025, abs=0.02)


def test_what_layers_share_is_a_mean_over_them() -> None:
    space = PruningRatio(sites(), ratio=4.0, low=0.01, granularity="network")
    allocation = Allocation(space, weights(), "lamp")
    found = allocation.shares(space.allowed or 0)
    assert len(found) == 1
    assert space.kept_weights(found) <= (space.allowed or 0)
