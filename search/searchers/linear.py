"""A ridge model from the entries of a vector to losses and excesses: what each option is worth."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

RIDGE = 0.1
"""Weight of the prior in units of one observation; found on the keep-mask benchmark."""
WINDOW = 1000
"""Trials the model looks at, the latest; bounds memory and time of a fit."""


class EntryWorth:
    """Marginal worth of each option at each entry, with its uncertainty.

    The worth is the coefficient of a one-hot ridge regression of all outputs at once. It is
    refitted when the number of trials has grown by 5 %, always at the same counts, so that a
    replay gives the same model as the run it repeats.

    Args:
        length: entries of the vector.
        options: options per entry.
    """

    def __init__(self, length: int, options: int) -> None:
        self._length, self._options = length, options
        self._rows: list[Ints] = []
        self._outputs: list[Floats] = []
        self._fitted = 0
        self._coefficients: Floats | None = None
        self._deviation: Floats | None = None

    def add(self, entries: Ints, outputs: Sequence[float]) -> None:
        """A trial: option indices, shape ``[length]``, and its outputs (smaller is better)."""
        self._rows.append(entries)
        self._outputs.append(np.array(outputs, dtype=np.float64))

    @property
    def count(self) -> int:
        """Number of trials added."""
        return len(self._rows)

    def draw(self, weights: Floats, noise: float, rng: random.Random) -> Floats:
        """Expected benefit of each option, larger is better, shape ``[length, options]``.

        Args:
            weights: of the outputs, each in units of its own standard deviation.
            noise: 0 for the estimate itself; 1 adds its uncertainty (a Thompson draw).
            rng: stream.
        """
        self._fit()
        if self._coefficients is None or self._deviation is None:
            flat = np.zeros(self._length * self._options)
            spread = np.ones_like(flat)
        else:
            flat = -(self._coefficients @ weights)
            # The spread of the coefficients bounds what ignorance may add: an entry that never
            # varied is at most as important as the others appear.
            spread = self._deviation * flat.std()
        normal = np.random.Generator(np.random.PCG64(rng.getrandbits(64)))
        drawn = flat + noise * spread * normal.standard_normal(len(flat))
        return np.asarray(drawn.reshape(self._length, self._options), dtype=np.float64)

    def _fit(self) -> None:
        due = self.count - self.count % max(1, self.count // 20)
        if due == self._fitted or due < 2:
            return
        self._fitted = due
        rows = np.array(self._rows[max(0, due - WINDOW) : due])
        outputs = np.array(self._outputs[max(0, due - WINDOW) : due])
        x = np.zeros((len(rows), self._length * self._options))
        np.put_along_axis(x, rows + self._options * np.arange(self._length), 1.0, axis=1)
        variance = x.var(axis=0)
        x -= x.mean(axis=0)
        scale = outputs.std(axis=0)
        y = (outputs - outputs.mean(axis=0)) / np.where(scale > 0, scale, 1.0)
        if len(x) <= x.shape[1]:
            kernel = x @ x.T
            kernel[np.diag_indices_from(kernel)] += RIDGE
            self._coefficients = x.T @ np.linalg.solve(kernel, y)
        else:
            gram = x.T @ x
            gram[np.diag_indices_from(gram)] += RIDGE
            self._coefficients = np.linalg.solve(gram, x.T @ y)
        self._deviation = 1.0 / np.sqrt(1.0 + 0.25 * variance * len(x) / 10.0)
