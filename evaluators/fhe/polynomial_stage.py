"""One stage of a polynomial, written into a program: baby steps, giant steps and their sums."""

from __future__ import annotations

from collections.abc import Sequence

from evaluators.fhe.instructions import Program
from evaluators.fhe.polynomial_split import Parity, Split, divide, parity_of


def evaluate(program: Program, x: int, split: Split, scale: float) -> int:
    """Write the evaluation of ``split.series`` on register ``x``.

    Args:
        program: to be extended.
        x: register with values in [-1, 1], of size 2.
        split: the series and how it is split.
        scale: of the result, exactly.

    Returns:
        The register of the result, ``split.levels`` limbs below ``x``.
    """
    stage = _Stage(program, x, split)
    series = list(split.series)
    parity = parity_of(series)
    constant, slope = 0.0, 0.0
    if parity == "odd":
        constant, series[0] = series[0], 0.0
    elif parity == "even":
        slope, series[1] = series[1], 0.0
    return stage.finished(series, parity, split.levels, scale, constant, slope)


class _Stage:
    """What the recursion shares: the program and the Chebyshev polynomials it has so far."""

    def __init__(self, program: Program, x: int, split: Split) -> None:
        self.program, self.split = program, split
        self.top = program.limbs[x]
        self.chebyshev = {1: x}

    def finished(
        self,
        series: list[float],
        parity: Parity,
        depth: int,
        scale: float,
        constant: float = 0.0,
        slope: float = 0.0,
    ) -> int:
        """``series + constant + slope T_1``, rescaled to ``depth`` levels below the input."""
        limbs = self.top - depth + 1
        raw = scale * self.program.primes[limbs - 1]
        value, inner = self.unfinished(series, parity, depth, raw)
        if slope:
            value = self._plus(value, self.program.scaled(self.chebyshev[1], slope, limbs, raw))
        if value is None:  # never of a series whose degree is at least 1
            raise ValueError("a constant has no ciphertext")
        value = self.program.finished(value)
        return self.program.shifted(value, constant + inner) if constant + inner else value

    def unfinished(
        self, series: Sequence[float], parity: Parity, depth: int, raw: float
    ) -> tuple[int | None, float]:
        """The series without its constant at scale ``raw``, before rescaling; and the constant."""
        degree = max((i for i, c in enumerate(series) if c), default=0)
        limbs = self.top - depth + 1
        m = self.split.divisor(degree, parity, depth) if degree else 0
        if not m:
            value: int | None = None
            for index in range(1, degree + 1):
                if series[index]:
                    term = self.program.scaled(self.power(index), series[index], limbs, raw)
                    value = self._plus(value, term)
            return value, series[0]
        quotient, rest = divide(series[: degree + 1], m)
        giant = self.power(m)
        if any(quotient[1:]):
            scale = raw / self.program.scales[giant]
            value = self.program.product(
                self.finished(quotient, parity, depth - 1, scale), self.program.at(giant, limbs)
            )
        else:
            value = self.program.scaled(giant, quotient[0], limbs, raw)
        other, constant = self.unfinished(rest, parity, depth, raw)
        return self._plus(value, other), constant

    def power(self, index: int) -> int:
        """The register of T_index, at the least depth: ``T_(a+b) = 2 T_a T_b - T_(a-b)``."""
        if index not in self.chebyshev:
            a, b = self._parts(index)
            first, second = self.power(a), self.power(b)
            other = self.power(a - b) if a > b else None
            program = self.program
            value = program.relinearised(program.product(first, second))
            value = program.sum(value, value)
            if other is not None:
                limbs, scale = program.limbs[value], program.scales[value]
                value = program.sum(value, program.scaled(other, -1.0, limbs, scale))
            value = program.finished(value)
            self.chebyshev[index] = value if other is not None else program.shifted(value, -1.0)
        return self.chebyshev[index]

    def _parts(self, index: int) -> tuple[int, int]:
        """A >= b with a + b = index, of least depth, that need the fewest new polynomials."""
        half = 2 ** ((index - 1).bit_length() - 1)  # the largest a of one level less
        pairs = [(a, index - a) for a in range((index + 1) // 2, half + 1)]
        return min(pairs, key=lambda p: (self._missing(*p), p[0] - p[1]))

    def _missing(self, a: int, b: int) -> int:
        return len({a, b, a - b} - {0} - self.chebyshev.keys())

    def _plus(self, a: int | None, b: int | None) -> int | None:
        if a is None or b is None:
            return a if b is None else b
        return self.program.sum(a, b)
