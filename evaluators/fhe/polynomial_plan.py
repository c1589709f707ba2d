"""How a polynomial is evaluated on a ciphertext: one plan for cost models and for engines.

Paterson and Stockmeyer's baby-step giant-step in the Chebyshev basis: ``p = q T_m + r`` is split
until the parts are sums of the baby steps T_1 ... T_(b-1). The least depth is kept: degree d costs
``ceil(log2(d + 1))`` levels, products with coefficients included. Products of size 3 are added
before they are relinearised. Scales are planned from the target backwards, so that the result and
both sides of every sum have exactly the scale they must have (Bossuat et al., Efficient
bootstrapping for approximate homomorphic encryption with non-sparse keys, EUROCRYPT 2021, section
3.2; Lee et al., IEEE TDSC 2021, for odd polynomials).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from evaluators.fhe.circuit import Count, Operation
from evaluators.fhe.failures import BackendFailure
from evaluators.fhe.graph import Polynomial
from evaluators.fhe.instructions import Instruction, Program, counted, interpret
from evaluators.fhe.polynomial_split import Split, expense, splits
from evaluators.fhe.polynomial_stage import evaluate
from search.api.errors import ConfigError

_LEAST_SCALE = 2.0**15  # the noise of one rescaling is up to 2^12 (N = 32768): 3 bits are left
_NOMINAL = 2.0**40  # any prime and scale: counts and plain values do not depend on them


@dataclass(frozen=True)
class PolynomialPlan:
    """The evaluation of one node of kind ``polynomial``. Made by :func:`plan`.

    Args:
        polynomial: what is evaluated.
        stages: how each stage of it (its coefficients, then ``composite``) is split.
    """

    polynomial: Polynomial
    stages: tuple[Split, ...]

    @property
    def levels(self) -> int:
        """Limbs that it drops: the sum over stages, and one more for a gate."""
        return sum(s.levels for s in self.stages) + self.polynomial.gate

    def instructions(
        self, limbs_in: int, scale_in: float, primes: Sequence[float], target_scale: float
    ) -> tuple[Instruction, ...]:
        """The program on a ciphertext; its last instruction gives the result.

        Args:
            limbs_in: limbs of the operand.
            scale_in: its scale (the factor, not its logarithm).
            primes: the modulus chain, q0 first; at least ``limbs_in`` of them.
            target_scale: scale of the result, reached exactly. Stages before the last one end at
                this scale, too.

        Returns:
            Instructions; the result has ``limbs_in - levels`` limbs.

        Raises:
            BackendFailure: kind ``depth``: too few limbs; ``scale_mismatch``: the scale is so far
                from the primes that powers lose it; ``overflow``: a scale exceeds the modulus.
        """
        if limbs_in < self.levels + 1:
            raise BackendFailure(
                "depth",
                f"a polynomial of {self.levels} levels needs {self.levels + 1} limbs (got "
                f"{limbs_in}). Add {self.levels + 1 - limbs_in} primes to the chain, or take a "
                "smaller degree",
            )
        program = Program(primes)
        x = value = program.input(limbs_in, float(scale_in))
        for number, split in enumerate(self.stages):
            last = number + 1 == len(self.stages)
            scale = float(target_scale)
            if last and self.polynomial.gate:
                limbs = limbs_in - self.levels + 1
                scale = float(target_scale) * primes[limbs - 1] / program.scales[x]
            value = evaluate(program, value, split, scale)
        if self.polynomial.gate:
            program.finished(program.product(value, x))
        _check_scales(program, limbs_in)
        return tuple(program.steps)

    def counts(self, limbs_in: int) -> tuple[Count, ...]:
        """Operations on an operand of ``limbs_in`` limbs, with the limbs each is done at.

        Raises:
            BackendFailure: kind ``depth``: too few limbs.
        """
        if limbs_in < self.levels + 1:
            self.instructions(limbs_in, 1.0, (), 1.0)  # says what is missing
        return tuple(Count(op, limbs_in - drop, count) for op, drop, count in self._drops)

    @cached_property
    def _drops(self) -> tuple[tuple[Operation, int, int], ...]:
        """(operation, limbs dropped before it, how often): the same for every chain."""
        top = self.levels + 1
        return tuple((op, top - limbs, n) for (op, limbs), n in counted(self._nominal).items())

    @cached_property
    def _nominal(self) -> tuple[Instruction, ...]:
        top = self.levels + 1
        return self.instructions(top, _NOMINAL, _primes(top), _NOMINAL)

    def run_plain(self, x: np.ndarray) -> np.ndarray:
        """What the program gives on cleartext ``x`` in [-1, 1], of any shape."""
        return interpret(self._nominal, x)


@lru_cache(maxsize=1024)
def plan(polynomial: Polynomial) -> PolynomialPlan:
    """The cheapest plan found for ``polynomial`` among those of least depth.

    Raises:
        ConfigError: a stage is constant, or a coefficient is not finite.
    """
    stages = [polynomial.coefficients, *polynomial.composite]
    found = []
    for number, stage in enumerate(stages):
        series = np.asarray(stage, dtype=np.float64)
        if not np.isfinite(series).all():
            raise ConfigError(f"polynomial: coefficients must be finite (got {stage!r})")
        if not series[1:].any():
            raise ConfigError(f"polynomial: a degree of 1 or more is needed (got {stage!r})")
        if polynomial.gate and number + 1 == len(stages):
            series = series / 2.0
            series[0] += 0.5
        found.append(_cheapest(series))
    return PolynomialPlan(polynomial, tuple(found))


def _check_scales(program: Program, limbs_in: int) -> None:
    """Refuse what libraries refuse at run time, or answer with garbage."""
    bits = np.cumsum(np.log2(program.primes[:limbs_in]))
    for step in program.steps:
        needed, has = math.log2(step.scale) + 1.0, bits[step.limbs_out - 1]
        if needed > has:
            raise BackendFailure(
                "overflow",
                f"a value of the polynomial needs {needed:.0f} bits of modulus on {step.limbs_out} "
                f"limbs (has {has:.0f}). Lower the scale, or raise the bits of the first prime",
            )
        kept = {"multiply_scalar": step.plain_scale, "rescale": step.scale}.get(step.operation)
        if kept is not None and kept < _LEAST_SCALE:
            raise BackendFailure(
                "scale_mismatch",
                f"a polynomial on a scale of 2^{math.log2(program.scales[0]):.1f} and primes of "
                f"about 2^{bits[-1] - bits[-2]:.0f}: every squaring doubles their distance, until "
                f"a scale is 2^{math.log2(kept):.0f} (expected 2^{math.log2(_LEAST_SCALE):.0f} or "
                "more). Take level primes of the scale's bits",
            )


def _cheapest(series: np.ndarray) -> Split:
    return min(splits(tuple(series)), key=_expense)


def _expense(split: Split) -> float:
    """Relative cost of a stage on its own."""
    top = split.levels + 1
    program = Program(_primes(top))
    evaluate(program, program.input(top, _NOMINAL), split, _NOMINAL)
    return sum(expense(step.operation, step.limbs) for step in program.steps)


def _primes(limbs: int) -> tuple[float, ...]:
    return (_NOMINAL**1.5, *(_NOMINAL,) * (limbs - 1))
