"""Where noise enters an encrypted network, and how much under a parameter set.

Every operation that adds noise is a :class:`Source`; :func:`variances` says how much each adds to
the real part of a slot, in units of the value. How that reaches the outputs depends on the packed
network alone (:mod:`evaluators.fhe.noise_gains`), so that many parameter sets share one analysis.

A polynomial with independent coefficients of variance V has values of variance N V at the roots of
X^N + 1; the real part of a slot has half of that.

Source: Cheon, Kim, Kim, Song, "Homomorphic encryption for arithmetic of approximate numbers"
(ASIACRYPT 2017), section 3; Kim, Papadimitriou, Polyakov, "Approximate homomorphic encryption with
reduced approximation error" (CT-RSA 2022), section 4; the bias of key switching was derived and
checked against SEAL here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from evaluators.fhe.levels import Assigned, assign, nominal_primes

if TYPE_CHECKING:
    from evaluators.fhe.graph import Graph, Node
    from evaluators.fhe.instructions import Instruction
    from evaluators.fhe.polynomial_plan import PolynomialPlan
    from spaces.ckks.params import CkksParams

_ROUNDING = 1.0 / 12.0  # variance of what rounding to a whole number leaves


@dataclass(frozen=True)
class Source:
    """A kind of operation of one node that adds noise.

    Args:
        node: name in the graph.
        part: ``fresh`` (encryption), ``baby``, ``giant``, ``early giant``, ``fold``,
            ``first fold`` (rotations, of which early giants and folds follow the rescaling),
            ``weights`` (rounding of encoded diagonals), ``rescale``, ``relinearise``; for a
            polynomial with the number of its instruction, such as ``rescale 7``.
    """

    node: str
    part: str


@dataclass(frozen=True)
class Variance:
    """What one operation adds to a slot.

    Args:
        white: variance in every slot.
        biased: factor of :func:`bias_profile`, which says how it differs between slots.
    """

    white: float
    biased: float = 0.0


@dataclass(frozen=True)
class Library:
    """How a library makes noise.

    Args:
        sigma: standard deviation of error polynomials.
        symmetric: the client encrypts with the secret key: no more than one error polynomial. Else
            with a public key at the level of keys, and divides by the special primes.
        centred: digits of a key switch lie in [-q/2, q/2). SEAL's lie in [0, q): their mean times
            the error in the key is a bias that is largest where the root of unity is next to 1.
    """

    sigma: float
    symmetric: bool = True
    centred: bool = False


SEAL = Library(sigma=math.sqrt(21 / 2))
"""SEAL 4: centred binomial errors (seal/util/clipnormal.h, rlwe.cpp); digits are not centred."""

LATTIGO = Library(sigma=3.2, symmetric=False, centred=True)
"""Lattigo 6: discrete Gaussian errors (rlwe.DefaultNoise); no bias was seen."""


def variances(
    graph: Graph,
    params: CkksParams,
    primes: Sequence[float] | None = None,
    library: Library = SEAL,
) -> dict[Source, Variance]:
    """What each operation of each source adds to a slot.

    Args:
        graph: the network.
        params: its configuration.
        primes: the data primes, that which is never dropped first; nominal ones by default.
        library: that computes.

    Raises:
        BackendFailure: the network does not fit the chain, see ``evaluators.fhe.levels.assign``.
    """
    values = tuple(map(float, primes)) if primes is not None else nominal_primes(params)
    levels = assign(graph, params, values)
    physics = Physics(params, values, library)
    found: dict[Source, Variance] = {}
    for node in graph.nodes:
        parts = _PARTS[node.kind](node, levels[node.name], physics)
        found.update({Source(node.name, part): variance for part, variance in parts.items()})
    return found


@dataclass(frozen=True)
class Physics:
    """Noise of single operations, before division by a scale.

    Args:
        params: ring, secret and special primes.
        primes: the data primes, that which is never dropped first.
        library: that computes.
    """

    params: CkksParams
    primes: tuple[float, ...]
    library: Library

    @property
    def _weight(self) -> float:
        """Expected squared norm of the secret: two thirds of a dense ternary one are not 0."""
        sparse = self.params.secret_weight
        return float(sparse) if sparse is not None else 2.0 * self.params.n / 3.0

    def fresh(self, scale: float) -> Variance:
        """Encoding and encryption."""
        error = self.library.sigma**2 if self.library.symmetric else self._division
        return self._white(error + _ROUNDING, scale)

    def encoded(self, scale: float) -> Variance:
        """Rounding of a plaintext of real numbers.

        It is symmetric, c_(N-i) = -c_i, and so is what rounding leaves: an error of real numbers,
        with nothing of it in imaginary parts.
        """
        return self._white(2.0 * _ROUNDING, scale)

    def rescaled(self, scale: float) -> Variance:
        """Rounding of both polynomials, of which the second meets the secret; ``scale`` after."""
        return self._white(self._division, scale)

    def switched(self, limbs: int, scale: float) -> Variance:
        """A key switch (rotation or relinearisation) on ``limbs`` limbs."""
        special = self.params.chain.special
        log_p = float(sum(special))
        group = len(special)
        digits = [
            sum(math.log2(q) for q in self.primes[start : min(start + group, limbs)])
            for start in range(0, limbs, group)
        ]
        n, variance = float(self.params.n), self.library.sigma**2
        squares = sum(4.0 ** min(bits - log_p, 400.0) for bits in digits)
        white = self._white(n * squares * variance * _ROUNDING + self._division, scale)
        biased = 0.0 if self.library.centred else squares * variance * n / 2.0 / scale**2
        return Variance(white.white, biased)

    @property
    def _division(self) -> float:
        return (1.0 + self._weight) * _ROUNDING

    def _white(self, coefficients: float, scale: float) -> Variance:
        return Variance(self.params.n * coefficients / 2.0 / scale**2)


@lru_cache(maxsize=8)
def bias_profile(slots: int) -> np.ndarray:
    """``|1 / (1 - z)|^2`` at the root of unity z of each slot, ``[slots]``.

    The sum of X^i over i < N is 2 / (1 - z) at z; slot j stands for z = exp(pi i 3^j / N).
    """
    powers = np.empty(slots, dtype=np.int64)
    power = 1
    for index in range(slots):
        powers[index] = power
        power = power * 3 % (4 * slots)
    return np.asarray(1.0 / (4.0 * np.sin(np.pi * powers / (4 * slots)) ** 2))


def _input(node: Node, level: Assigned, physics: Physics) -> Mapping[str, Variance]:
    return {"fresh": physics.fresh(level.scale_out)}


def _linear(node: Node, level: Assigned, physics: Physics) -> Mapping[str, Variance]:
    product = level.scale_in * level.weight_scale
    return {
        "baby": physics.switched(level.limbs_in, level.scale_in),
        "weights": physics.encoded(level.weight_scale),
        "giant": physics.switched(level.limbs_in, product),
        "early giant": physics.switched(level.limbs_out, level.scale_out),
        "rescale": physics.rescaled(level.scale_out),
        "first fold": physics.switched(level.limbs_in, product),
        "fold": physics.switched(level.limbs_out, level.scale_out),
    }


def _square(node: Node, level: Assigned, physics: Physics) -> Mapping[str, Variance]:
    rescaled = level.limbs_out < level.limbs_in  # else the linear map behind does it for both
    return {
        "relinearise": physics.switched(level.limbs_in, level.scale_in**2),
        "rescale": physics.rescaled(level.scale_out) if rescaled else Variance(0.0),
    }


def _polynomial(node: Node, level: Assigned, physics: Physics) -> Mapping[str, Variance]:
    steps = instructions(node, level, physics.primes)
    found = {}
    for index, step in enumerate(steps):
        if step.operation == "relinearise":
            found[f"relinearise {index}"] = physics.switched(step.limbs, step.scale)
        elif step.operation == "rescale":
            found[f"rescale {index}"] = physics.rescaled(step.scale)
    return found


def instructions(node: Node, level: Assigned, primes: Sequence[float]) -> tuple[Instruction, ...]:
    """What an engine does for a polynomial."""
    return _plan(node).instructions(level.limbs_in, level.scale_in, primes, level.scale_out)


def nominal_instructions(node: Node) -> tuple[Instruction, ...]:
    """The same, in the same order, under any chain: to follow values, not scales."""
    plan = _plan(node)
    limbs, scale = plan.levels + 1, 2.0**40
    return plan.instructions(limbs, scale, (scale**1.5, *(scale,) * (limbs - 1)), scale)


def _plan(node: Node) -> PolynomialPlan:
    from evaluators.fhe.polynomial_plan import plan

    if node.polynomial is None:
        raise ValueError(f"{node.name}: a node of kind 'polynomial' without one")
    return plan(node.polynomial)


def _nothing(node: Node, level: Assigned, physics: Physics) -> Mapping[str, Variance]:
    return {}


_PARTS = {
    "input": _input,
    "linear": _linear,
    "square": _square,
    "polynomial": _polynomial,
    "add": _nothing,
}
