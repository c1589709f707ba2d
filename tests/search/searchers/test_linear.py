from __future__ import annotations

import random

import numpy as np
import pytest

from search.searchers.linear import EntryWorth


def taught(trials: int, length: int = 12, options: int = 2) -> tuple[EntryWorth, np.ndarray]:
    rng = np.random.default_rng(0)
    worth = rng.normal(size=(length, options))
    model = EntryWorth(length, options)
    for _ in range(trials):
        entries = rng.integers(0, options, length)
        model.add(entries, [-worth[np.arange(length), entries].sum(), 5.0])
    return model, worth


@pytest.mark.parametrize(("trials", "options"), [(10, 2), (200, 2), (400, 4)])
def test_it_finds_what_each_option_is_worth(trials: int, options: int) -> None:
    model, worth = taught(trials, options=options)
    found = model.draw(np.array([1.0, 0.0]), 0.0, random.Random(0))
    centred = [w - w.mean(axis=1, keepdims=True) for w in (found, worth)]
    agreement = np.corrcoef(centred[0].ravel(), centred[1].ravel())[0, 1]
    assert agreement > (0.4 if trials == 10 else 0.99)


def test_noise_shrinks_with_data_and_comes_from_the_stream() -> None:
    few, many = (taught(n)[0] for n in (20, 800))
    weights = np.array([1.0, 0.0])

    def spread(model: EntryWorth) -> float:
        sure = model.draw(weights, 0.0, random.Random(0))
        drawn = [model.draw(weights, 1.0, random.Random(i)) - sure for i in range(30)]
        return float(np.std(drawn) / sure.std())

    assert spread(many) < 0.5 * spread(few)
    same = [few.draw(weights, 1.0, random.Random(3)) for _ in "ab"]
    assert (same[0] == same[1]).all()


def test_a_replay_gives_the_same_model_whenever_it_was_asked() -> None:
    eager, lazy = EntryWorth(6, 2), EntryWorth(6, 2)
    rng = np.random.default_rng(1)
    for _ in range(57):
        entries, loss = rng.integers(0, 2, 6), [float(rng.random())]
        for model in (eager, lazy):
            model.add(entries, loss)
        eager.draw(np.ones(1), 0.0, random.Random(0))
    drawn = [m.draw(np.ones(1), 0.0, random.Random(0)) for m in (eager, lazy)]
    assert (drawn[0] == drawn[1]).all()
    assert eager.count == 57


def test_without_data_it_is_all_noise() -> None:
    drawn = EntryWorth(50, 2).draw(np.ones(1), 1.0, random.Random(0))
    assert drawn.shape == (50, 2)
    assert drawn.std() == pytest.approx(1.0, abs=0.3)
