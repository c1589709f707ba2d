"""Handwritten digits that come with scikit-learn: real data of 8 x 8, without a download."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field

from search.workloads.data.options import SplitOptions
from search.workloads.data.splits import Splits, assemble, digest_of, three_way

_FULL = 16.0  # brightest value in the set: counts of set pixels in 4 x 4 blocks


class Digits:
    """scikit-learn's digits: 1,797 images of 8 x 8, 10 classes; an easy set, for quick tries.

    Source: Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits" (1998), test part.

    Args:
        options: those of :class:`Digits.Config`.
    """

    class Config(SplitOptions):
        """Options of ``digits``; all three parts are carved out of the one there is."""

        validation: int | None = Field(default=297, ge=1, description="examples to choose by")
        test: int | None = Field(default=300, ge=1, description="examples to report on")

    input_shape = (1, 8, 8)
    classes = 10

    def __init__(self, **options: Any) -> None:
        self._options = self.Config(**options)

    @classmethod
    def from_config(cls, config: Config, workload: object) -> Digits:
        """From checked options; ``workload`` is not used."""
        return cls(**config.model_dump())

    @property
    def digest(self) -> str:
        """16 hexadecimal digits of the options; the content is fixed."""
        return digest_of(name="digits", sizes=self._options.sizes, seed=self._options.seed)

    def load(self) -> Splits:
        """The three parts.

        Raises:
            ConfigError: more examples asked for than there are.
        """
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        x = (images.reshape(-1, 1, 8, 8) / _FULL).astype(np.float32)
        train, validation, test = three_way(
            labels, None, sizes=self._options.sizes, seed=self._options.seed
        )
        return assemble(
            train=(x[train], labels[train]),
            validation=(x[validation], labels[validation]),
            test=(x[test], labels[test]),
            classes=self.classes,
            name="digits",
            digest=self.digest,
        )
