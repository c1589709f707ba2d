from __future__ import annotations

from statistics import fmean

import pytest

from evaluators.device.intermittent import Job, Supply
from evaluators.device.policies import policy_named
from evaluators.device.prediction import Needs
from evaluators.device.service import Score, arrivals, serve
from evaluators.device.traces import Trace, chains, load_source
from search.api.errors import ConfigError

ACCURACIES = (85.0, 88.0, 90.0)
POLICIES = ("fixed:1", "fixed:2", "fixed:3", "adaptive", "oracle")


def test_arrivals() -> None:
    assert arrivals(3, 2.0, "periodic", 0) == (2.0, 4.0, 6.0)
    found = arrivals(4000, 2.0, "poisson", 1)
    assert found == arrivals(4000, 2.0, "poisson", 1) != arrivals(4000, 2.0, "poisson", 2)
    assert list(found) == sorted(found)
    assert found[-1] / 4000 == pytest.approx(2.0, rel=0.05)
    with pytest.raises(ConfigError, match="known: periodic, poisson"):
        arrivals(3, 2.0, "bursts", 0)


def served(
    supply: Supply, jobs: tuple[Job, ...], trace: Trace, policy: str, deadline: float,
    count: int = 40, needs: Needs | None = None, kind: str = "periodic",
) -> Score:  # fmt: skip
    times = arrivals(count, deadline, kind, 0)
    return serve(trace, supply, jobs, ACCURACIES, times, deadline, policy_named(policy, 3),
                 needs=needs)  # fmt: skip


def test_plenty_of_power_answers_all_in_the_densest_mode(
    supply: Supply, jobs: tuple[Job, ...]
) -> None:
    trace = Trace((0.0,), (0.1,))
    for policy in ("fixed:3", "adaptive", "greedy", "oracle"):
        found = served(supply, jobs, trace, policy, 15.0)
        assert found.answered == (0, 0, 40), policy
        assert found.met == 100.0
        assert found.accuracy == pytest.approx(90.0)


def test_no_power_answers_nothing(supply: Supply, jobs: tuple[Job, ...]) -> None:
    found = served(supply, jobs, Trace((0.0,), (0.0,)), "adaptive", 15.0)
    assert found.passed == 40
    assert found.accuracy == found.met == found.used_j == 0.0
    assert found.off_s == pytest.approx(41 * 15.0)


def test_power_between_modes_has_a_best_one(supply: Supply, jobs: tuple[Job, ...]) -> None:
    """0.9 mW carry 13 mJ in 15 s, but not 24."""
    trace = Trace((0.0,), (1.05e-3,))
    found = {p: served(supply, jobs, trace, p, 15.0).accuracy for p in POLICIES}
    assert found["fixed:3"] == 0.0
    assert found["fixed:2"] > found["fixed:1"] > 80
    assert found["adaptive"] >= found["fixed:2"] - 3


@pytest.mark.parametrize("name", chains())
def test_adaptive_between_the_worst_mode_and_the_oracle(
    supply: Supply, jobs: tuple[Job, ...], name: str
) -> None:
    """On average over draws; the same requests and power for all."""
    source, deadline = load_source(name), 15.0
    needs = Needs(jobs, supply, deadline)
    found: dict[str, list[float]] = {policy: [] for policy in POLICIES}
    for seed in range(3):
        trace = source.draw(62 * deadline, seed)
        for policy in POLICIES:
            score = served(supply, jobs, trace, policy, deadline, 60, needs)
            found[policy].append(score.accuracy)
            balance = score.harvested_j - score.used_j - score.wasted_j - score.stored_j
            assert abs(balance) < 1e-9
            assert sum(score.answered) + score.passed <= score.requests
            assert score.accuracy == pytest.approx(
                sum(n * a for n, a in zip(score.answered, ACCURACIES, strict=True)) / 60
            )
    mean = {policy: fmean(values) for policy, values in found.items()}
    fixed = [mean[f"fixed:{k}"] for k in (1, 2, 3)]
    assert mean["oracle"] >= mean["adaptive"] - 0.5
    assert mean["oracle"] >= max(fixed)
    assert mean["adaptive"] > min(fixed)
    assert mean["adaptive"] > max(fixed) - 2.0


def test_poisson_requests_queue(supply: Supply, jobs: tuple[Job, ...]) -> None:
    found = served(supply, jobs, Trace((0.0,), (8e-3,)), "adaptive", 6.0, 200, kind="poisson")
    assert found.passed + sum(found.late) > 0
    assert 50 < found.met < 100
    # With the queue behind, denser modes do not fit any more.
    assert found.answered[2] > 0
    assert sum(found.answered[:2]) > 0
