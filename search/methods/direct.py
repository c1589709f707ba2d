"""Build the point and train nothing: for spaces whose candidates need no weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict

from search.api.candidate import Candidate
from search.api.domain import Param, Point
from search.api.metric import Fidelity
from search.api.protocols import Context, Space

P = TypeVar("P")


class Direct:
    """The candidate is what the space builds from the point."""

    class Config(BaseModel):
        """No options."""

        model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def from_config(cls, config: Config, workload: Any) -> Self:
        """An instance; nothing to configure."""
        return cls()

    @property
    def decides_space(self) -> bool:
        """The outer searcher proposes the space's own parameters."""
        return False

    def params(self) -> Sequence[Param]:
        """No knobs of its own."""
        return ()

    def prepare(self, ctx: Context) -> None:
        """Nothing is shared by trials."""

    def produce(
        self,
        space: Space[P],
        point: Point,
        fidelity: Fidelity,
        ctx: Context,
        warm: Candidate[P] | None,
    ) -> Candidate[P]:
        """The built payload; a higher rung gets the candidate of the rung below unchanged.

        Raises:
            InfeasibleCandidate: the point breaks a rule of the space.
        """
        return warm if warm is not None else Candidate(space.kind, space.build(point))
