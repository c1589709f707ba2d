"""Fixed-point numbers in the ring of integers modulo 2^l, as two parties compute with them.

Values are int64 tensors that hold ``round(x * 2^f)`` modulo 2^l, between -2^(l-1) and 2^(l-1) - 1.
Nothing is shared here; where the outcome depends on the shares (truncation, a comparison of some
bits), a uniform first share is drawn, so that errors have the distribution they have in a protocol.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from search.api.errors import ConfigError

Truncation = Literal["local", "probabilistic", "exact"]

_EXACT = 2.0**53  # integers below are exact in double precision
_WORD = 64


class Ring:
    """Arithmetic modulo 2^l on int64 tensors, with a count of results that did not fit.

    Args:
        bits: l, from 8 to 64.
        fraction_bits: f; a value x is held as ``x * 2^f``.
        truncation: how 2f fraction bits become f again. ``local``: each party divides its own
            share (SecureML, IEEE S&P 2017, section IV; CrypTen with two parties): off by at most
            one unit, but wrong altogether with probability ``|value| / 2^l``. ``probabilistic``:
            rounded up with the probability of the fraction, never wrong altogether. ``exact``:
            rounded down.
        seed: of the shares drawn.
        device: where the tensors are.

    Raises:
        ConfigError: bits out of range, or fewer than the fraction needs.
    """

    def __init__(
        self,
        bits: int = 64,
        fraction_bits: int = 16,
        *,
        truncation: Truncation = "local",
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        if not 8 <= bits <= _WORD:
            raise ConfigError(f"ring: expected 8 to {_WORD} bits (got {bits})", path="ring_bits")
        if not 0 <= fraction_bits < bits:
            raise ConfigError(
                f"ring: expected 0 to {bits - 1} fraction bits in a ring of {bits} bits "
                f"(got {fraction_bits})",
                path="fraction_bits",
            )
        self.bits, self.fraction_bits, self.truncation = bits, fraction_bits, truncation
        self.half = 2.0 ** (bits - 1)
        self._generator = torch.Generator(device).manual_seed(seed)
        self._computed = 0
        self._overflowed = torch.zeros((), dtype=torch.int64, device=device)

    @property
    def overflow_share(self) -> float:
        """Share of all results so far that did not fit into the ring, or were truncated wrongly."""
        return int(self._overflowed) / max(1, self._computed)

    def encode(self, x: Tensor, *, extra_bits: int = 0, rounded: bool = False) -> Tensor:
        """Real numbers to int64 with ``f + extra_bits`` fraction bits.

        Cut off towards 0 as CrypTen does, unless ``rounded``.
        """
        scaled = x.double() * 2.0 ** (self.fraction_bits + extra_bits)
        scaled = scaled.round() if rounded else scaled.trunc()
        self._judge(scaled)
        # Modulo 2^l while still doubles: converting what an int64 cannot hold is undefined.
        fits = scaled.abs() < self.half
        wrapped = torch.remainder(scaled + self.half, 2 * self.half) - self.half
        wrapped = torch.where(wrapped >= self.half, -self.half, wrapped)  # rounded up to the edge
        return torch.where(fits, scaled, wrapped).to(torch.int64)

    def decode(self, x: Tensor) -> Tensor:
        """Back to real numbers, double."""
        return x.double() / 2.0**self.fraction_bits

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        """``x + y``."""
        if _largest(x) + _largest(y) >= self.half:
            self._judge(x.double() + y.double())
        else:
            self._computed += x.numel()
        return self._wrap(x + y)

    def times(self, x: Tensor, y: Tensor) -> Tensor:
        """``x * y`` elementwise, not truncated."""
        if _largest(x) * _largest(y) >= self.half:
            self._judge(x.double() * y.double())
        else:
            self._computed += x.numel()
        return self._wrap(x * y)

    def linear(self, apply: Callable[[Tensor, Tensor], Tensor], x: Tensor, w: Tensor) -> Tensor:
        """``apply(x, w)``, linear in both, not truncated: a convolution or a matrix product.

        Exact modulo 2^l: runs on doubles, in as many digits of ``x`` as keep every sum below 2^53.

        Args:
            apply: works on doubles.
            x: ``[n, ...]``.
            w: ``[outputs, ...]``; the absolute values of each row bound the sum.
        """
        weights = w.double()
        gain = max(1.0, float(weights.abs().flatten(1).sum(dim=1).max()))
        digit = int(torch.tensor(_EXACT / gain).log2()) if gain < _EXACT else 0
        if digit < 1:
            raise ConfigError("ring: weights too large to multiply exactly")
        rest, shift = x, 0
        whole: Tensor | None = None
        estimate: Tensor | None = None
        while True:
            last = _largest(rest) * gain < _EXACT
            part = apply((rest if last else rest & ((1 << digit) - 1)).double(), weights)
            shifted = part.to(torch.int64) << shift
            whole = shifted if whole is None else whole + shifted
            estimate = part * 2.0**shift if estimate is None else estimate + part * 2.0**shift
            if last:
                break
            rest, shift = rest >> digit, shift + digit
        self._judge(estimate)
        return self._wrap(whole)

    def truncate(self, x: Tensor, divisor: int | None = None) -> Tensor:
        """``x / divisor`` (2^f if absent), with the error of the protocol."""
        divisor = 1 << self.fraction_bits if divisor is None else divisor
        if divisor == 1:
            return x
        floor = _floor(x, divisor)
        self._computed += x.numel()
        if self.truncation == "exact":
            return floor
        if self.truncation == "probabilistic":
            rest = (x - floor * divisor).double() / divisor
            draw = torch.rand(
                x.shape, generator=self._generator, dtype=torch.float64, device=x.device
            )
            return floor + (draw < rest)
        first = self._share(x)
        second = self._wrap(x - first)
        found = self._wrap(_towards_zero(first, divisor) + _towards_zero(second, divisor))
        self._overflowed += ((found - floor).abs() > 1).sum()
        return found

    def negative(self, x: Tensor, window: tuple[int, int] | None = None) -> Tensor:
        """Whether ``x < 0``, as a comparison finds it; bool.

        Args:
            x: any shape.
            window: ``(low, width)``: compare only bits ``low`` to ``low + width - 1`` of each
                share. A value of ``2^(low + width - 1)`` or more has a wrong sign then, and one
                near 0 may have. None: all bits.

        Source: HummingBird, comparisons in a reduced ring; the window is ours.
        """
        if window is None or (window[0] <= 0 and window[1] >= self.bits):
            return x < 0
        low, width = window[0], min(window[1], self.bits - window[0])
        first = self._share(x)
        second = self._wrap(x - first)
        # The mask also removes the copies of the sign that >> brings in.
        total = (first >> low) + (second >> low)
        return ((total >> (width - 1)) & 1).bool()

    def _share(self, x: Tensor) -> Tensor:
        """A uniform element of the ring for each value."""
        drawn = torch.empty_like(x)
        if self.bits == _WORD:
            return drawn.random_(-(2**63), None, generator=self._generator)
        half = 1 << (self.bits - 1)
        return drawn.random_(-half, half, generator=self._generator)

    def _wrap(self, x: Tensor) -> Tensor:
        spare = _WORD - self.bits
        return (x << spare) >> spare if spare else x

    def _judge(self, exact: Tensor) -> None:
        """Count results whose true value, known to double precision, is outside of the ring."""
        self._computed += exact.numel()
        self._overflowed += ((exact >= self.half) | (exact < -self.half)).sum()


def _largest(x: Tensor) -> float:
    if not x.numel():
        return 0.0
    low, high = torch.aminmax(x)
    return max(-float(low), float(high))


def _floor(x: Tensor, divisor: int) -> Tensor:
    power = divisor.bit_length() - 1
    if divisor == 1 << power:
        return x >> power
    return torch.div(x, divisor, rounding_mode="floor")


def _towards_zero(x: Tensor, divisor: int) -> Tensor:
    power = divisor.bit_length() - 1
    if divisor == 1 << power:
        return (x + ((x >> (_WORD - 1)) & (divisor - 1))) >> power
    return torch.div(x, divisor, rounding_mode="trunc")
