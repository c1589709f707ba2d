import torch
from torch import nn

from search.methods.pruning.masks import Gradual, Masked, harden, layer_weights, nonzero_masks
from search.methods.pruning.projections import ConstraintSet, structured
from spaces.pruning.plan import LayerPruning


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 4))


def test_layers_are_those_with_weights() -> None:
    assert list(layer_weights(network())) == ["0", "3"]


def test_hardening_zeroes_and_tells_what_is_left() -> None:
    net = network()
    masks = harden(net, ConstraintSet({"3": structured(LayerPruning("3", "element", 5, 32))}))
    assert int(masks["3"].sum()) == int((net[3].weight != 0).sum()) == 5
    assert set(nonzero_masks(net)) == {"3"}
    assert torch.equal(nonzero_masks(net)["3"], masks["3"])


def test_dropped_and_frozen_weights_stay() -> None:
    weight = nn.Parameter(torch.arange(1.0, 7.0).view(1, 6))
    mask = torch.tensor([[True, True, True, True, False, False]])
    frozen = torch.tensor([[True, False, False, False, False, False]])
    hooks = Masked({"w": weight}, {"w": mask}, {"w": frozen})
    with torch.no_grad():
        weight += 1
    hooks.weights(0)
    assert weight.tolist() == [[1.0, 3.0, 4.0, 5.0, 0.0, 0.0]]


def test_gradual_pruning_follows_the_cube_and_never_returns() -> None:
    weight = nn.Parameter(torch.randn(1, 1000, generator=torch.Generator().manual_seed(1)))

    def tighten(done: float) -> ConstraintSet:
        entry = LayerPruning("w", "element", round(1000 - 900 * done), 1000)
        return ConstraintSet({"w": structured(entry)})

    hooks = Gradual({"w": weight}, tighten, 40, every=10)  # type: ignore[arg-type]
    left, gone = [], torch.zeros(1, 1000, dtype=torch.bool)
    for step in range(40):
        with torch.no_grad():
            weight += torch.randn(weight.shape, generator=torch.Generator().manual_seed(step + 2))
        hooks.weights(step)
        assert bool((weight[gone] == 0).all())
        gone |= weight.detach() == 0
        left.append(int((weight != 0).sum()))
    shares = [1 - (1 - t) ** 3 for t in (0.25, 0.5, 0.75, 1.0)]
    assert left[9::10] == [round(1000 - 900 * s) for s in shares]
    assert left[0] == 1000
