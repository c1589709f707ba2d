"""Fashion-MNIST: a small version inside the package, and the whole set from a directory or URL.

Source: Xiao, Rasul, Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine
Learning Algorithms" (2017), arXiv:1708.07747; data under the MIT licence, Copyright 2017
Zalando SE (LICENSE.fashion-mnist beside this file).
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from search.api.errors import ConfigError
from search.workloads.data.splits import Pair, Splits, assemble, digest_of, draw

DEBIAN_DIRECTORY = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package dataset-fashion-mnist puts the IDX files."""

MINI_FILE = Path(__file__).with_name("fashion_mini.npz")
"""The embedded file; benchmarks/make_fashion_mini.py makes it."""

MINI_SHA256 = "9408987ba350d7a1c68d3e3106bd25a5c97597083ba36a5230b143d9811a6786"
MINI_SIZES = {"train": 12_000, "validation": 3_000, "test": 5_000}


class FashionMini:
    """Fashion-MNIST at 14 x 14, embedded: 12,000 train, 3,000 validation, 5,000 test; 10 classes.

    Args:
        train, validation, test: number of examples to keep, class-balanced; None: all.
        seed: which examples are kept.
        path: another copy of the embedded file; its checksum must be the same.
    """

    class Config(BaseModel):
        """Options of ``fashion_mini``."""

        model_config = ConfigDict(extra="forbid", frozen=True)

        train: int | None = Field(
            None, ge=1, le=MINI_SIZES["train"], description="examples to train on; all if absent"
        )
        validation: int | None = Field(
            None, ge=1, le=MINI_SIZES["validation"], description="examples to choose by"
        )
        test: int | None = Field(
            None, ge=1, le=MINI_SIZES["test"], description="examples to report on"
        )
        seed: int = Field(0, ge=0, description="which examples are kept")

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
