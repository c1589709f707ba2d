"""Data of one's own: an .npz file, arrays or tensors in memory, or data loaders."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from search.api.errors import ConfigError
from search.workloads.data import checks
from search.workloads.data.options import SplitOptions, sha256_of
from search.workloads.data.splits import Array, Pair, Splits, assemble, digest_of, three_way

_PARTS = ("train", "validation", "test")


class ArrayOptions(SplitOptions):
    """Options of data given as arrays."""

    classes: int | None = Field(
        default=None, ge=2, description="number of classes; absent: largest label + 1"
    )
    layout: checks.Layout = Field(
        default="nchw", description="order of four-dimensional images: nchw or nhwc"
    )
    normalise: bool = Field(
        default=True, description="subtract mean and divide by deviation of train, per channel"
    )


class ArrayData:
    """A dataset from memory; make it with :meth:`from_arrays` or :meth:`from_loaders`.

    Args:
        parts: ``train`` and perhaps ``validation`` and ``test`` -> checked images and labels. What
            is missing is carved out of train, a tenth each unless the options say otherwise.
        options: how to split and normalise.
        name: for reports.
        content: digest of the content; None: computed from the arrays.
        source: where it came from, for errors.
    """

    def __init__(
        self,
        parts: Mapping[str, Pair],
        options: ArrayOptions,
        *,
        name: str = "arrays",
        content: str | None = None,
        source: str = "",
    ) -> None:
        self._parts, self._options = dict(parts), options
        self._name, self._content, self._source = name, content, source
        labels = {f"y_{part}": y for part, (_, y) in self._parts.items()}
        self._classes = checks.class_count(labels, options.classes, source=source)

    @classmethod
    def from_arrays(
        cls,
        x_train: Any,
        y_train: Any,
        x_test: Any = None,
        y_test: Any = None,
        *,
        x_validation: Any = None,
        y_validation: Any = None,
        name: str = "arrays",
        source: str = "",
        content: str | None = None,
        **options: Any,
    ) -> ArrayData:
        """From numpy arrays or tensors.

        Args:
            x_train: images ``[n, H, W]`` or ``[n, C, H, W]``, uint8 or floating.
            y_train: class numbers ``[n]``.
            x_test: test images; None: carved out of train.
            y_test: their labels.
            x_validation: validation images; None: carved out of train.
            y_validation: their labels.
            name: for reports.
            source: for errors.
            content: digest of the content, if it is known already.
            options: those of :class:`ArrayOptions`: sizes, seed, classes, layout, normalise.

        Raises:
            ConfigError: an array is of the wrong dtype or shape, or holds NaN.
        """
        checked = ArrayOptions(**options)
        given = {
            "train": (x_train, y_train),
            "validation": (x_validation, y_validation),
            "test": (x_test, y_test),
        }
        parts: dict[str, Pair] = {}
        for part, (x, y) in given.items():
            if (x is None) != (y is None):
                absent = "x" if x is None else "y"
                raise ConfigError("images and labels go together", path=f"{absent}_{part}")
            if x is None:
                continue
            pixels = checks.images(
                checks.as_numpy(x, f"x_{part}"), f"x_{part}", layout=checked.layout, source=source
            )
            numbers = checks.as_numpy(y, f"y_{part}")
            parts[part] = (
                pixels,
                checks.labels(numbers, f"y_{part}", count=len(pixels), source=source),
            )
        return cls(parts, checked, name=name, content=content, source=source)

    @classmethod
    def from_loaders(
        cls,
        train: Iterable[Any],
        validation: Iterable[Any] | None = None,
        test: Iterable[Any] | None = None,
        *,
        name: str = "loaders",
        **options: Any,
    ) -> ArrayData:
        """From data loaders, or anything that yields batches ``(images, labels)``.

        Each is read once, into memory. Values stay as they are unless ``normalise=True``, since
        loaders mostly normalise already. Examples are put in an order that depends on their
        content alone, so that a shuffling loader gives the same splits and digest every time;
        random augmentation in the loader defeats this, so leave it out.

        Args:
            train: batches to train on.
            validation: batches to choose by; None: carved out of train.
            test: batches to report on; None: carved out of train.
            name: for reports.
            options: those of :class:`ArrayOptions`.

        Raises:
            ConfigError: no batches, or batches of the wrong form.
        """
        given = {"train": train, "validation": validation, "test": test}
        arrays: dict[str, Array] = {}
        for part, loader in given.items():
            if loader is not None:
                arrays[f"x_{part}"], arrays[f"y_{part}"] = _drain(loader, part)
        return cls.from_arrays(
            arrays["x_train"],
            arrays["y_train"],
            arrays.get("x_test"),
            arrays.get("y_test"),
            x_validation=arrays.get("x_validation"),
            y_validation=arrays.get("y_validation"),
            name=name,
            **{"normalise": False, **options},
        )

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self._classes

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """``(C, H, W)``."""
        channels, height, width = self._parts["train"][0].shape[1:]
        return channels, height, width

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits of content and options."""
        content = self._content
        if content is None:
            whole = hashlib.sha256()
            for part, (x, y) in sorted(self._parts.items()):
                whole.update(f"{part} {x.dtype.str} {x.shape}".encode())
                for array in (x, y):
                    whole.update(np.ascontiguousarray(array).data)
            content = whole.hexdigest()
        return digest_of(content=content, options=self._options.model_dump())

    def load(self) -> Splits:
        """Carve, normalise.

        Raises:
            ConfigError: a part is larger than what there is.
        """
        y = {part: pair[1] for part, pair in self._parts.items()}
        options = self._options
        chosen = three_way(
            y["train"],
            y.get("test"),
            y_validation=y.get("validation"),
            sizes=options.sizes,
            seed=options.seed,
        )
        pairs: dict[str, Pair] = {}
        for part, indices in zip(_PARTS, chosen, strict=True):
            images, labels = self._parts.get(part, self._parts["train"])
            pairs[part] = (images[indices], labels[indices])
        return assemble(
            train=pairs["train"],
            validation=pairs["validation"],
            test=pairs["test"],
            classes=self.classes,
            name=self._name,
            digest=self.digest,
            normalise=options.normalise,
        )


