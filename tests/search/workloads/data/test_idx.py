"""IDX files, packed or plain, whole or damaged."""

import gzip

import numpy as np
import pytest

from search.api.errors import ConfigError
from search.workloads.data import idx

ARRAY = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)


def encode(array):
    header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return header + array.tobytes()


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_reads_packed_and_plain(tmp_path, pack):
    path = tmp_path / "images"
    path.write_bytes(pack(encode(ARRAY)))
    assert np.array_equal(idx.read(path, ndim=3), ARRAY)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"got first bytes none; expected 00 00 08 03"),
        (encode(ARRAY)[:-1], r"got 23 values; the header \[2, 3, 4\] says 24"),
        (encode(ARRAY) + b"x", r"got 25 values"),
        (encode(ARRAY[0]), r"got first bytes 00 00 08 02"),
        (b"\0\0\x0d\x03" + encode(ARRAY)[4:], r"got first bytes 00 00 0d 03"),
        (b"\0\0\x08\x03\0\0", r"got 0 values"),
        (gzip.compress(encode(ARRAY))[:-9], r"damaged gzip file"),
    ],
)
def test_refuses_what_is_not_whole(tmp_path, data, message):
    path = tmp_path / "images"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=message) as caught:
        idx.read(path, ndim=3)
    assert caught.value.source == str(path)


def test_missing_file(tmp_path):
    with pytest.raises(ConfigError, match=r"gone: cannot read the file \(No such file"):
        idx.read(tmp_path / "gone", ndim=1)


def test_find_wants_all_four(tmp_path):
    for name in list(idx.FILES.values())[:3]:
        (tmp_path / name).touch()
    assert idx.find(tmp_path) is None
    (tmp_path / (idx.FILES["y_test"] + ".gz")).touch()
    found = idx.find(tmp_path)
    assert found is not None
    assert found["y_test"].suffix == ".gz"
    assert set(found) == set(idx.FILES)
