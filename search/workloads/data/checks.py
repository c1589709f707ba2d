"""What arrays from elsewhere must be before they become splits; every error names the array."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from search.api.errors import ConfigError
from search.workloads.data.splits import Array

Layout = Literal["nchw", "nhwc"]


def as_numpy(value: Any, key: str) -> Array:
    """An array from an array, a tensor on any device, or nested lists.

    Raises:
        ConfigError: not rectangular, or not numbers.
    """
    if hasattr(value, "detach"):  # a torch tensor, known without importing torch
        value = value.detach().cpu()
        # numpy has no bfloat16; float32 holds all its values.
        value = value.float() if str(value.dtype) == "torch.bfloat16" else value
        return np.asarray(value.numpy())
    try:
        return np.asarray(value)
    except ValueError as error:
        raise ConfigError(f"not a rectangular array ({error})", path=key) from error


def images(x: Array, key: str, *, layout: Layout = "nchw", source: str = "") -> Array:
    """``x`` as ``[n, C, H, W]``, uint8 or floating, all finite.

    Args:
        x: ``[n, H, W]`` (one channel), or four dimensions in the order of ``layout``.
        key: name for errors.
        layout: ``nchw`` or ``nhwc``.
        source: file for errors.

    Raises:
        ConfigError: wrong number of dimensions, wrong dtype, NaN or infinity.
    """
    if x.dtype.kind not in "uif":
        raise ConfigError(
            f"wrong dtype (got {x.dtype}; expected uint8 or floating)", path=key, source=source
        )
    if x.ndim == 3:
        x = x[:, None]
    elif x.ndim != 4:
        raise ConfigError(
            f"wrong number of dimensions (got shape {list(x.shape)}; expected [n, H, W] or four). "
            "Give feature vectors as [n, 1, 1, features]",
            path=key,
            source=source,
        )
    elif layout == "nhwc":
        x = x.transpose(0, 3, 1, 2)
    if 0 in x.shape[1:]:
        raise ConfigError(f"images are empty (shape {list(x.shape)})", path=key, source=source)
    if x.dtype.kind == "f":
        for start in range(0, len(x), 1024):
            bad = ~np.isfinite(x[start : start + 1024]).all(axis=(1, 2, 3))
            if bad.any():
                row = start + int(np.argmax(bad))
                raise ConfigError(f"NaN or infinity in image {row}", path=key, source=source)
    return x


def labels(y: Array, key: str, *, count: int, source: str = "") -> Array:
    """``y`` as int64 ``[n]``, from 0.

    Args:
        y: integer labels ``[n]``.
        key: name for errors.
        count: number of images.
        source: file for errors.

    Raises:
        ConfigError: wrong dtype or shape, negative, or not one for each image.
    """
    if y.dtype.kind not in "ui":
        raise ConfigError(
            f"wrong dtype (got {y.dtype}; expected integers)", path=key, source=source
        )
    if y.ndim != 1:
        raise ConfigError(
            f"wrong shape (got {list(y.shape)}; expected [n]). "
            "Turn one-hot labels into numbers with argmax(1)",
            path=key,
            source=source,
        )
    if len(y) != count:
        raise ConfigError(
            f"not one label for each image (got {len(y)} labels, {count} images)",
            path=key,
            source=source,
        )
    if len(y) and int(y.min()) < 0:
        raise ConfigError(f"negative label (got {int(y.min())})", path=key, source=source)
    return y.astype(np.int64)


def class_count(parts: dict[str, Array], asked: int | None, *, source: str = "") -> int:
    """Number of classes: ``asked``, or one more than the largest label.

    Raises:
        ConfigError: a label is not below ``asked``.
    """
    largest = {key: int(y.max(initial=0)) for key, y in parts.items()}
    found = max(largest.values()) + 1
    if asked is not None and found > asked:
        key = max(largest, key=lambda k: largest[k])
        raise ConfigError(
            f"label out of range (got {found - 1}; expected 0 to {asked - 1})",
            path=key,
            source=source,
        )
    return asked or found
