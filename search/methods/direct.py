"""Direct: the point is the candidate; nothing is trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict

from search.api.candidate import Candidate
from search.api.domain import Param, Point
from search.api.metric import Fidelity
from search.api.protocols import Context, Space


class DirectConfig(BaseModel):
    """Options of ``method: {name: direct}``: none."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Direct:
    """Builds the point's candidate and trains nothing; evaluators do the rest."""

    Config: ClassVar[type[DirectConfig]] = DirectConfig
    decides_space = False

    @classmethod
    def from_config(cls, config: DirectConfig, workload: Any) -> Self:
        """The method; it has no options and needs no workload."""
        return cls()

    def params(self) -> Sequence[Param]:
        """None: the space's parameters are all there are."""
        return ()

    def prepare(self, ctx: Context) -> None:
        """Nothing is shared between trials."""

    def produce(
        self,
        space: Space[Any],
        point: Point,
        fidelity: Fidelity,
        ctx: Context,
        warm: Candidate[Any] | None,
    ) -> Candidate[Any]:
        """The candidate of ``point``; that of the rung below, if there is one.

        Raises:
            InfeasibleCandidate: the point cannot be built.
        """
        if warm is not None:
            return warm
        kind = str(getattr(space, "kind", "candidate"))
        return Candidate(kind, space.build(point))
