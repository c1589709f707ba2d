"""IDX files, the form of the MNIST family: a big-endian header, then unsigned bytes."""

from __future__ import annotations

import gzip
import io
import math
import zlib
from pathlib import Path

import numpy as np

from search.api.errors import ConfigError
from search.workloads.data.splits import Array

FILES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}
"""Array -> file name without ``.gz``; the names all sets of the family share."""

_LIMIT = 2**30  # bytes after decompression: far above any set of the family (47 MB here)
_UNSIGNED_BYTE = 0x08
_GZIP = b"\x1f\x8b"


def find(directory: Path) -> dict[str, Path] | None:
    """Array -> path of its file, ``.gz`` or plain; None unless all four are in ``directory``."""
    found: dict[str, Path] = {}
    for array, name in FILES.items():
        for path in (directory / f"{name}.gz", directory / name):
            if path.is_file():
                found[array] = path
                break
    return found if len(found) == len(FILES) else None


def content(path: Path) -> bytes:
    """Bytes of the file, decompressed if it is gzip.

    Raises:
        ConfigError: missing, unreadable, or damaged gzip.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read the file ({error.strerror})", source=str(path)) from error
    return unpack(data, source=str(path))


def unpack(data: bytes, *, source: str) -> bytes:
    """``data``, decompressed if it is gzip (told by its first bytes, not by a name).

    Raises:
        ConfigError: damaged gzip.
    """
    if not data.startswith(_GZIP):
        return data
    try:
        with gzip.open(io.BytesIO(data)) as packed:
            return packed.read(_LIMIT)
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigError(f"damaged gzip file ({error})", source=source) from error


def parse(data: bytes, *, ndim: int, source: str) -> Array:
    """The array in an IDX file.

    Args:
        data: the whole file, decompressed: two zero bytes, the type (8: unsigned byte), the
            number of dimensions, each dimension as a big-endian 32-bit number, the values.
        ndim: dimensions expected: 3 for images, 1 for labels.
        source: file name for errors.

    Returns:
        uint8, read-only.

    Raises:
        ConfigError: wrong header, or not as many values as the header says.
    """
    expected = bytes([0, 0, _UNSIGNED_BYTE, ndim])
    if data[:4] != expected:
        raise ConfigError(
            f"not an IDX file of unsigned bytes in {ndim} dimension(s) "
            f"(got first bytes {data[:4].hex(' ') or 'none'}; expected {expected.hex(' ')})",
            source=source,
        )
    start = 4 + 4 * ndim
    dims = tuple(int.from_bytes(data[i : i + 4], "big") for i in range(4, start, 4))
    if len(data) - start != math.prod(dims):
        raise ConfigError(
            f"the IDX file is cut short or has extra bytes (got {max(0, len(data) - start)} "
            f"values; the header {list(dims)} says {math.prod(dims)})",
            source=source,
        )
    return np.frombuffer(data, dtype=np.uint8, offset=start).reshape(dims)


def read(path: Path, *, ndim: int) -> Array:
    """The array in the IDX file at ``path``; see :func:`content` and :func:`parse`."""
    return parse(content(path), ndim=ndim, source=str(path))
