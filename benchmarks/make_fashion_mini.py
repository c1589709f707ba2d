"""Make search/workloads/data/fashion_mini.npz from the Fashion-MNIST files.

Images are averaged over 2 x 2 pixels to 14 x 14 and drawn class by class with a fixed seed:
12,000 to train and 3,000 to validate from the official train part, 5,000 from the official test
part. The same input gives the same bytes: archive times are fixed and nothing else varies but
the zlib in use, whose version is printed beside the checksum.

    python benchmarks/make_fashion_mini.py [DIRECTORY] [--output FILE]
"""

from __future__ import annotations

import argparse
import hashlib
import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from search.workloads.data import idx
from search.workloads.data.fashion import DEBIAN_DIRECTORY, MINI_FILE
from search.workloads.data.splits import Array, three_way

SEED = 20170825  # the day Fashion-MNIST appeared; any fixed number would do
SIZES = {"train": 12_000, "validation": 3_000, "test": 5_000}


def pool(images: Array) -> Array:
    """uint8 ``[n, 28, 28]`` to uint8 ``[n, 14, 14]``: mean of 2 x 2, halves rounded up."""
    n, height, width = images.shape
    blocks = images.reshape(n, height // 2, 2, width // 2, 2).astype(np.uint16)
    pooled: Array = ((blocks.sum(axis=(2, 4)) + 2) // 4).astype(np.uint8)
    return pooled


def make(directory: Path) -> dict[str, Array]:
    """The arrays of the embedded file, by name."""
    found = idx.find(directory)
    if found is None:
        raise SystemExit(f"{directory}: the four IDX files of Fashion-MNIST are not there")
    x, y = idx.read(found["x_train"], ndim=3), idx.read(found["y_train"], ndim=1)
    x_test, y_test = idx.read(found["x_test"], ndim=3), idx.read(found["y_test"], ndim=1)
    train, validation, test = three_way(y, y_test, sizes=SIZES, seed=SEED)
    return {
        "x_train": pool(x[train]),
        "y_train": y[train],
        "x_validation": pool(x[validation]),
        "y_validation": y[validation],
        "x_test": pool(x_test[test]),
        "y_test": y_test[test],
    }


def archive(arrays: Mapping[str, Array]) -> bytes:
    """A compressed .npz with nothing in it that depends on when or where it was made."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as bundle:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3
            entry.external_attr = 0o644 << 16
            bundle.writestr(entry, member.getvalue(), compresslevel=9)
    return out.getvalue()


def main() -> None:
    """Write the file and print its size and checksum."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", nargs="?", type=Path, default=DEBIAN_DIRECTORY)
    parser.add_argument("--output", type=Path, default=MINI_FILE)
    options = parser.parse_args()
    data = archive(make(options.directory))
    options.output.write_bytes(data)
    print(f"{options.output}: {len(data)} bytes, zlib {zlib.ZLIB_RUNTIME_VERSION}")
    print(f"sha256 {hashlib.sha256(data).hexdigest()}  (MINI_SHA256 in fashion.py)")


if __name__ == "__main__":
    main()
