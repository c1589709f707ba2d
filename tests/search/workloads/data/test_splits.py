"""Splits: disjoint, stratified, repeatable; normalised by what is trained on."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from search.api.errors import ConfigError
from search.workloads.data.splits import (
    Split,
    assemble,
    carve,
    channel_statistics,
    digest_of,
    draw,
    three_way,
)

LABELS = np.repeat(np.arange(5), [10, 20, 30, 40, 100])


def images(n, shape=(3, 4, 5), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)


def test_draw_keeps_the_class_shares():
    chosen = draw(LABELS, 20, 0)
    assert np.bincount(LABELS[chosen]).tolist() == [1, 2, 3, 4, 10]
    assert len(set(chosen.tolist())) == 20


def test_draw_depends_on_the_seed_alone():
    assert draw(LABELS, 50, 3).tolist() == draw(LABELS, 50, 3).tolist()
    assert draw(LABELS, 50, 3).tolist() != draw(LABELS, 50, 4).tolist()


def test_draw_is_the_same_on_every_machine():
    assert draw(np.array([0, 0, 0, 1, 1, 1]), 4, 7).tolist() == [0, 2, 4, 5]


@given(
    sizes=st.lists(st.integers(0, 12), min_size=1, max_size=6),
    share=st.floats(0, 1),
    seed=st.integers(0, 1000),
)
def test_draw_is_within_one_of_the_exact_share(sizes, share, seed):
    y = np.repeat(np.arange(len(sizes)), sizes)
    count = int(share * len(y))
    chosen = draw(y, count, seed)
    assert len(set(chosen.tolist())) == len(chosen) == count
    for label, size in enumerate(sizes):
        exact = size * count / max(len(y), 1)
        assert abs(int((y[chosen] == label).sum()) - exact) < 1 + 1e-9


def test_draw_of_too_many_names_the_option():
    with pytest.raises(ConfigError, match=r"train: too many .* \(got 201; there are 200\)"):
        draw(LABELS, 201, 0, where="train")


def test_carve_gives_disjoint_parts_that_cover_all():
    rest, taken = carve(LABELS, 40, 1)
    assert sorted([*rest.tolist(), *taken.tolist()]) == list(range(200))
    assert len(taken) == 40


def test_carve_leaves_something():
    with pytest.raises(ConfigError, match="nothing would be left to train on"):
        carve(LABELS, 200, 0)


def test_three_way_with_an_official_test_part():
    train, validation, test = three_way(LABELS, LABELS, sizes={"validation": 50}, seed=0)
    assert not set(train.tolist()) & set(validation.tolist())
    assert (len(train), len(validation), len(test)) == (150, 50, 200)


def test_three_way_without_a_test_part():
    train, validation, test = three_way(LABELS, None, sizes={"train": 60}, seed=0, share=0.2)
    parts = [set(p.tolist()) for p in (train, validation, test)]
    assert [len(p) for p in parts] == [60, 40, 40]
    assert len(set.union(*parts)) == 140


def test_three_way_keeps_validation_when_train_shrinks():
    small = three_way(LABELS, LABELS, sizes={"train": 10, "validation": 50}, seed=5)
    whole = three_way(LABELS, LABELS, sizes={"validation": 50}, seed=5)
    assert small[1].tolist() == whole[1].tolist()


def test_three_way_with_all_official_parts():
    parts = three_way(LABELS, LABELS, y_validation=LABELS, sizes={"test": 20}, seed=0)
    assert [len(p) for p in parts] == [200, 200, 20]


def test_three_way_names_the_part_that_is_too_large():
    with pytest.raises(ConfigError, match="^train: too many examples"):
        three_way(LABELS, LABELS, sizes={"train": 190, "validation": 50}, seed=0)
    with pytest.raises(ConfigError, match="^validation: nothing would be left"):
        three_way(LABELS, LABELS, sizes={"validation": 200}, seed=0)


def test_assemble_normalises_all_parts_by_train():
    x, other = images(300), images(50, seed=1)
    y = np.zeros(300, dtype=np.uint8)
    splits = assemble(
        train=(x, y),
        validation=(other, y[:50]),
        test=(other, y[:50]),
        classes=1,
        name="n",
        digest="d",
    )
    flat = splits.train.x.double().transpose(0, 1).reshape(3, -1)
    assert torch.allclose(flat.mean(1), torch.zeros(3, dtype=torch.float64), atol=1e-6)
    assert torch.allclose(flat.std(1, correction=0), torch.ones(3, dtype=torch.float64), atol=1e-5)
    expected = (other[7, 2, 1, 3] / 255 - splits.mean[2]) / splits.std[2]
    assert splits.test.x[7, 2, 1, 3].item() == pytest.approx(expected, abs=1e-5)
    assert splits.train.x.dtype == torch.float32
    assert splits.train.y.dtype == torch.int64
    assert splits.input_shape == (3, 4, 5)


def test_assemble_converts_more_than_one_chunk_alike():
    x = images(5000, (1, 16, 16))
    y = np.zeros(5000, dtype=np.int64)  # 1.28 M values: two chunks
    pair = (x, y)
    splits = assemble(train=pair, validation=pair, test=pair, classes=1, name="n", digest="d")
    expected = (x / 255 - splits.mean[0]) / splits.std[0]
    assert np.allclose(splits.train.x.numpy(), expected, atol=1e-5)


def test_assemble_can_leave_values_alone():
    x = images(4).astype(np.float32)
    pair = (x, np.zeros(4, dtype=np.int64))
    splits = assemble(
        train=pair, validation=pair, test=pair, classes=1, name="n", digest="d", normalise=False
    )
    assert np.array_equal(splits.train.x.numpy(), x)
    assert splits.std == (1.0, 1.0, 1.0)


def test_small_variation_of_large_values_is_not_lost():
    x = 1e6 + np.random.default_rng(0).normal(size=(500, 1, 4, 4))
    mean, std = channel_statistics(x)
    assert mean[0] == pytest.approx(x.mean(), rel=1e-12)
    assert std[0] == pytest.approx(x.std(), rel=1e-6)


def test_a_constant_channel_is_only_centred():
    x = np.full((4, 1, 2, 2), 7, dtype=np.uint8)
    mean, std = channel_statistics(x)
    assert mean == pytest.approx((7 / 255,))
    assert std == (1.0,)


def test_parts_of_different_shape_are_refused():
    pair, other = (images(4), np.zeros(4)), (images(4, (3, 4, 4)), np.zeros(4))
    with pytest.raises(
        ConfigError,
        match=r"n: test: images have another shape .*got \[3, 4, 4\]; expected \[3, 4, 5\]",
    ):
        assemble(train=pair, validation=pair, test=other, classes=1, name="n", digest="d")


def test_an_empty_train_part_is_refused():
    pair = (images(0), np.zeros(0))
    with pytest.raises(ConfigError, match="n: train: the part has no examples"):
        assemble(train=pair, validation=pair, test=pair, classes=1, name="n", digest="d")


def test_split_has_as_many_labels_as_images():
    with pytest.raises(ConfigError, match=r"got 3 and 2"):
        Split(torch.zeros(3, 1, 1, 1), torch.zeros(2, dtype=torch.int64))


def test_split_moves_between_devices():
    split = Split(torch.zeros(3, 1, 1, 1), torch.zeros(3, dtype=torch.int64))
    assert split.to("cpu") is split
    assert split.to("meta").x.device.type == "meta"
    assert len(split) == 3


def test_splits_move_whole():
    pair = (images(4), np.zeros(4))
    splits = assemble(train=pair, validation=pair, test=pair, classes=1, name="n", digest="d")
    moved = splits.to("meta")
    assert {s.y.device.type for s in (moved.train, moved.validation, moved.test)} == {"meta"}
    assert moved.mean == splits.mean


def test_digest_ignores_the_order_of_facts():
    assert digest_of(a=1, b=2) == digest_of(b=2, a=1) != digest_of(a=1, b=3)
    assert len(digest_of(a=1)) == 16
