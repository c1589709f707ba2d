"""The embedded dataset, and the whole one from directories and URLs."""

import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from search.api.errors import ConfigError
from search.workloads.data.fashion import (
    DEBIAN_DIRECTORY,
    MINI_FILE,
    FashionMini,
)

has_debian = pytest.mark.skipif(
    not DEBIAN_DIRECTORY.is_dir(), reason="Debian's dataset-fashion-mnist is not installed"
)


@pytest.fixture(scope="module")
def mini():
    return FashionMini().load()


def test_mini_has_three_balanced_parts(mini):
    for split, per_class in ((mini.train, 1200), (mini.validation, 300), (mini.test, 500)):
        assert torch.bincount(split.y).tolist() == [per_class] * 10
        assert split.x.shape[1:] == mini.input_shape == FashionMini.input_shape == (1, 14, 14)
    assert mini.classes == FashionMini.classes == 10


def test_mini_is_normalised_by_train(mini):
    assert mini.train.x.mean().item() == pytest.approx(0, abs=1e-4)
    assert mini.train.x.std().item() == pytest.approx(1, abs=1e-4)
    # The whole set at 28 x 28 has mean 0.2860; averaging and drawing hardly move it.
    assert mini.mean[0] == pytest.approx(0.286, abs=0.005)


def test_mini_parts_share_no_image(mini):
    def keys(split):
        return {row.numpy().tobytes() for row in split.x}

    train, validation, test = keys(mini.train), keys(mini.validation), keys(mini.test)
    # Fashion-MNIST itself holds a few images twice.
    assert len(train & validation) + len(train & test) + len(validation & test) <= 5


def test_mini_is_a_real_task(mini):
    """Nearest class mean is far above chance on the test part, so labels fit images."""
    means = torch.stack([mini.train.x[mini.train.y == c].mean(0).flatten() for c in range(10)])
    guess = torch.cdist(mini.test.x.flatten(1), means).argmin(1)
    assert (guess == mini.test.y).double().mean() > 0.6


def test_mini_subsets_are_balanced_and_repeatable():
    first = FashionMini(train=100, validation=50, test=20, seed=3)
    splits = first.load()
    assert torch.bincount(splits.train.y).tolist() == [10] * 10
    assert (len(splits.validation), len(splits.test)) == (50, 20)
    again = FashionMini.from_config(
        FashionMini.Config(train=100, validation=50, test=20, seed=3), None
    )
    assert torch.equal(again.load().train.x, splits.train.x)
    assert again.digest == first.digest == splits.digest
    other = FashionMini(train=100, validation=50, test=20, seed=4)
    assert other.digest != first.digest
    assert not torch.equal(other.load().train.x, splits.train.x)


def test_mini_digest_ignores_what_changes_nothing():
    assert FashionMini(seed=1).digest == FashionMini(train=12_000).digest == FashionMini().digest
    assert len(FashionMini().digest) == 16


@pytest.mark.parametrize("options", [{"train": 0}, {"train": 12_001}, {"size": 3}, {"seed": -1}])
def test_mini_refuses_wrong_options(options):
    with pytest.raises(ValidationError):
        FashionMini.Config(**options)


def test_mini_detects_damage(tmp_path):
    data = bytearray(MINI_FILE.read_bytes())
    data[1000] ^= 1
    path = tmp_path / "mini.npz"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=r"mini.npz: the embedded dataset is damaged .*Reinstall"):
        FashionMini(path=path).load()


def test_mini_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"gone.npz: the embedded dataset is missing"):
        FashionMini(path=tmp_path / "gone.npz").load()


@has_debian
def test_mini_is_made_again_with_the_same_bytes(tmp_path):
    script = Path(__file__).parents[4] / "benchmarks" / "make_fashion_mini.py"
    made = tmp_path / "a.npz"
    subprocess.run([sys.executable, script, "--output", made], check=True, capture_output=True)
    with np.load(made) as ours, np.load(MINI_FILE) as embedded:
        assert set(ours) == set(embedded)
        assert all(np.array_equal(ours[key], embedded[key]) for key in embedded)
    if "ng" not in zlib.ZLIB_RUNTIME_VERSION:  # zlib-ng packs the same content differently
        assert made.read_bytes() == MINI_FILE.read_bytes()


def test_importing_the_datasets_does_not_import_torch():
    code = (
        "import sys\n"
        "from search.workloads.data import fashion\n"
        "fashion.FashionMini().digest\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
