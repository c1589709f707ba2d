import pytest
import torch
from torch import nn

from search.api.errors import ConfigError
from search.methods.pruning.duals import Admm
from search.methods.pruning.projections import ConstraintSet, structured
from spaces.pruning.plan import LayerPruning, Schedule

KEEP_TWO = ConstraintSet({"fc": structured(LayerPruning("fc", "element", 2, 6))})


def admm(weight: nn.Parameter, **options: object) -> Admm:
    schedule = Schedule(1, 1.0, 100.0)
    return Admm({"fc": weight}, [KEEP_TWO], schedule, 201, every=5, **options)  # type: ignore[arg-type]


def run(weight: nn.Parameter, hooks: Admm, target: torch.Tensor, steps: int = 201) -> None:
    """Minimise ||W - target||^2 / 2 by gradient steps."""
    for step in range(steps):
        weight.grad = (weight - target).detach()
        hooks.gradients(step)
        with torch.no_grad():
            weight -= 1.0 / (1.0 + hooks.rho(step)) * weight.grad
        hooks.weights(step)


def test_weights_end_on_the_structure() -> None:
    """The nearest tensor with two entries is known: ADMM finds it, the gap closes."""
    target = torch.tensor([[3.0, -0.5, 0.2, -2.0, 0.1, 0.9]])
    weight = nn.Parameter(torch.zeros(1, 6))
    hooks = admm(weight)
    run(weight, hooks, target)
    expected = torch.tensor([[3.0, 0.0, 0.0, -2.0, 0.0, 0.0]])
    torch.testing.assert_close(weight.detach(), expected, atol=0.05, rtol=0)
    found = hooks.residuals()
    assert found.primal < 0.02
    assert found.dual < 0.02
    assert found.worst == "fc"


def test_without_updates_the_gap_stays() -> None:
    target = torch.tensor([[3.0, -0.5, 0.2, -2.0, 0.1, 0.9]])
    weight = nn.Parameter(target.clone())
    hooks = Admm({"fc": weight}, [KEEP_TWO], Schedule(1, 1e-4, 1e-4), 50, every=1000)
    run(weight, hooks, target, 50)
    assert hooks.residuals().primal > 0.1


def test_rho_rises_geometrically() -> None:
    hooks = admm(nn.Parameter(torch.randn(1, 6)))
    assert [hooks.rho(s) for s in (0, 100, 200)] == pytest.approx([1.0, 10.0, 100.0])


def test_the_gradient_is_that_of_the_penalty() -> None:
    weight = nn.Parameter(torch.randn(1, 6, generator=torch.Generator().manual_seed(0)))
    hooks = admm(weight)
    z = KEEP_TWO.alone["fc"](weight.detach())
    penalty = hooks.rho(7) / 2 * (weight - z).square().sum()
    expected = torch.autograd.grad(penalty, weight)[0]
    hooks.gradients(7)
    assert weight.grad is not None
    torch.testing.assert_close(weight.grad, expected)


def test_dropped_weights_stay_dropped() -> None:
    weight = nn.Parameter(torch.ones(1, 6))
    free = torch.tensor([[True, True, True, False, True, True]])
    hooks = admm(weight, free={"fc": free})
    run(weight, hooks, torch.tensor([[1.0, 2.0, 0.0, 9.0, 0.0, 0.0]]), 20)
    assert float(weight.detach()[0, 3]) == 0


def test_what_cannot_be() -> None:
    weight = nn.Parameter(torch.zeros(1, 6))
    with pytest.raises(ConfigError, match="rho above 0"):
        Admm({"fc": weight}, [KEEP_TWO], Schedule(1, 0.0, 1.0), 5, every=1)
    assert Admm({}, [ConstraintSet({})], Schedule(), 5, every=1).residuals().primal == 0


def test_multipliers_do_not_grow_with_rho() -> None:
    """U is the multiplier over rho: at ten times the rho it is a tenth."""
    weight = nn.Parameter(torch.ones(1, 6))
    hooks, plain = admm(weight), admm(weight)
    hooks.update(0.1)
    plain.update(1.0)
    for found in (hooks, plain):
        weight.grad = None
        found.gradients(0)
        found.pull = weight.grad.clone()  # type: ignore[attr-defined, union-attr]
    gap = weight.detach() - KEEP_TWO.alone["fc"](weight.detach())
    torch.testing.assert_close(hooks.pull, 1.1 * gap)  # type: ignore[attr-defined]
    torch.testing.assert_close(plain.pull, 2.0 * gap)  # type: ignore[attr-defined]


def test_rounds_tighten_and_what_is_dropped_stays_dropped() -> None:
    target = torch.tensor([[3.0, -0.5, 0.2, -2.0, 0.1, 0.9]])
    weight = nn.Parameter(target.clone())
    rounds = [
        ConstraintSet({"fc": structured(LayerPruning("fc", "element", k, 6))}) for k in (5, 3, 2)
    ]
    hooks = Admm({"fc": weight}, rounds, Schedule(1, 0.1, 1.0), 30, every=2)
    left = []
    for step in range(30):
        weight.grad = (weight - target).detach()
        hooks.gradients(step)
        with torch.no_grad():
            weight -= 0.5 * weight.grad
        hooks.weights(step)
        left.append(int((weight != 0).sum()))
    assert left[8] == 6
    assert left[9:19] == [5] * 10
    assert left[19:] == [3] * 11
    assert bool((weight.detach()[0, [0, 3]] != 0).all())
