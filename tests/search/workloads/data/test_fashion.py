"""The embedded dataset, and the whole one from directories and URLs."""

import gzip
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from search.api.errors import ConfigError
from search.workloads.data import idx
from search.workloads.data.fashion import (
    DEBIAN_DIRECTORY,
    MINI_FILE,
    FashionMini,
    FashionMnist,
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


def test_importing_the_datasets_imports_nothing_heavy():
    code = (
        "import sys\n"
        "from search.workloads.data import arrays, cifar, digits, fashion, folders\n"
        "fashion.FashionMini().digest\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'sklearn', 'PIL')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def write_idx(directory, *, train=40, test=20, side=28, labels=10, pack=gzip.compress):
    """Four small files of the same form as Fashion-MNIST's."""
    rng = np.random.default_rng(0)
    directory.mkdir(exist_ok=True)
    for part, n in (("train", train), ("test", test)):
        x = rng.integers(0, 256, (n, side, side), dtype=np.uint8)
        y = (np.arange(n) % labels).astype(np.uint8)
        for key, array in ((f"x_{part}", x), (f"y_{part}", y)):
            header = bytes([0, 0, 8, array.ndim])
            header += b"".join(size.to_bytes(4, "big") for size in array.shape)
            suffix = ".gz" if pack is gzip.compress else ""
            (directory / (idx.FILES[key] + suffix)).write_bytes(pack(header + array.tobytes()))
    return directory


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """No cache and no system directory."""
    monkeypatch.setenv("CIPHER_SEARCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "system"


@has_debian
def test_whole_set_from_debian():
    splits = FashionMnist(train=1000, test=200, download=False).load()
    assert [len(s) for s in (splits.train, splits.validation, splits.test)] == [1000, 5000, 200]
    assert torch.bincount(splits.validation.y).tolist() == [500] * 10
    assert splits.input_shape == (1, 28, 28)
    # Mean and deviation of the whole set, as widely printed: 0.2860 and 0.3530.
    assert splits.mean[0] == pytest.approx(0.2860, abs=0.01)
    assert splits.std[0] == pytest.approx(0.3530, abs=0.01)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_other_sets_of_the_same_form(tmp_path, pack):
    directory = write_idx(tmp_path / "mnist", pack=pack)
    data = FashionMnist(directory=directory, verify=False, validation=10)
    splits = data.load()
    assert [len(s) for s in (splits.train, splits.validation, splits.test)] == [30, 10, 20]
    assert splits.digest == data.digest != FashionMnist(validation=10).digest


def test_other_content_is_refused(tmp_path):
    directory = write_idx(tmp_path / "mnist")
    with pytest.raises(ConfigError, match=r"not the file of Fashion-MNIST .*`verify: false`"):
        FashionMnist(directory=directory).load()


@pytest.mark.parametrize("form", [{"side": 14}, {"labels": 11}])
def test_other_shapes_are_refused(tmp_path, form):
    directory = write_idx(tmp_path / "mnist", **form)
    with pytest.raises(ConfigError, match=r"train files do not fit .*dataset `npz`"):
        FashionMnist(directory=directory, verify=False, validation=5).load()


def test_directory_without_the_files(tmp_path):
    with pytest.raises(ConfigError, match=r"directory: not all of train-images-idx3-ubyte"):
        FashionMnist(directory=tmp_path).load()


def test_system_directory_comes_before_the_cache(tmp_path, nowhere):
    write_idx(nowhere, test=30)
    (tmp_path / "cache").mkdir()
    write_idx(tmp_path / "cache" / "fashion-mnist", test=20)
    data = {"verify": False, "validation": 5, "download": False}
    assert len(FashionMnist(system_directory=nowhere, **data).load().test) == 30
    assert len(FashionMnist(system_directory=tmp_path / "no", **data).load().test) == 20


def test_nothing_works_names_three_ways(nowhere):
    data = FashionMnist(system_directory=nowhere, urls=("http://127.0.0.1:9/",))
    with pytest.raises(ConfigError) as caught:
        data.load()
    text = str(caught.value)
    for part in (str(nowhere), "127.0.0.1:9", "(1) set `directory`", "(2) on Debian", "(3) allow"):
        assert part in text
    with pytest.raises(ConfigError, match="download is switched off"):
        FashionMnist(system_directory=nowhere, download=False).load()


def test_download_fills_the_cache(tmp_path, nowhere, serve):
    with serve(write_idx(tmp_path / "site")) as address:
        options = {"system_directory": nowhere, "urls": (address,), "validation": 5}
        strict, lenient = FashionMnist(**options), FashionMnist(verify=False, **options)
        with pytest.raises(ConfigError, match="not the file of Fashion-MNIST"):
            strict.load()
        assert not (tmp_path / "cache").exists()
        assert len(lenient.load().test) == 20
    assert len(lenient.load().test) == 20  # the server is gone; the cache is not


def test_verified_digest_reads_no_file(nowhere):
    data = FashionMnist(system_directory=nowhere)
    assert data.digest == FashionMnist(directory="/gone").digest
    assert data.digest != FashionMnist(seed=1).digest
    options = FashionMnist.Config(seed=1)
    assert FashionMnist.from_config(options, None).digest == FashionMnist(seed=1).digest
