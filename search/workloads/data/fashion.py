"""Fashion-MNIST: a small version inside the package, and the whole set from a directory or URL.

Source: Xiao, Rasul, Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine
Learning Algorithms" (2017), arXiv:1708.07747; data under the MIT licence, Copyright 2017
Zalando SE (LICENSE.fashion-mnist beside this file).
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from search.api.errors import ConfigError
from search.workloads.data import idx
from search.workloads.data.download import download
from search.workloads.data.options import SplitOptions, cache_directory, sha256_of
from search.workloads.data.splits import (
    Array,
    Pair,
    Splits,
    assemble,
    digest_of,
    draw,
    three_way,
)

DEBIAN_DIRECTORY = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package dataset-fashion-mnist puts the IDX files."""

MINI_FILE = Path(__file__).with_name("fashion_mini.npz")
"""The embedded file; benchmarks/make_fashion_mini.py makes it."""

MINI_SHA256 = "9408987ba350d7a1c68d3e3106bd25a5c97597083ba36a5230b143d9811a6786"
MINI_SIZES = {"train": 12_000, "validation": 3_000, "test": 5_000}

SHA256 = {
    "x_train": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "y_train": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "x_test": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "y_test": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
"""Of the decompressed IDX files: Debian compresses them anew, so sums of the .gz files differ.

Source: computed from Debian's dataset-fashion-mnist 0.0~git20200523.55506a9-1. Its compressed
streams, put behind the gzip headers of the publication (file name and time of August 2017), have
the MD5 sums that the authors' README gives for the .gz files.
"""

URLS = (
    "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
)
"""Folders that hold the four .gz files. Source: README of zalandoresearch/fashion-mnist."""


class FashionMini:
    """Fashion-MNIST at 14 x 14, embedded: 12,000 train, 3,000 validation, 5,000 test; 10 classes.

    Args:
        train, validation, test: number of examples to keep, class-balanced; None: all.
        seed: which examples are kept.
        path: another copy of the embedded file; its checksum must be the same.
    """

    class Config(SplitOptions):
        """Options of ``fashion_mini``."""

        train: int | None = Field(
            default=None,
            ge=1,
            le=MINI_SIZES["train"],
            description="examples to train on; all if absent",
        )
        validation: int | None = Field(
            default=None, ge=1, le=MINI_SIZES["validation"], description="examples to choose by"
        )
        test: int | None = Field(
            default=None, ge=1, le=MINI_SIZES["test"], description="examples to report on"
        )

    input_shape = (1, 14, 14)
    classes = 10

    def __init__(
        self,
        *,
        train: int | None = None,
        validation: int | None = None,
        test: int | None = None,
        seed: int = 0,
        path: Path | None = None,
    ) -> None:
        self._sizes = {"train": train, "validation": validation, "test": test}
        self._seed = seed
        self._path = path or MINI_FILE

    @classmethod
    def from_config(cls, config: Config, workload: object) -> FashionMini:
        """From checked options; ``workload`` is not used."""
        return cls(**config.model_dump())

    @property
    def digest(self) -> str:
        """16 hexadecimal digits; absent sizes count as full ones."""
        sizes = {part: self._sizes[part] or full for part, full in MINI_SIZES.items()}
        # The seed only matters where something is left out.
        seed = 0 if sizes == MINI_SIZES else self._seed
        return digest_of(name="fashion_mini", sha256=MINI_SHA256, sizes=sizes, seed=seed)

    def load(self) -> Splits:
        """Verify the checksum and give the three parts.

        Raises:
            ConfigError: the file is missing or its checksum is wrong.
        """
        data = self._verified()
        parts: dict[str, Pair] = {}
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            for offset, (part, count) in enumerate(self._sizes.items()):
                x, y = arrays[f"x_{part}"][:, None], arrays[f"y_{part}"]
                if count is not None:
                    kept = draw(y, count, self._seed + offset, where=part)
                    x, y = x[kept], y[kept]
                parts[part] = (x, y)
        return assemble(
            train=parts["train"],
            validation=parts["validation"],
            test=parts["test"],
            classes=self.classes,
            name="fashion_mini",
            digest=self.digest,
        )

    def _verified(self) -> bytes:
        """Bytes of the embedded file."""
        try:
            data = self._path.read_bytes()
        except OSError as error:
            raise ConfigError(
                f"the embedded dataset is missing ({error.strerror}). Reinstall cipher-search, "
                "or run benchmarks/make_fashion_mini.py in a clone",
                source=str(self._path),
            ) from error
        found = hashlib.sha256(data).hexdigest()
        if found != MINI_SHA256:
            raise ConfigError(
                f"the embedded dataset is damaged (got sha256 {found}; expected {MINI_SHA256}). "
                "Reinstall cipher-search, or run benchmarks/make_fashion_mini.py in a clone",
                source=str(self._path),
            )
        return data


class FashionMnist:
    """Fashion-MNIST at 28 x 28: 60,000 + 10,000 images, from a directory, Debian, or a download.

    Without ``directory`` it is looked for where Debian's package puts it, then in the cache
    directory, and last downloaded into the cache.

    Args:
        system_directory: where Debian's package puts the files.
        options: those of :class:`FashionMnist.Config`.
    """

    class Config(SplitOptions):
        """Options of ``fashion_mnist``."""

        directory: Path | None = Field(
            default=None,
            description="holds the four IDX files, .gz or plain; if given, nothing else is tried",
        )
        download: bool = Field(default=True, description="whether the files may be downloaded")
        urls: tuple[str, ...] = Field(
            default=URLS, description="folders to download the .gz files from"
        )
        verify: bool = Field(
            default=True,
            description="check that it is Fashion-MNIST; false takes other sets of the same form "
            "(28 x 28, at most 10 classes: MNIST, KMNIST)",
        )
        validation: int | None = Field(
            default=5_000, ge=1, description="examples to choose by, carved out of train"
        )

    input_shape = (1, 28, 28)
    classes = 10

    def __init__(self, *, system_directory: Path = DEBIAN_DIRECTORY, **options: Any) -> None:
        self._options = self.Config(**options)
        self._system_directory = system_directory

    @classmethod
    def from_config(cls, config: Config, workload: object) -> FashionMnist:
        """From checked options; ``workload`` is not used."""
        return cls(**config.model_dump())

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits; reads the files only where they are not verified."""
        options = self._options
        content = digest_of(**SHA256) if options.verify else sha256_of(self._files().values())
        return digest_of(
            name="fashion_mnist", content=content, sizes=options.sizes, seed=options.seed
        )

    def load(self) -> Splits:
        """Find the files, check them, and carve validation out of train.

        Raises:
            ConfigError: the files are nowhere, damaged, or hold something else.
        """
        arrays = {key: self._read(key, path) for key, path in self._files().items()}
        y_train, y_test = arrays["y_train"], arrays["y_test"]
        for part in ("train", "test"):
            _check_pair(arrays[f"x_{part}"], arrays[f"y_{part}"], part)
        options = self._options
        train, validation, test = three_way(y_train, y_test, sizes=options.sizes, seed=options.seed)
        x_train, x_test = arrays["x_train"][:, None], arrays["x_test"][:, None]
        return assemble(
            train=(x_train[train], y_train[train]),
            validation=(x_train[validation], y_train[validation]),
            test=(x_test[test], y_test[test]),
            classes=self.classes,
            name="fashion_mnist",
            digest=self.digest,
        )

    def _read(self, key: str, path: Path) -> Array:
        """One array, verified."""
        data = idx.content(path)
        if self._options.verify:
            _verify(key, data, str(path))
        return idx.parse(data, ndim=3 if key.startswith("x") else 1, source=str(path))

    def _files(self) -> dict[str, Path]:
        """Array -> file, from the first place that has all four."""
        directory = self._options.directory
        if directory is not None:
            found = idx.find(directory.expanduser())
            if found is None:
                raise ConfigError(
                    f"not all of {', '.join(idx.FILES.values())} (plain or .gz) are in {directory}",
                    path="directory",
                )
            return found
        cache = cache_directory() / "fashion-mnist"
        found = idx.find(self._system_directory) or idx.find(cache)
        return found or self._download(cache)

    def _download(self, cache: Path) -> dict[str, Path]:
        """Fetch what the cache lacks."""
        reason = "download is switched off"
        if self._options.download:
            try:
                for key, name in idx.FILES.items():
                    self._fetch(key, cache / f"{name}.gz")
            except ConfigError as error:
                reason = error.message
        found = idx.find(cache)
        if found is None:
            raise ConfigError(
                f"Fashion-MNIST is neither in {self._system_directory} nor in {cache}, and "
                f"{reason}. Three ways: (1) set `directory` to a folder with the four IDX files; "
                "(2) on Debian: apt-get install dataset-fashion-mnist; (3) allow `download` with "
                "internet access. Or use the embedded `fashion_mini`",
            )
        return found

    def _fetch(self, key: str, target: Path) -> None:
        """Download one file unless it is there."""
        if target.is_file():
            return

        def accept(data: bytes) -> None:
            content = idx.unpack(data, source=target.name)
            if self._options.verify:
                _verify(key, content, target.name)
            idx.parse(content, ndim=3 if key.startswith("x") else 1, source=target.name)

        urls: Sequence[str] = [f"{url.rstrip('/')}/{target.name}" for url in self._options.urls]
        download(urls, target, accept=accept)


def _verify(key: str, data: bytes, source: str) -> None:
    """Compare the checksum with the official one."""
    found = hashlib.sha256(data).hexdigest()
    if found != SHA256[key]:
        raise ConfigError(
            f"this is not the file of Fashion-MNIST (got sha256 {found} of the decompressed file; "
            f"expected {SHA256[key]}). It is damaged, or of another set; for other sets of the "
            "same form set `verify: false`",
            source=source,
        )


def _check_pair(x: Array, y: Array, part: str) -> None:
    """Images and labels of files that were not verified must fit each other."""
    if x.shape[1:] != (28, 28) or len(x) != len(y) or (len(y) and int(y.max()) > 9):
        raise ConfigError(
            f"the {part} files do not fit (got images {list(x.shape)}, {len(y)} labels up to "
            f"{int(y.max(initial=0))}; expected [n, 28, 28], n labels up to 9). "
            "Give other shapes as arrays: dataset `npz`"
        )
