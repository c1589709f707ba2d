"""Three-way splits: train to fit, validation to choose, test to report.

Choosing on the test split is a leak, so every dataset comes as three parts. Where a set has only
train and test, validation is carved out of train with a fixed seed, class by class.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from search.api.errors import ConfigError

if TYPE_CHECKING:
    import torch

Array = npt.NDArray[Any]
Indices = npt.NDArray[np.int64]
Pair = tuple[Array, Array]
"""Images ``[n, C, H, W]`` (uint8 or floating) and labels ``[n]`` (integers)."""

_CHUNK_VALUES = 2**20  # values converted at once: 8 MB of temporary float64


@dataclass(frozen=True, eq=False)
class Split:
    """One part of a dataset.

    Args:
        x: float32 ``[n, C, H, W]``, normalised.
        y: int64 ``[n]``, class numbers from 0.
    """

    x: torch.Tensor
    y: torch.Tensor

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y):
            raise ConfigError(
                f"images and labels differ in number (got {len(self.x)} and {len(self.y)})"
            )

    def __len__(self) -> int:
        return len(self.y)

    def to(self, device: torch.device | str) -> Split:
        """The same part on ``device``; itself if it is there already."""
        x, y = self.x.to(device), self.y.to(device)
        return self if x is self.x and y is self.y else Split(x, y)


@dataclass(frozen=True, eq=False)
class Splits:
    """A dataset in three disjoint parts.

    Args:
        train: to fit weights and architecture parameters.
        validation: to choose by.
        test: to report once at the end.
        classes: number of classes.
        input_shape: ``(C, H, W)`` of one image.
        name: name of the dataset.
        digest: 16 hexadecimal digits of the content and the options that made it.
        mean, std: per channel, what was subtracted and divided by, on the scale 0 to 1 for 8-bit
            images and on the data's own scale otherwise.
    """

    train: Split
    validation: Split
    test: Split
    classes: int
    input_shape: tuple[int, int, int]
    name: str
    digest: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def to(self, device: torch.device | str) -> Splits:
        """The same parts on ``device``."""
        return Splits(
            self.train.to(device),
            self.validation.to(device),
            self.test.to(device),
            classes=self.classes,
            input_shape=self.input_shape,
            name=self.name,
            digest=self.digest,
            mean=self.mean,
            std=self.std,
        )


class Dataset(Protocol):
    """What every dataset plugin offers besides ``Config`` and ``from_config``."""

    @property
    def digest(self) -> str:
        """16 hexadecimal digits of the content and of the options that change the splits."""
        ...

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """``(C, H, W)`` of one image."""
        ...

    @property
    def classes(self) -> int:
        """Number of classes."""
        ...

    def load(self) -> Splits:
        """Read, split and normalise.

        Raises:
            ConfigError: files are missing, damaged or of the wrong form.
        """
        ...


def digest_of(**facts: Any) -> str:
    """16 hexadecimal digits of JSON-safe ``facts``."""
    text = json.dumps(facts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def draw(y: Array, count: int, seed: int, *, where: str = "") -> Indices:
    """Indices of ``count`` examples with the class shares of ``y``, in random order.

    Each class gives its share rounded down; the examples still missing come from the classes
    with the largest remainders. Same ``y``, ``count`` and ``seed`` give the same indices.

    Args:
        y: labels ``[n]``.
        count: how many, from 0 to n.
        seed: of the only randomness here.
        where: option named in the error.

    Raises:
        ConfigError: more asked for than there are.
    """
    if not 0 <= count <= len(y):
        raise ConfigError(
            f"too many examples asked for (got {count}; there are {len(y)})", path=where
        )
    rng = np.random.Generator(np.random.PCG64(seed))
    labels, sizes = np.unique(y, return_counts=True)
    exact = sizes * (count / max(len(y), 1))
    quota = np.floor(exact).astype(np.int64)
    largest = np.argsort(-(exact - quota), kind="stable")
    quota[largest[: count - int(quota.sum())]] += 1
    chosen = [
        rng.permutation(np.flatnonzero(y == label))[:n]
        for label, n in zip(labels, quota, strict=True)
    ]
    return rng.permutation(np.concatenate(chosen, dtype=np.int64)) if chosen else _NONE.copy()


def carve(y: Array, count: int, seed: int, *, where: str = "") -> tuple[Indices, Indices]:
    """``(rest, taken)``: a stratified draw of ``count`` examples and all others, in order.

    Raises:
        ConfigError: nothing would be left, or more asked for than there are.
    """
    if count >= len(y):
        raise ConfigError(
            f"nothing would be left to train on (got {count} of {len(y)} examples)", path=where
        )
    taken = draw(y, count, seed, where=where)
    rest = np.ones(len(y), dtype=bool)
    rest[taken] = False
    return np.flatnonzero(rest), taken


def three_way(
    y_train: Array,
    y_test: Array | None,
    *,
    y_validation: Array | None = None,
    sizes: Mapping[str, int | None],
    seed: int,
    share: float = 0.1,
) -> tuple[Indices, Indices, Indices]:
    """Indices of train, validation and test, each into its own labels, or into ``y_train``.

    Args:
        y_train: labels ``[n]``.
        y_test: labels of an official test part; None: it is carved out of ``y_train``, and its
            indices point there.
        y_validation: likewise for validation.
        sizes: ``train``, ``validation``, ``test`` -> number of examples; None or absent: all of
            an official part and of what is left to train on, ``share`` of ``y_train`` for a part
            that is carved out.
        seed: of the split; one seed gives one split, and a smaller train leaves the others alone.
        share: see ``sizes``.

    Raises:
        ConfigError: a part is larger than what there is.
    """
    pool = np.arange(len(y_train))
    carved = max(1, round(share * len(y_train)))
    official = {"test": y_test, "validation": y_validation}
    chosen: dict[str, Indices] = {}
    for part, salt in (("test", 2), ("validation", 0)):
        labels, asked = official[part], sizes.get(part)
        if labels is not None:
            chosen[part] = _subset(labels, asked, seed + salt, part)
            continue
        count = carved if asked is None else asked
        rest, taken = carve(y_train[pool], count, seed + salt, where=part)
        chosen[part], pool = pool[taken], pool[rest]
    kept = _subset(y_train[pool], sizes.get("train"), seed + 1, "train")
    return pool[kept], chosen["validation"], chosen["test"]


def assemble(
    *,
    train: Pair,
    validation: Pair,
    test: Pair,
    classes: int,
    name: str,
    digest: str,
    normalise: bool = True,
) -> Splits:
    """Tensors from arrays, normalised by mean and standard deviation of ``train``.

    8-bit images are scaled to 0..1 first. A channel without variation is only centred.

    Raises:
        ConfigError: a part is empty, or of another shape than train.
    """
    for part, (x, _) in (("train", train), ("validation", validation), ("test", test)):
        if not len(x):
            raise ConfigError("the part has no examples", path=part, source=name)
        if x.shape[1:] != train[0].shape[1:]:
            raise ConfigError(
                f"images have another shape than those of train "
                f"(got {list(x.shape[1:])}; expected {list(train[0].shape[1:])})",
                path=part,
                source=name,
            )
    channels, height, width = train[0].shape[1:]
    if normalise:
        mean, std = channel_statistics(train[0])
    else:
        mean, std = (0.0,) * channels, (1.0,) * channels
    return Splits(
        train=_as_split(train, mean, std),
        validation=_as_split(validation, mean, std),
        test=_as_split(test, mean, std),
        classes=classes,
        input_shape=(channels, height, width),
        name=name,
        digest=digest,
        mean=mean,
        std=std,
    )


def channel_statistics(x: Array) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of ``x [n, C, H, W]``; 8-bit images as 0..1."""
    count = len(x) * x.shape[2] * x.shape[3]
    mean, square = np.zeros(x.shape[1]), np.zeros(x.shape[1])
    for part in _chunks(x):
        mean += x[part].sum(axis=(0, 2, 3), dtype=np.float64) / count
    # A second pass, since the mean of squares loses small variations of large values.
    for part in _chunks(x):
        off = x[part] - mean.reshape(1, -1, 1, 1)
        square += np.square(off).sum(axis=(0, 2, 3)) / count
    std = np.sqrt(square)
    scale = _scale(x)
    # A constant channel carries nothing; dividing by its rounding noise would blow that up.
    flat = std <= 1e-6 * np.maximum(1.0, np.abs(mean))
    return (
        tuple(float(m) for m in mean / scale),
        tuple(1.0 if f else float(s) for f, s in zip(flat, std / scale, strict=True)),
    )