class Npz:
    """Arrays from an .npz file: x_train, y_train, x_test, y_test, and perhaps x_/y_validation.

    Nothing is unpickled, so object arrays are refused.

    Args:
        options: those of :class:`Npz.Config`.
    """

    class Config(ArrayOptions):
        """Options of ``npz``."""

        path: Path = Field(description="the .npz file")

    def __init__(self, **options: Any) -> None:
        self._options = self.Config(**options)
        self._path = self._options.path.expanduser()

    @classmethod
    def from_config(cls, config: Config, workload: object) -> Npz:
        """From checked options; ``workload`` is not used."""
        return cls(**config.model_dump())

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits of the file's content and the options."""
        return self._data.digest

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """``(C, H, W)``."""
        return self._data.input_shape

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self._data.classes

    def load(self) -> Splits:
        """Read, check, split.

        Raises:
            ConfigError: no such file, a missing key, or an array that is wrong.
        """
        return self._data.load()

    @cached_property
    def _data(self) -> ArrayData:
        """The arrays, checked; read once."""
        options = self._options.model_dump(exclude={"path"})
        source = str(self._path)
        content = sha256_of([self._path])
        return ArrayData.from_arrays(
            **_read_npz(self._path), name="npz", source=source, content=content, **options
        )


def _read_npz(path: Path) -> dict[str, Array]:
    """The arrays by name."""
    required = [f"{axis}_{part}" for part in ("train", "test") for axis in "xy"]
    optional = ["x_validation", "y_validation"]
    # numpy would open a single array or a pickle under any name.
    if not zipfile.is_zipfile(path):
        raise ConfigError("not an .npz file (no whole zip archive)", source=str(path))
    try:
        with np.load(path, allow_pickle=False) as bundle:
            missing = [key for key in required if key not in bundle.files]
            if missing:
                raise ConfigError(
                    f"missing array {', '.join(missing)} (got {', '.join(bundle.files) or 'none'}; "
                    f"expected {', '.join(required)}, and perhaps {', '.join(optional)})",
                    source=str(path),
                )
            wanted = [*required, *(key for key in optional if key in bundle.files)]
            return {key: _member(bundle, key, str(path)) for key in wanted}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ConfigError(f"not a readable .npz file ({error})", source=str(path)) from error


def _member(bundle: Mapping[str, Array], key: str, source: str) -> Array:
    """One array; object arrays are refused, since they would be unpickled."""
    try:
        return bundle[key]
    except ValueError as error:
        if "allow_pickle" in str(error):
            raise ConfigError(
                "object array, which would have to be unpickled. Save it with a numeric dtype",
                path=key,
                source=source,
            ) from error
        raise


def _drain(loader: Iterable[Any], part: str) -> Pair:
    """All batches of one loader, in an order that depends on content alone."""
    images: list[Array] = []
    labels: list[Array] = []
    for batch in loader:
        if not isinstance(batch, (tuple, list)) or len(batch) != 2:
            raise ConfigError(
                f"batches must be pairs (images, labels) (got {type(batch).__name__})", path=part
            )
        images.append(checks.as_numpy(batch[0], f"x_{part}"))
        labels.append(checks.as_numpy(batch[1], f"y_{part}"))
    if not images:
        raise ConfigError("the loader gives no batch", path=part)
    try:
        x, y = np.concatenate(images), np.concatenate(labels)
    except ValueError as error:
        raise ConfigError(f"batches do not fit together ({error})", path=part) from error
    if len(x) != len(y):
        raise ConfigError(f"got {len(x)} images and {len(y)} labels", path=part)
    keys = [
        hashlib.sha256(np.ascontiguousarray(row).tobytes() + label.tobytes()).digest()
        for row, label in zip(x, y, strict=True)
    ]
    order = sorted(range(len(keys)), key=keys.__getitem__)
    return x[order], y[order]
