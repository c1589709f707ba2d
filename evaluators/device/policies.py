"""Which mode to answer a request in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from evaluators.device.prediction import Needs
from search.api.errors import ConfigError

# Least chance at which a denser mode is tried after an answer: its energy is missing later.
_FAIR = 0.5

NAMES = ("adaptive", "answer_first", "single", "greedy", "fixed:<level>", "oracle")


@dataclass(frozen=True)
class Situation:
    """What a policy may look at. Modes are counted from 0, sparsest first.

    Args:
        left_s: until the deadline [s].
        stored_j: in the capacitor, above switching off [J].
        now_w: harvested right now [W].
        outlook_w: mean powers until the deadline that past experience makes equally likely [W].
        needs: powers that modes need.
        accuracies: of each mode, in %.
        answered: the mode of an answer that there is already.
        foresee: whether a mode would meet the deadline, told by the future itself; None for
            policies that run on a device.
    """

    left_s: float
    stored_j: float
    now_w: float
    outlook_w: Sequence[float]
    needs: Needs
    accuracies: Sequence[float]
    answered: int | None = None
    foresee: Callable[[int], bool] | None = None

    def chance(self, *modes: int) -> float:
        """Share of the expected powers at which ``modes``, one after the other, are in time."""
        needed = self.need_w(*modes)
        return sum(power >= needed for power in self.outlook_w) / len(self.outlook_w)

    def need_w(self, *modes: int) -> float:
        """The power that ``modes``, one after the other, need to be in time [W]."""
        return self.needs.power_w(modes, self.stored_j, self.left_s)


class Policy(Protocol):
    """Chooses at each request."""

    @property
    def foresees(self) -> bool:
        """Whether it must know the future: then it is for reference only."""
        ...

    def choose(self, situation: Situation) -> int | None:
        """The mode to run; None lets the request pass."""
        ...


@dataclass(frozen=True)
class Fixed:
    """Always the same mode."""

    index: int
    foresees: ClassVar[bool] = False

    def choose(self, situation: Situation) -> int | None:
        """The mode, whatever the situation; nothing after an answer."""
        return self.index if situation.answered is None else None


@dataclass(frozen=True)
class Greedy:
    """The densest mode that is in time if the power stays as it is now, or else the sparsest."""

    foresees: ClassVar[bool] = False

    def choose(self, situation: Situation) -> int | None:
        """The mode."""
        if situation.answered is not None:
            return None
        for index in reversed(range(len(situation.accuracies))):
            if situation.need_w(index) <= situation.now_w:
                return index
        return 0


@dataclass(frozen=True)
class Adaptive:
    """The mode of most accuracy times chance to meet the deadline, and then a better one.

    The chance is the share of the powers it expects at which the device model says that the mode
    is in time. A request without a chance passes, so that its energy is there for the next one. An
    answer in time is kept, and a denser mode is tried while there is a fair chance that it will be
    in time, too: all modes lie in one set of weights, so that costs no reload.

    It looks at one request at a time: what a try takes from requests to come is not weighed, which
    costs most where they come at random and faster than energy does.

    Args:
        refine: whether to try a denser mode after an answer.
    """

    refine: bool = True
    foresees: ClassVar[bool] = False

    def choose(self, situation: Situation) -> int | None:
        """The mode; none if the deadline is out of reach or no better answer is likely."""
        s, modes = situation, range(len(situation.accuracies))
        done = 0.0 if s.answered is None else s.accuracies[s.answered]
        if s.answered is not None and not self.refine:
            return None
        best, chosen = 0.0, None if s.answered is not None else 0
        for index in modes:
            gain, chance = s.accuracies[index] - done, s.chance(index)
            if s.answered is not None and chance < _FAIR:
                continue
            worth = gain * chance
            if self.refine:
                later = [(s.accuracies[j] - s.accuracies[index]) * s.chance(index, j)
                         for j in modes if s.accuracies[j] > s.accuracies[index]]  # fmt: skip
                worth += max(later, default=0.0)
            if worth > best:
                best, chosen = worth, index
        return chosen


@dataclass(frozen=True)
class AnswerFirst:
    """The sparsest mode first, then the one that is expected to win most over it.

    Where modes differ by few points, a request that is missed costs far more than a denser mode
    wins, so a safe answer comes first; what time and energy are left go into a better one.
    """

    foresees: ClassVar[bool] = False

    def choose(self, situation: Situation) -> int | None:
        """The mode; none if nothing is to be won any more."""
        s = situation
        if s.answered is None:
            return 0
        done = s.accuracies[s.answered]
        worth = [(a - done) * s.chance(k) for k, a in enumerate(s.accuracies)]
        best = max(range(len(worth)), key=worth.__getitem__)
        return best if worth[best] > 0 else None


@dataclass(frozen=True)
class Oracle:
    """The most accurate mode that will meet the deadline; no mode if none will.

    It knows the future of each request but not what a choice costs later ones.
    """

    foresees: ClassVar[bool] = True

    def choose(self, situation: Situation) -> int | None:
        """The mode, or None."""
        assert situation.foresee is not None
        if situation.answered is not None:
            return None
        order = sorted(range(len(situation.accuracies)), key=lambda i: -situation.accuracies[i])
        return next((index for index in order if situation.foresee(index)), None)


def policy_named(name: str, modes: int) -> Policy:
    """The policy of a configuration, for a family of ``modes``.

    Raises:
        ConfigError: an unknown name, or a level that is not there.
    """
    plain: dict[str, Policy] = {
        "adaptive": Adaptive(),
        "answer_first": AnswerFirst(),
        "single": Adaptive(refine=False),
        "greedy": Greedy(),
        "oracle": Oracle(),
    }
    if name in plain:
        return plain[name]
    word, _, level = name.partition(":")
    if word == "fixed" and level.isdigit() and 1 <= int(level) <= modes:
        return Fixed(int(level) - 1)
    raise ConfigError(
        f"unknown policy {name!r} (known: {', '.join(NAMES)} with levels 1 to {modes})",
        path="policy",
    )
