"""Where a session stands: explicit phases, with a way back when one of them is stuck.

The phases are our reading of FHE-Agent's loop (global parameters first, then layer-wise repair of
bottlenecks, encrypted runs for what is worth them); its paper's details are not public.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Phase = Literal["understand", "global", "predicted", "repair", "confirm", "report"]

ORDER: tuple[Phase, ...] = ("understand", "global", "predicted", "repair", "confirm", "report")

MEANING: Mapping[Phase, str] = {
    "understand": "profile the network: levels, ranges, widths, what may be chosen",
    "global": "choose ring dimension, modulus chain, scale and packing by models alone",
    "predicted": "check the choice on the predicted rung",
    "repair": "mend the bottleneck layer: precision, latency, level, memory or range",
    "confirm": "run the best candidate encrypted",
    "report": "commit the best confirmed trial",
}

_BACK: Mapping[Phase, tuple[Phase, ...]] = {
    "understand": (),
    "global": (),
    "predicted": ("global",),
    "repair": ("predicted", "global"),
    "confirm": ("repair", "global"),
    "report": (),
}


class WrongPhase(ValueError):
    """A step that the order of phases does not allow."""


@dataclass(frozen=True)
class Step:
    """A change of phase."""

    phase: Phase
    reason: str


@dataclass
class Progress:
    """The state of a session.

    Args:
        phase: where it stands.
        steps: how it came there.
        returns: how often it went back; bounded by :attr:`most_returns`.
        most_returns: returns after which it counts as stuck.
    """

    phase: Phase = "understand"
    steps: list[Step] = field(default_factory=list)
    returns: int = 0
    most_returns: int = 6

    def enter(self, phase: Phase, reason: str) -> None:
        """Go on to a later phase, or report from anywhere.

        Raises:
            WrongPhase: it lies behind; see :meth:`back`.
        """
        if ORDER.index(phase) < ORDER.index(self.phase):
            raise WrongPhase(f"{phase} lies before {self.phase}; go back instead")
        self._move(phase, reason)

    def back(self, phase: Phase, reason: str) -> bool:
        """Go back to an earlier phase; False (and no move) once that was done too often.

        Raises:
            WrongPhase: nothing leads from here to there.
        """
        if phase not in _BACK[self.phase]:
            raise WrongPhase(f"no way back from {self.phase} to {phase}")
        if self.stuck:
            return False
        self.returns += 1
        self._move(phase, reason)
        return True

    @property
    def stuck(self) -> bool:
        """Whether going back has been tried often enough."""
        return self.returns >= self.most_returns

    def describe(self) -> dict[str, Any]:
        """The state for models and people; JSON-safe."""
        return {
            "phase": self.phase,
            "meaning": MEANING[self.phase],
            "next": list(ORDER[ORDER.index(self.phase) + 1 :][:1]),
            "back": [] if self.stuck else list(_BACK[self.phase]),
            "returns_left": max(0, self.most_returns - self.returns),
        }

    def _move(self, phase: Phase, reason: str) -> None:
        self.phase = phase
        self.steps.append(Step(phase, reason))
