"""One's own data: .npz files, arrays in memory, data loaders."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch.utils.data import DataLoader, TensorDataset

from search.api.errors import ConfigError
from search.workloads.data.arrays import ArrayData, Npz


def example(n=40, shape=(3, 4, 5), classes=4, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, *shape), dtype=np.uint8), np.arange(n) % classes


def arrays(**changes):
    x, y = example()
    x_test, y_test = example(20, seed=1)
    return {"x_train": x, "y_train": y, "x_test": x_test, "y_test": y_test, **changes}


def save(path, **changes):
    np.savez(path, **{k: v for k, v in arrays(**changes).items() if v is not None})
    return path


def test_npz(tmp_path):
    path = save(tmp_path / "a.npz")
    data = Npz.from_config(Npz.Config(path=path, validation=8), None)
    assert (data.classes, data.input_shape) == (4, (3, 4, 5))
    splits = data.load()
    assert [len(s) for s in (splits.train, splits.validation, splits.test)] == [32, 8, 20]
    assert splits.digest == data.digest == Npz(path=path, validation=8).digest
    assert data.digest != Npz(path=save(tmp_path / "b.npz", y_test=np.zeros(20, int))).digest


def test_npz_with_validation_and_other_layouts(tmp_path):
    x, y = example(10, (4, 5, 3))
    path = save(
        tmp_path / "a.npz",
        x_train=arrays()["x_train"].transpose(0, 2, 3, 1),
        x_test=arrays()["x_test"].transpose(0, 2, 3, 1),
        x_validation=x,
        y_validation=y,
    )
    splits = Npz(path=path, layout="nhwc").load()
    assert splits.input_shape == (3, 4, 5)
    assert [len(s) for s in (splits.train, splits.validation, splits.test)] == [40, 10, 20]


class Trap:
    """Leaves a mark when unpickled."""

    fired = False

    def __reduce__(self):
        return (setattr, (Trap, "fired", True))


def test_npz_never_unpickles(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, **arrays(y_train=np.array([Trap()] * 40, dtype=object)))
    with pytest.raises(ConfigError, match=r"a.npz: y_train: object array"):
        Npz(path=path).load()
    assert not Trap.fired


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"y_test": None},
            r"missing array y_test \(got x_train, y_train, x_test; expected x_train",
        ),
        ({"x_train": np.zeros((40, 3, 4, 5), complex)}, r"x_train: wrong dtype \(got complex128"),
        ({"x_train": np.zeros((40, 3, 4, 5), bool)}, r"x_train: wrong dtype \(got bool"),
        ({"x_test": np.full((20, 3, 4, 5), np.nan)}, r"x_test: NaN or infinity in image 0"),
        (
            {"x_train": np.zeros((40, 60))},
            r"x_train: .*got shape \[40, 60\].*\[n, 1, 1, features\]",
        ),
        ({"x_train": np.zeros((40, 3, 0, 5))}, r"x_train: images are empty"),
        ({"y_train": np.zeros(40)}, r"y_train: wrong dtype \(got float64; expected integers"),
        ({"y_train": np.zeros((40, 4), int)}, r"y_train: wrong shape .*argmax"),
        ({"y_train": np.zeros(39, int)}, r"y_train: .*got 39 labels, 40 images"),
        ({"y_train": np.full(40, -1)}, r"y_train: negative label \(got -1"),
        ({"x_test": np.zeros((20, 3, 5, 5))}, r"test: images have another shape"),
        ({"y_validation": np.zeros(4, int), "x_validation": None}, None),
    ],
)
def test_npz_refuses(tmp_path, changes, message):
    path = save(tmp_path / "a.npz", **changes)
    expected = message or r"x_validation: images and labels go together"
    with pytest.raises(ConfigError, match=expected):
        Npz(path=path).load()


def test_npz_nan_is_found_beyond_the_first_chunk(tmp_path):
    x = np.zeros((3000, 1, 2, 2), dtype=np.float32)
    x[2500, 0, 1, 1] = np.inf
    path = save(tmp_path / "a.npz", x_train=x, y_train=np.zeros(3000, int))
    with pytest.raises(ConfigError, match="in image 2500"):
        Npz(path=path).load()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04broken", b"\x80\x04N.", b"text"])
def test_npz_that_is_none(tmp_path, content):
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"a.npz: not an .npz file"):
        Npz(path=path).load()


def test_npz_with_damaged_content(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, **arrays())
    data = bytearray(path.read_bytes())
    data[200:260] = bytes(60)
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=r"a.npz: not a readable .npz file"):
        Npz(path=path).load()


def test_npy_is_not_npz(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(3))
    with pytest.raises(ConfigError, match="a.npy: not an .npz file"):
        Npz(path=tmp_path / "a.npy").load()


def test_npz_missing(tmp_path):
    with pytest.raises(ConfigError, match=r"gone.npz: cannot read the file \(No such file"):
        Npz(path=tmp_path / "gone.npz").load()


def test_options_are_checked():
    with pytest.raises(ValidationError):
        Npz.Config(path="a", layout="chwn")
    with pytest.raises(ConfigError, match=r"y_train: label out of range \(got 3; expected 0 to 2"):
        ArrayData.from_arrays(*example(), classes=3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_from_tensors(dtype):
    x, y = example()
    data = ArrayData.from_arrays(torch.tensor(x).to(dtype), torch.tensor(y), classes=10, test=8)
    splits = data.load()
    assert splits.classes == 10
    assert [len(s) for s in (splits.train, splits.validation, splits.test)] == [28, 4, 8]
    assert splits.train.x.mean().item() == pytest.approx(0, abs=1e-5)
    assert splits.mean[0] > 1  # floating images keep their own scale


def test_from_arrays_without_channels():
    x, y = example(shape=(4, 5))
    assert ArrayData.from_arrays(x, y).input_shape == (1, 4, 5)


def test_digest_of_arrays():
    x, y = example()
    same = ArrayData.from_arrays(x.copy(), y)
    assert ArrayData.from_arrays(x, y, name="other").digest == same.digest
    assert ArrayData.from_arrays(x, y, seed=1).digest != same.digest
    x[0, 0, 0, 0] ^= 1
    assert ArrayData.from_arrays(x, y).digest != same.digest


def test_ragged_lists():
    with pytest.raises(ConfigError, match="x_train: not a rectangular array"):
        ArrayData.from_arrays([[1, 2], [3]], [0, 1])


def loader(n=40, seed=0, **options):
    x, y = example(n, seed=seed)
    return DataLoader(TensorDataset(torch.tensor(x).float(), torch.tensor(y)), 7, **options)


def test_from_loaders_in_any_order():
    plain = ArrayData.from_loaders(loader(), loader(12, 1), loader(8, 2)).load()
    shuffled = ArrayData.from_loaders(loader(shuffle=True), loader(12, 1), loader(8, 2)).load()
    assert [len(s) for s in (plain.train, plain.validation, plain.test)] == [40, 12, 8]
    assert plain.digest == shuffled.digest
    assert torch.equal(plain.train.x, shuffled.train.x)
    assert plain.std == (1.0, 1.0, 1.0)
    x, y = example()
    assert plain.train.x.sum().item() == x.sum()
    assert sorted(plain.train.y.tolist()) == sorted(y.tolist())


def test_from_loaders_keeps_labels_with_images():
    splits = ArrayData.from_loaders(loader()).load()
    x, y = example()
    known = {row.astype(np.float32).tobytes(): label for row, label in zip(x, y, strict=True)}
    for split in (splits.train, splits.validation, splits.test):
        for row, label in zip(split.x, split.y, strict=True):
            assert known[row.numpy().tobytes()] == label


def test_from_loaders_can_normalise():
    splits = ArrayData.from_loaders(loader(), normalise=True).load()
    assert splits.train.x.std().item() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([], "train: the loader gives no batch"),
        ([torch.zeros(3)], r"train: batches must be pairs \(images, labels\) \(got Tensor"),
        ([(np.zeros((2, 1, 2, 2)), np.zeros(3, int))], "train: got 2 images and 3 labels"),
        (
            [
                (np.zeros((2, 1, 2, 2)), np.zeros(2, int)),
                (np.zeros((2, 1, 3, 2)), np.zeros(2, int)),
            ],
            "train: batches do not fit together",
        ),
    ],
)
def test_from_loaders_refuses(batches, message):
    with pytest.raises(ConfigError, match=message):
        ArrayData.from_loaders(batches)
