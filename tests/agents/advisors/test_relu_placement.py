"""The advisor for ReLUs: worst price first, from history alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from agents.advisors.relu_placement import ReluPlacementAdvisor, ReluPlacementAdvisorConfig
from search import Choice, Integer, Metric, Param, Study, Vector
from search.api.candidate import Violation
from search.api.domain import Point
from search.api.errors import ConfigError
from search.api.trial import Origin, Trial

WORTH = (9.0, 1.0, 5.0, 0.0, 3.0, 0.5)  # accuracy of each ReLU, in points
COST = (1.0, 6.0, 2.0, 4.0, 1.0, 5.0)  # latency of each ReLU, in ms
PARAM = Param("activation", Vector(Choice(("x2act", "relu")), len(WORTH)))
METRICS = (Metric("accuracy", "%", "max", ""), Metric("latency", "ms", "min", ""))


def values(entries: Sequence[Any]) -> tuple[float, float]:
    """Accuracy and latency of a placement."""
    on = [e == "relu" for e in entries]
    return (
        50 + sum(w for w, o in zip(WORTH, on, strict=True) if o),
        sum(c for c, o in zip(COST, on, strict=True) if o),
    )


@dataclass
class View:
    """A history of placements."""

    placements: list[tuple[str, ...]]
    budget: int | None = None

    def trials(self) -> list[Trial]:
        """As finished trials."""
        return [
            Trial(n, {"activation": p}, 0, Origin("sampler"), "complete", values(p))
            for n, p in enumerate(self.placements)
        ]

    def check(self, point: Point) -> list[Violation]:
        """At least ``budget`` ReLUs."""
        entries = point["activation"]
        assert isinstance(entries, tuple)
        if self.budget is not None and entries.count("relu") < self.budget:
            return [Violation("few", "too few", 1, "1")]
        return []


def placement(bits: str) -> tuple[str, ...]:
    """``1`` for a ReLU."""
    return tuple("relu" if b == "1" else "x2act" for b in bits)


HISTORY = [placement(b) for b in ("111111", "011111", "101111", "110111", "111011", "111101",
                                  "111110", "000000")]  # fmt: skip
ADVISOR = ReluPlacementAdvisor(PARAM, ("accuracy", 0), ("latency", 1))


def test_the_dearest_relu_goes_first() -> None:
    """From all ReLUs there is nothing to swap with: the one that is worth nothing is dropped."""
    known = [*HISTORY[:3], *HISTORY[4:]]  # dropping site 3 alone was not tried
    advice = ADVISOR.advise(View(known))
    assert advice is not None
    assert advice.point["activation"] == placement("111011") or "site 3" in advice.origin.reason
    assert advice.origin.kind == "advisor"


def test_a_swap_keeps_the_number_of_relus() -> None:
    view = View([*HISTORY[1:], placement("010100"), placement("010110")], budget=2)
    seen = []
    for _ in range(40):
        advice = ADVISOR.advise(view)
        assert advice is not None
        entries = advice.point["activation"]
        assert isinstance(entries, tuple)
        seen.append(entries)
        view.placements.append(tuple(map(str, entries)))
        if placement("101000") in seen or placement("100010") in seen:
            break
    assert any(values(e)[0] >= 62 and values(e)[1] <= 3 for e in seen)


def test_too_little_history_gives_no_advice() -> None:
    assert ADVISOR.advise(View(HISTORY[:3])) is None


def test_nothing_new_gives_no_advice() -> None:
    every = [placement(f"{n:06b}") for n in range(64)]
    assert ADVISOR.advise(View(every)) is None


def test_advice_beats_random_at_equal_budget(toy_study: Callable[..., Study]) -> None:
    from search.pareto import hypervolume

    def volume(searcher: Any, seed: int) -> float:
        study = toy_study(
            name=f"relu-{seed}-{len(str(searcher))}",
            space_params=(PARAM,),
            metrics=METRICS,
            function=lambda c: dict(
                zip(("accuracy", "latency"), values(c.payload["activation"]), strict=True)
            ),
            searcher=searcher,
            trials=24,
            seed=seed,
        )
        study.run()
        points = [t.values for t in study.trials() if t.values is not None]
        return float(hypervolume(points, (50.0, 20.0), ("max", "min")))

    advised = {"name": "advised", "advisor": "relu_placement", "fallback": "random"}
    wins = [volume(advised, seed) - volume("random", seed) for seed in range(5)]
    assert sum(w > 0 for w in wins) >= 4, wins


@pytest.mark.parametrize(
    ("params", "config", "text"),
    [
        ((Param("n", Integer(1, 2)),), {}, "no vector with the option 'relu'"),
        ((PARAM,), {"quality": "beauty"}, "'beauty' is no objective"),
    ],
)
def test_what_it_cannot_advise_is_said(
    params: Any, config: dict[str, str], text: str, toy_study: Callable[..., Study]
) -> None:
    study = toy_study(space_params=params, metrics=METRICS, function=lambda c: {})
    with pytest.raises(ConfigError, match=text):
        ReluPlacementAdvisor.from_config(ReluPlacementAdvisorConfig(**config), study.blueprint)
