"""CIFAR from small files of the binary form."""

import numpy as np
import pytest
from pydantic import ValidationError

from search.api.errors import ConfigError
from search.workloads.data.cifar import Cifar10, Cifar100


def records(n, classes, label_bytes, seed):
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, 256, (n, label_bytes + 3072), dtype=np.uint8)
    rows[:, 0] = 0
    rows[:, label_bytes - 1] = np.arange(n) % classes
    return rows


@pytest.fixture
def cifar10(tmp_path):
    inner = tmp_path / "cifar-10-batches-bin"
    inner.mkdir()
    for i in range(1, 6):
        records(20, 10, 1, i).tofile(inner / f"data_batch_{i}.bin")
    records(30, 10, 1, 9).tofile(inner / "test_batch.bin")
    return tmp_path


def test_cifar10_by_archive_folder_or_inner_folder(cifar10):
    options = Cifar10.Config(directory=cifar10, validation=20)
    data = Cifar10.from_config(options, None)
    splits = data.load()
    assert [len(s) for s in (splits.train, splits.validation, splits.test)] == [80, 20, 30]
    assert np.bincount(splits.validation.y).tolist() == [2] * 10
    assert (splits.classes, splits.input_shape, splits.name) == (10, (3, 32, 32), "cifar10")
    inner = Cifar10(directory=cifar10 / "cifar-10-batches-bin", validation=20)
    assert inner.digest == data.digest == splits.digest


def test_pixels_are_read_plane_by_plane(cifar10):
    splits = Cifar10(directory=cifar10, validation=20).load()
    row = records(30, 10, 1, 9)[4, 1:]
    expected = row[2 * 1024 + 5 * 32 + 7] / 255
    value = splits.test.x[4, 2, 5, 7].item() * splits.std[2] + splits.mean[2]
    assert value == pytest.approx(expected, abs=1e-5)


def test_digest_follows_content_and_options(cifar10):
    before = Cifar10(directory=cifar10).digest
    assert Cifar10(directory=cifar10, seed=1).digest != before
    records(30, 10, 1, 8).tofile(cifar10 / "cifar-10-batches-bin" / "test_batch.bin")
    assert Cifar10(directory=cifar10).digest != before


def test_cifar100_has_fine_labels(tmp_path):
    records(200, 100, 2, 0).tofile(tmp_path / "train.bin")
    records(100, 100, 2, 1).tofile(tmp_path / "test.bin")
    splits = Cifar100(directory=tmp_path, validation=100).load()
    assert splits.classes == 100
    assert sorted(splits.test.y.tolist()) == list(range(100))
    assert np.bincount(splits.train.y).tolist() == [1] * 100


def test_missing_file_is_named(cifar10):
    (cifar10 / "cifar-10-batches-bin" / "data_batch_3.bin").unlink()
    with pytest.raises(ConfigError, match=r"directory: cifar10 .*no data_batch_3.bin in .*pickled"):
        Cifar10(directory=cifar10).load()


def test_file_cut_short(cifar10):
    path = cifar10 / "cifar-10-batches-bin" / "data_batch_2.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ConfigError, match=r"data_batch_2.bin: .*got 61459 bytes; .* of 3073"):
        Cifar10(directory=cifar10).load()


def test_labels_out_of_range(cifar10):
    records(30, 11, 1, 9).tofile(cifar10 / "cifar-10-batches-bin" / "test_batch.bin")
    with pytest.raises(ConfigError, match=r"test_batch.bin: label out of range \(got 10; .*0 to 9"):
        Cifar10(directory=cifar10, validation=10).load()


def test_directory_is_required():
    with pytest.raises(ValidationError, match="directory"):
        Cifar10.Config()
