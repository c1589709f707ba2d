"""CIFAR-10 and CIFAR-100 in their binary version; the pickled version is never opened.

Source: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images" (2009). Record: one
label byte (CIFAR-100: coarse, then fine), then 3 x 32 x 32 bytes, plane by plane.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from search.api.errors import ConfigError
from search.workloads.data.options import SplitOptions, locate, sha256_of
from search.workloads.data.splits import Array, Pair, Splits, assemble, digest_of, three_way

_SHAPE = (3, 32, 32)
_PIXELS = 3 * 32 * 32


class Cifar10:
    """CIFAR-10 from a directory of the binary version (data_batch_1.bin ... test_batch.bin).

    Args:
        options: those of :class:`Cifar10.Config`.
    """

    class Config(SplitOptions):
        """Options of ``cifar10`` and ``cifar100``."""

        directory: Path = Field(
            description="holds the .bin files, or the folder that the archive unpacks to"
        )
        validation: int | None = Field(
            default=5_000, ge=1, description="examples to choose by, carved out of train"
        )

    input_shape = _SHAPE
    classes = 10
    name: ClassVar[str] = "cifar10"
    _inner: ClassVar[str] = "cifar-10-batches-bin"
    _train: ClassVar[tuple[str, ...]] = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
    _test: ClassVar[str] = "test_batch.bin"
    _label_bytes: ClassVar[int] = 1

    def __init__(self, **options: Any) -> None:
        self._options = self.Config(**options)

    @classmethod
    def from_config(cls, config: Config, workload: object) -> Cifar10:
        """From checked options; ``workload`` is not used."""
        return cls(**config.model_dump())

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits; hashes the files (about 180 MB) once."""
        options = self._options
        content = sha256_of([*self._train_files(), self._test_file()])
        return digest_of(name=self.name, content=content, sizes=options.sizes, seed=options.seed)

    def load(self) -> Splits:
        """Read the files and carve validation out of train.

        Raises:
            ConfigError: files are missing, cut short, or hold labels out of range.
        """
        batches = [self._read(path) for path in self._train_files()]
        x = np.concatenate([batch[0] for batch in batches])
        y = np.concatenate([batch[1] for batch in batches])
        x_test, y_test = self._read(self._test_file())
        options = self._options
        train, validation, test = three_way(y, y_test, sizes=options.sizes, seed=options.seed)
        return assemble(
            train=(x[train], y[train]),
            validation=(x[validation], y[validation]),
            test=(x_test[test], y_test[test]),
            classes=self.classes,
            name=self.name,
            digest=self.digest,
        )

    def _place(self) -> Path:
        """The directory that really holds the files."""
        return locate(
            self._options.directory,
            self._inner,
            (*self._train, self._test),
            what=f"{self.name} (binary version)",
            hint=f"Unpack the archive of the binary version ({self._inner}); "
            "the Python version is pickled and not read",
        )

    def _train_files(self) -> list[Path]:
        """Paths in order."""
        place = self._place()
        return [place / name for name in self._train]

    def _test_file(self) -> Path:
        """Path of the test part."""
        return self._place() / self._test

    def _read(self, path: Path) -> Pair:
        """Images ``[n, 3, 32, 32]`` and labels ``[n]`` of one file, checked."""
        record = self._label_bytes + _PIXELS
        raw: Array = np.fromfile(path, dtype=np.uint8)
        if not len(raw) or len(raw) % record:
            raise ConfigError(
                f"not a whole number of {self.name} records (got {len(raw)} bytes; "
                f"expected a multiple of {record})",
                source=str(path),
            )
        rows = raw.reshape(-1, record)
        labels = rows[:, self._label_bytes - 1]  # the last label byte is the finest
        if int(labels.max()) >= self.classes:
            raise ConfigError(
                f"label out of range (got {int(labels.max())}; "
                f"expected 0 to {self.classes - 1}). Is this {self.name}?",
                source=str(path),
            )
        return rows[:, self._label_bytes :].reshape(-1, *_SHAPE), labels


class Cifar100(Cifar10):
    """CIFAR-100 (fine labels) from a directory of the binary version (train.bin, test.bin)."""

    classes = 100
    name = "cifar100"
    _inner = "cifar-100-binary"
    _train = ("train.bin",)
    _test = "test.bin"
    _label_bytes = 2
