from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from search.api.errors import EvaluationError
from search.methods.gates import Gates
from search.methods.relaxation import Relaxation, Relaxed, halves, relax
from search.methods.trainer import Recipe
from search.workloads.data.splits import Split
from spaces.relu import ReluPlacement

PLAN = Relaxation(Recipe(1, 0.02, 32), alpha_learning_rate=0.1)


def nothing(gates: Gates) -> torch.Tensor:
    return torch.zeros(())


def run(workload: Any, plan: Relaxation = PLAN, **options: Any) -> tuple[Gates, Relaxed, Any]:
    network = workload.build(0)
    gates = Gates(network, ReluPlacement(workload.sites()).options, workload.sites())
    split = options.pop("split", workload.data.train)
    penalty = options.pop("penalty", nothing)
    spent = relax(network, gates, split, plan, penalty, **{"seed": 0, **options})
    return gates, spent, network


@pytest.mark.parametrize("count", [1, 2, 9, 100])
def test_halves_are_disjoint_and_complete(count: int) -> None:
    first, second = (set(h.tolist()) for h in halves(count, 3))
    assert not first & second
    assert first | second == set(range(count))
    assert 0 <= len(first) - len(second) <= 1


def test_halves_differ_by_seed() -> None:
    assert not torch.equal(halves(100, 1)[0], halves(100, 2)[0])


@pytest.mark.parametrize(("order", "passes"), [(1, 2), (2, 5)])
def test_the_account_counts_every_backward_pass(workload: Any, order: Any, passes: int) -> None:
    _, spent, _ = run(workload, Relaxation(Recipe(0.25, 0.02, 32), 0.1, order=order))
    assert spent.steps >= 3
    assert spent.gradient_evaluations == spent.steps * 32 * passes


def test_gates_rest_during_warmup_and_move_every_few_steps(workload: Any) -> None:
    plan = Relaxation(Recipe(0.5, 0.02, 32), 0.1, order=1, warmup=0.5, alpha_every=2)
    _, spent, _ = run(workload, plan)
    moved = len(range(round(0.5 * spent.steps), spent.steps, 2))
    assert spent.gradient_evaluations == 32 * (spent.steps + moved)


def test_a_penalty_moves_the_gates_its_way(workload: Any) -> None:
    def relus(gates: Gates) -> torch.Tensor:
        shares = gates.shares()
        return 10 * sum((s["relu"] for s in shares.values() if "relu" in s), torch.zeros(()))

    def polynomials(gates: Gates) -> torch.Tensor:
        return -relus(gates)

    fewer, _, _ = run(workload, penalty=relus)
    more, _, _ = run(workload, penalty=polynomials)
    for site, shares in fewer.values().items():
        if "relu" in shares:
            assert shares["relu"] < 0.2
            assert more.values()[site]["relu"] > 0.8


def test_weights_see_only_their_half(workload: Any) -> None:
    """Images of the gates' half that are NaN spoil nothing as long as the gates rest."""
    train: Split = workload.data.train
    x = train.x.clone()
    x[halves(len(train), 0)[1]] = float("nan")
    plan = Relaxation(Recipe(1, 0.02, 32), 0.1, warmup=0.999)
    _, spent, _ = run(workload, plan, split=Split(x, train.y))
    assert spent.loss > 0
    with pytest.raises(EvaluationError, match=r"search: "):
        run(workload, split=Split(x, train.y))


def test_same_seed_same_gates(workload: Any) -> None:
    plan = Relaxation(Recipe(0.5, 0.02, 32), 0.1)
    first, again, other = (run(workload, plan, seed=s)[0].alpha_values() for s in (4, 4, 5))
    assert first == again
    assert first != other


def test_stop_is_seen(workload: Any, recorder: Callable[..., Any]) -> None:
    _, spent, _ = run(workload, ctx=recorder(stop_after=2))
    assert spent.steps == 2
    assert spent.stopped
