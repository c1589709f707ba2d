"""The scale of the trainable polynomials: one constant for operators and methods, without torch."""

from __future__ import annotations

import math

C_DEFAULT = 20.0
"""Constant ``c`` of :func:`scale_of`; PASNet (DAC 2023) gives the form but no value.

Source: measured here, single runs, validation split of ``fashion_mini``. All-polynomial
``resnet_mini`` (nine polynomials, teacher at 88.9 %), 1.5 epochs of fine-tuning at learning rate
0.02: c = 10 / 20 / 40 gives 84.9 / 86.4 / 86.9 %. At rate 0.05 c = 40 is unstable (70.7 %) and 20
is not (86.2 %). An earlier net of three blocks, 6 epochs at 0.03: c = 1 87.2 %, c = 10 88.4 %.
"""


def scale_of(elements: int, c: float = C_DEFAULT) -> float:
    """``s = c / sqrt(elements)`` of a polynomial ``s * w1 * x^2 + w2 * x + b``.

    It brings the gradient of ``w1``, a sum over all elements, to the size of the other gradients.

    Args:
        elements: ``N_x``, number of elements of the map per sample (``C * H * W``), at least 1.
        c: the constant; larger lets polynomials leave the identity sooner.

    Source: PASNet (DAC 2023), X^2act.
    """
    return c / math.sqrt(elements)
