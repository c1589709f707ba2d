from itertools import combinations

import pytest
import torch
from torch import Tensor, nn

from search.methods.pruning.curvature import Curvature, curvature_of
from search.methods.pruning.duals import Admm
from search.methods.pruning.masks import Gradual
from search.methods.pruning.projections import ConstraintSet, Tied, structured
from spaces.pruning.plan import LayerPruning, Schedule

KEEP_TWO = ConstraintSet({"fc": structured(LayerPruning("fc", "element", 2, 6))})
TARGET = torch.tensor([[3.0, -0.5, 0.2, -2.0, 0.1, 0.9]])
STEEP = torch.tensor([[1.0, 100.0, 1.0, 1.0, 1.0, 50.0]])
"""Second derivatives: the second and last weight are small, and the loss hangs on them."""


def loss(weight: Tensor) -> float:
    return float((STEEP * (weight - TARGET).square()).sum())


def seen(gradient: Tensor, power: float = 0.5) -> Curvature:
    weight = nn.Parameter(torch.zeros_like(gradient))
    weight.grad = gradient
    found = Curvature(power)
    found.see({"fc": weight})
    return found


def test_nothing_seen_leaves_weights_as_they_are() -> None:
    weight = nn.Parameter(torch.ones(1, 6))
    curvature = Curvature(0.5)
    curvature.see({"fc": weight})
    assert torch.equal(curvature.scores({"fc": weight})["fc"], weight)
    assert curvature_of(0.0) is None


@pytest.mark.parametrize(("power", "expected"), [(0.5, 2.0), (1.0, 4.0)])
def test_scores_are_weights_times_the_root_of_what_they_count(
    power: float, expected: float
) -> None:
    """A gradient of 4 is a mean square of 16: weights count 4 (Adam) or 16 (Fisher)."""
    scores = seen(torch.full((1, 6), 4.0), power).scores({"fc": TARGET})
    torch.testing.assert_close(scores["fc"], expected * TARGET)


def test_means_forget_slowly() -> None:
    weight = nn.Parameter(torch.ones(1, 1))
    curvature = Curvature(1.0)
    for gradient in (1.0, 0.0, 0.0):
        weight.grad = torch.full((1, 1), gradient)
        curvature.see({"fc": weight})
    assert float(curvature.scores({"fc": weight})["fc"]) == pytest.approx(0.99)


def test_weights_that_nothing_reaches_are_told_apart_by_size() -> None:
    scores = seen(torch.zeros(1, 6)).scores({"fc": TARGET})["fc"]
    assert scores.abs().argsort().tolist() == TARGET.abs().argsort().tolist()


@pytest.mark.parametrize("seed", range(5))
def test_the_projection_is_the_nearest_in_the_norm(seed: int) -> None:
    torch.manual_seed(seed)
    weight, gradient = torch.randn(1, 6), torch.randn(1, 6)
    found = KEEP_TWO.project({"fc": weight}, seen(gradient).scores({"fc": weight}))["fc"]
    count = gradient.abs()  # the square to the power of a half

    def distance(kept: tuple[int, ...]) -> float:
        left_out = [i for i in range(6) if i not in kept]
        return float((count * weight.square())[0, left_out].sum())

    best = min(combinations(range(6), 2), key=distance)
    assert found.flatten().nonzero().flatten().tolist() == list(best)
    torch.testing.assert_close(found[0, list(best)], weight[0, list(best)])


def test_layers_that_are_tied_are_chosen_together_by_scores() -> None:
    ties = ConstraintSet({}, (Tied(("a", "b"), 1),))
    weights = {"a": torch.tensor([[1.0], [2.0]]), "b": torch.tensor([[1.0], [2.0]])}
    scores = {"a": torch.tensor([[9.0], [1.0]]), "b": torch.tensor([[1.0], [2.0]])}
    found = ties.project(weights, scores)
    assert found["a"].tolist() == found["b"].tolist() == [[1.0], [0.0]]


def train(weight: nn.Parameter, hooks: Admm | Gradual) -> float:
    """100 steps of gradient descent; the loss of what is left when only two may stay."""
    for step in range(100):
        weight.grad = (STEEP * (weight - TARGET + 0.1 * torch.randn(1, 6))).detach()
        hooks.gradients(step)
        with torch.no_grad():
            weight -= 0.005 * weight.grad
        hooks.weights(step)
    return loss(weight.detach())


@pytest.mark.parametrize("power", [0.5, 1.0])
def test_gradual_pruning_keeps_what_the_loss_hangs_on(power: float) -> None:
    def tighten(done: float) -> ConstraintSet:
        kept = round(6 - 4 * done)
        return ConstraintSet({"fc": structured(LayerPruning("fc", "element", kept, 6))})

    found = []
    for curvature in (None, Curvature(power)):
        torch.manual_seed(0)
        weight = nn.Parameter(TARGET.clone())
        found.append(
            train(weight, Gradual({"fc": weight}, tighten, 100, every=10, curvature=curvature))
        )
        assert int((weight != 0).sum()) == 2
    assert found[1] < 0.5 * found[0]


def test_admm_keeps_what_the_loss_hangs_on() -> None:
    found = []
    for curvature in (None, Curvature(1.0)):
        torch.manual_seed(0)
        weight = nn.Parameter(TARGET.clone())
        rounds = [
            ConstraintSet({"fc": structured(LayerPruning("fc", "element", k, 6))}) for k in (4, 2)
        ]
        hooks = Admm(
            {"fc": weight}, rounds, Schedule(1, 0.1, 1.0), 100, every=5, curvature=curvature
        )
        train(weight, hooks)
        found.append(
            loss(rounds[-1].project({"fc": weight.detach()}, _scores(curvature, weight))["fc"])
        )
    assert found[1] < 0.5 * found[0]


def _scores(curvature: Curvature | None, weight: nn.Parameter) -> dict[str, Tensor] | None:
    return None if curvature is None else curvature.scores({"fc": weight.detach()})
