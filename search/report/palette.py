"""Colours and symbols that people with any colour vision can tell apart.

Source: Okabe and Ito, Color Universal Design, 2008 (the eight-colour set).
"""

from __future__ import annotations

from collections.abc import Sequence

ARM_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
ARM_SYMBOLS = ("circle", "diamond", "square", "triangle-up", "star", "hexagon")  # Plotly's names
ARM_MARKERS = ("o", "D", "s", "^", "*", "h")  # the same in Matplotlib

OPERATORS: dict[str, tuple[str, str]] = {
    "relu": ("#D55E00", "ReLU"),
    "x2act": ("#0072B2", "x²"),
    "poly1": ("#7FB8DE", "p1"),
    "poly2": ("#3D8FC6", "p2"),
    "poly3": ("#00588C", "p3"),
    "poly4": ("#003E63", "p4"),
    "identity": ("#9AA5B1", "id"),
    "max": ("#CC79A7", "max"),
    "maxpool": ("#CC79A7", "max"),
    "avg": ("#56B4E9", "avg"),
    "avgpool": ("#56B4E9", "avg"),
    "globalavgpool": ("#A9D3EE", "gap"),
    "conv": ("#CBD2D9", "conv"),
    "linear": ("#B4BDC7", "fc"),
    "add": ("#E4E7EB", "+"),
    "batchnorm": ("#E4E7EB", "bn"),
}
"""Operator -> (colour, short text for a box)."""

_OTHERS = ("#009E73", "#E69F00", "#F0E442", "#8C6BB1", "#6B8E23", "#A0522D")


def arm_style(index: int) -> tuple[str, str, str]:
    """(colour, Plotly symbol, Matplotlib marker) of an arm; repeats after six."""
    i = index % len(ARM_COLOURS)
    return ARM_COLOURS[i], ARM_SYMBOLS[i], ARM_MARKERS[i]


def operator_styles(operators: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Operator -> (colour, short text), for known and unknown operators."""
    styles, spare = {}, 0
    for name in dict.fromkeys(operators):
        if name in OPERATORS:
            styles[name] = OPERATORS[name]
        else:
            styles[name] = (_OTHERS[spare % len(_OTHERS)], name[:6])
            spare += 1
    return styles


def ink_on(colour: str) -> str:
    """Black or white, whichever is readable on ``colour`` (``#RRGGBB``).

    Source: WCAG 2.2, relative luminance and contrast ratio.
    """
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#102A43" if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else "#FFFFFF"
