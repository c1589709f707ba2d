"""Which trials count, and which are on the front."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from search import Study
from search.api.trial import Origin, Outcome, Trial
from search.cli.family import done, front, read_family


def trial(number: int, status: Any, origin: Origin, **notes: Any) -> Trial:
    return Trial(number, {}, 0, origin, status, None, Outcome(number, status, notes=notes))


def test_what_is_repeated_counts_once() -> None:
    trials = [
        trial(0, "crashed", Origin("sampler")),
        trial(1, "complete", Origin("retry", parent=0)),
        trial(2, "crashed", Origin("sampler"), interrupted=True),
        trial(3, "failed", Origin("sampler")),
        trial(4, "crashed", Origin("sampler")),
        Trial(5, {}, 0, Origin("sampler"), "running"),
    ]
    assert done(trials) == 3  # 1, 3 and 4: whose retries are used up


def test_it_agrees_with_the_driver(toy_study: Callable[..., Study]) -> None:
    study = toy_study(trials=5)
    snapshot = study.run()
    assert done(snapshot.trials) == 5
    assert [t.number for t in read_family(study.path)[0].trials] == [0, 1, 2, 3, 4]
    assert {t.number for t in front(snapshot)} == {t.number for t in study.pareto()}