def _scale(x: Array) -> float:
    """What full brightness is: 255 for 8-bit images, 1 otherwise."""
    return 255.0 if x.dtype == np.uint8 else 1.0


def _as_split(pair: Pair, mean: Sequence[float], std: Sequence[float]) -> Split:
    """Normalised tensors; converted in chunks, so that only the result is held as float32."""
    import torch

    x, y = pair
    shape = (1, -1, 1, 1)
    scale = _scale(x)
    offset = np.asarray(mean, dtype=np.float32).reshape(shape)
    factor = np.asarray(std, dtype=np.float32).reshape(shape)
    out = np.empty(x.shape, dtype=np.float32)
    for rows in _chunks(x):
        part = out[rows]
        part[...] = x[rows]
        part /= np.float32(scale)
        part -= offset
        part /= factor
    labels = np.ascontiguousarray(y, dtype=np.int64)
    return Split(torch.from_numpy(out), torch.from_numpy(labels.copy()))


def _subset(y: Array, count: int | None, seed: int, where: str) -> Indices:
    """All indices in order, or a stratified draw of ``count``."""
    return np.arange(len(y)) if count is None else draw(y, count, seed, where=where)


def _chunks(x: Array) -> Iterator[slice]:
    """Slices over the first axis, each of a bounded number of values."""
    step = max(1, _CHUNK_VALUES // max(1, math.prod(x.shape[1:])))
    return (slice(start, start + step) for start in range(0, len(x), step))


_NONE: Indices = np.empty(0, dtype=np.int64)
