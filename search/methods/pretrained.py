"""Pretrained: the workload's own network, trained once; a point only says how it is run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict

from search.api.candidate import Candidate
from search.api.domain import Param, Point
from search.api.errors import ConfigError
from search.api.metric import Fidelity
from search.api.protocols import Context, Space
from search.methods.teacher import cached_teacher_weights, load_teacher, teacher_weights


class PretrainedConfig(BaseModel):
    """Options of ``method: {name: pretrained}``: none; the workload's ``teacher`` says how."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Pretrained:
    """Every trial has the weights of the workload's own network, trained as ``teacher`` says.

    The training is cached on disk: later trials, workers and studies read it.

    Args:
        workload: gives network, data and training.

    Raises:
        ConfigError: there is no workload.
    """

    Config: ClassVar[type[PretrainedConfig]] = PretrainedConfig
    decides_space = False

    def __init__(self, workload: Any) -> None:
        if workload is None:
            raise ConfigError(
                "method pretrained needs a network and data (got no workload). "
                "Add a `workload:` section.",
                path="workload",
            )
        self._workload = workload

    @classmethod
    def from_config(cls, config: PretrainedConfig, workload: Any) -> Self:
        """The method for ``workload``.

        Raises:
            ConfigError: there is no workload.
        """
        return cls(workload)

    def params(self) -> Sequence[Param]:
        """None: the space's parameters are all there are."""
        return ()

    def prepare(self, ctx: Context) -> None:
        """Train the network, or find it trained.

        Raises:
            EvaluationError: training diverged or was stopped.
        """
        load_teacher(self._workload, ctx)

    def shared_weights(self) -> Path | None:
        """The weights of all candidates; None if they were not trained, or the cache is gone."""
        return cached_teacher_weights(self._workload)

    def produce(
        self,
        space: Space[Any],
        point: Point,
        fidelity: Fidelity,
        ctx: Context,
        warm: Candidate[Any] | None,
    ) -> Candidate[Any]:
        """The point's candidate with the trained weights.

        Raises:
            InfeasibleCandidate: the point cannot be built.
            EvaluationError: training diverged or was stopped.
        """
        if warm is not None:
            return warm
        payload = space.build(point)  # first: a point that cannot be built needs no weights
        kind = str(getattr(space, "kind", "candidate"))
        return Candidate(kind, payload, weights=teacher_weights(self._workload, ctx))
