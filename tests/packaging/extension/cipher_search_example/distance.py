"""An evaluator of a parameter space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field

from search.api.candidate import Candidate
from search.api.metric import Fidelity, Measurement, Metric
from search.api.protocols import Context


class Distance:
    """How far the parameter ``x`` is from a target."""

    class Config(BaseModel):
        """Options of ``{name: distance}``."""

        model_config = ConfigDict(extra="forbid", frozen=True)

        target: float = Field(0.0, description="where the distance is zero")

    metrics: ClassVar[Sequence[Metric]] = (
        Metric("distance", "1", "min", "Absolute difference of x and the target."),
    )
    needs: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, target: float = 0.0) -> None:
        self.target = target

    @classmethod
    def from_config(cls, config: Config, workload: Any) -> Self:
        """The evaluator with its options; it needs no workload."""
        return cls(config.target)

    def evaluate(
        self, candidate: Candidate[Any], fidelity: Fidelity, ctx: Context
    ) -> Sequence[Measurement]:
        """One measurement."""
        value = abs(candidate.payload["x"] - self.target)
        return (Measurement("distance", value, "1", fidelity.name, "measured"),)
