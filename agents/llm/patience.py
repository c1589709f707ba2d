"""How much nonsense is borne before a model is replaced."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Patience:
    """Counts useless steps: unreadable answers, refused calls, the same call over and over.

    Args:
        in_a_row: useless steps after which it is lost; a useful one starts the count again.
        in_all: useless steps after which it is lost in any case.
        same: how often exactly the same call is answered.
    """

    in_a_row: int = 4
    in_all: int = 12
    same: int = 2
    strikes: int = 0
    total: int = 0
    last: str = ""
    _asked: dict[str, int] = field(default_factory=dict)

    def strike(self, reason: str) -> None:
        """A useless step."""
        self.strikes += 1
        self.total += 1
        self.last = reason

    def useful(self) -> None:
        """A useful step."""
        self.strikes = 0

    def repeats(self, call: str) -> bool:
        """Whether ``call`` was asked too often before; counts it."""
        self._asked[call] = self._asked.get(call, 0) + 1
        return self._asked[call] > self.same

    def spent(self, call: str) -> bool:
        """Whether ``call`` would not be answered any more."""
        return self._asked.get(call, 0) >= self.same

    @property
    def lost(self) -> bool:
        """Whether the model is to be replaced."""
        return self.strikes >= self.in_a_row or self.total >= self.in_all
