"""scikit-learn's digits in three parts."""

import pytest
import torch

from search.api.errors import ConfigError
from search.workloads.data.digits import Digits


def test_three_parts():
    splits = Digits.from_config(Digits.Config(), None).load()
    assert [len(s) for s in (splits.train, splits.validation, splits.test)] == [1200, 297, 300]
    assert splits.input_shape == Digits.input_shape == (1, 8, 8)
    assert torch.bincount(splits.test.y).min() >= 28
    assert 0 < splits.mean[0] < 1


def test_options_change_the_digest():
    assert Digits(train=100).digest != Digits().digest == Digits().load().digest
    assert len(Digits(train=100).load().train) == 100


def test_too_many():
    with pytest.raises(
        ConfigError, match=r"train: too many examples asked for \(got 1500; there are"
    ):
        Digits(train=1500).load()
