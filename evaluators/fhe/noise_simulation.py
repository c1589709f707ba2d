"""A network run in the clear with noise drawn at random for every operation of an encrypted run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from evaluators.fhe.noise import Source, Variance, bias_profile
from evaluators.fhe.noise_gains import forward

if TYPE_CHECKING:
    from evaluators.fhe.packed import PackedNetwork


def simulate(
    packed: PackedNetwork,
    variances: Mapping[Source, Variance],
    images: np.ndarray,
    *,
    repeats: int = 1,
    seed: int = 0,
) -> np.ndarray:
    """Outputs with noise, ``[repeats, images, outputs]``.

    Unlike the model it knows that errors grow together: products of errors, and values that leave
    the range of a polynomial.

    Args:
        packed: the network.
        variances: what each source adds to a slot.
        images: ``[images, elements]``.
        repeats: independent draws.
        seed: of the noise.
    """
    last = packed.graph.nodes[-1].name
    noise = _Noise(variances, bias_profile(packed.slots), np.random.default_rng(seed))
    with np.errstate(
        over="ignore", invalid="ignore"
    ):  # too much noise makes any polynomial explode
        runs = [forward(packed, images, noise.add)[last] for _ in range(repeats)]
    return np.stack([[packed.decode_output(slots) for slots in run] for run in runs])


class _Noise:
    def __init__(
        self,
        variances: Mapping[Source, Variance],
        profile: np.ndarray,
        random: np.random.Generator,
    ) -> None:
        self._variances, self._profile, self._random = variances, profile, random

    def add(self, source: Source, values: np.ndarray) -> np.ndarray:
        """``values`` ``[..., slots]`` with the noise of ``source``."""
        own = self._variances[source]
        deviation = np.sqrt(own.white + own.biased * self._profile)
        return np.asarray(values + deviation * self._random.standard_normal(values.shape))
