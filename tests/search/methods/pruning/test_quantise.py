import torch
from torch import nn

from search.methods.pruning.quantise import _Grid
from spaces.pruning.plan import LayerLevels


def test_the_nearest_weights_are_frozen_first_and_all_in_the_end() -> None:
    weight = nn.Parameter(torch.randn(40, 5, generator=torch.Generator().manual_seed(0)))
    with torch.no_grad():
        weight[:10] = 0
    before = weight.detach().clone()
    grid = _Grid(LayerLevels("fc", 3), weight)
    half = grid.freeze(weight, 0.5)
    assert int(half.sum()) == 75
    assert bool((before[half] != 0).all())
    assert torch.equal(weight[~half], before[~half])
    moved = (before - weight.detach()).abs()[half]
    steps = torch.arange(1.0, 5.0) * grid.interval
    left = (before[(~half) & (before != 0)].abs()[:, None] - steps).abs().min(1).values
    assert float(moved.max()) <= float(left.min()) + 1e-6
    grid.freeze(weight, 1.0)
    levels = torch.unique(weight.detach()[weight != 0].abs())
    assert len(levels) <= 4
    assert bool((weight[:10] == 0).all())
