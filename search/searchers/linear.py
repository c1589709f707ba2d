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
        self._centre: tuple[Floats, Floats, Floats] = (np.zeros(0), np.zeros(0), np.zeros(0))

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

    def usage(self, output: int) -> tuple[Floats, float] | None:
        """One output as a linear sum: what each option adds, and the value with all at their least.

        Args:
            output: index of the output.

        Returns:
            Additions, at least 0, shape ``[length, options]``, and the value that they add to, both
            in the unit of the output; None before the first fit.
        """
        self._fit()
        if self._coefficients is None:
            return None
        mean_row, mean, scale = self._centre
        flat = self._coefficients[:, output] * scale[output]
        adds = flat.reshape(self._length, self._options)
        least = adds.min(axis=1)
        value = float(mean[output] - mean_row @ flat + least.sum())
        return adds - least[:, None], value

    def _fit(self) -> None:
        due = self.count - self.count % max(1, self.count // 20)
        if due == self._fitted or due < 2:
            return
        self._fitted = due
        rows = np.array(self._rows[max(0, due - WINDOW) : due])
        outputs = np.array(self._outputs[max(0, due - WINDOW) : due])
        x = np.zeros((len(rows), self._length * self._options))
        np.put_along_axis(x, rows + self._options * np.arange(self._length), 1.0, axis=1)
        variance, deviation = x.var(axis=0), outputs.std(axis=0)
        scale = np.where(deviation > 0, deviation, 1.0)
        self._centre = x.mean(axis=0), outputs.mean(axis=0), scale
        x -= self._centre[0]
        y = (outputs - self._centre[1]) / scale
        if len(x) <= x.shape[1]:
            kernel = x @ x.T
            kernel[np.diag_indices_from(kernel)] += RIDGE
            self._coefficients = np.asarray(x.T @ np.linalg.solve(kernel, y), dtype=np.float64)
        else:
            gram = x.T @ x
            gram[np.diag_indices_from(gram)] += RIDGE
            self._coefficients = np.asarray(np.linalg.solve(gram, x.T @ y), dtype=np.float64)
        # Shrinks from 1 as an entry is seen with different options; tuned like the prior.
        self._deviation = np.asarray(1.0 / np.sqrt(1.0 + variance * len(x) / 40.0))
