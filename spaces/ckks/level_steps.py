"""Which step of a network drops which level of the chain, counted from links alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from spaces.ckks.params import Drops

LevelKind = Literal["linear", "square", "other"]


@dataclass(frozen=True)
class LevelStep:
    """One step of a network.

    Args:
        kind: a linear map, a square, or another one.
        inputs: numbers of the steps it reads; none for the input.
        levels: that it drops, if it is no square in a pair.
    """

    kind: LevelKind
    inputs: tuple[int, ...]
    levels: int


def pairs_of(steps: Sequence[LevelStep], drops: Drops) -> tuple[bool, ...]:
    """Of each level, that next to the first prime first: whether a pair drops it.

    Counted backwards from the last step, each step as late in the chain as it can be, as
    ``evaluators.fhe.levels`` does. Steps that do not lead to the last one do not count.
    """
    readers: dict[int, set[str]] = {len(steps) - 1: set()}
    for number in range(len(steps) - 1, -1, -1):
        if number in readers:
            for name in steps[number].inputs:
                readers.setdefault(name, set()).add(steps[number].kind)
    unscaled = {
        number
        for number, kinds in readers.items()
        if drops == "paired" and steps[number].kind == "square" and kinds == {"linear"}
    }
    after = dict.fromkeys(readers, 0)
    paired: dict[int, bool] = {}
    for number in sorted(readers, reverse=True):
        step, last = steps[number], after[number]
        before = last + (0 if number in unscaled else step.levels)
        for level in range(last, before):
            paired[level] = paired.get(level, False) or bool(unscaled & set(step.inputs))
        for name in step.inputs:
            after[name] = max(after[name], before)
    return tuple(paired[level] for level in range(len(paired)))
