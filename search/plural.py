"""Counted things in words, for commands and reports alike."""

from __future__ import annotations


def plural(amount: int, word: str) -> str:
    """``1 trial``, ``2,000 trials``."""
    return f"{amount:,} {word}{'' if amount == 1 else 's'}"
