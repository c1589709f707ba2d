"""FRAM of a whole family of modes: one set of weights instead of one for each mode.

An evaluator of its own and no part of ``device_cost``, since that one scores single modes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field

from evaluators.usage import sites_of
from search.api.candidate import Candidate
from search.api.errors import EvaluationError
from search.api.metric import Fidelity, Measurement, Metric
from search.api.network import Site
from search.api.protocols import Context
from spaces.eve.device.memory import family_memory
from spaces.eve.device.table import Profile, load_profile
from spaces.eve.family import ModeFamily

FRAM_BYTES = Metric(
    "fram_bytes", "B", "min", "weights, levels, biases, feature maps and code in FRAM"
)
FRAM_SHARE = Metric(
    "fram_share", "%", "min",
    "bytes of the shared model (weights, levels, biases), in % of one separately pruned model for "
    "each mode",
)  # fmt: skip


class FamilyMemoryConfig(BaseModel):
    """Options of ``{name: family_memory}``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    profile: str = Field(
        "external_fram", description="external_fram, onchip_fram, or a path ending in .toml"
    )


class FamilyMemory:
    """Scores a family, never a single mode.

    Args:
        sites: of the network.
        profile: the device.
    """

    Config: ClassVar[type[FamilyMemoryConfig]] = FamilyMemoryConfig
    metrics: Sequence[Metric] = (FRAM_BYTES, FRAM_SHARE)
    needs: frozenset[str] = frozenset()

    def __init__(self, sites: Sequence[Site], profile: Profile) -> None:
        self._sites, self._profile = tuple(sites), profile

    @classmethod
    def from_config(cls, config: FamilyMemoryConfig, workload: Any) -> Self:
        """The evaluator for ``workload``'s network.

        Raises:
            ConfigError: there is no workload, or no such profile.
        """
        return cls(sites_of(workload, "family_memory"), load_profile(config.profile))

    def evaluate(
        self, candidate: Candidate[Any], fidelity: Fidelity, ctx: Context
    ) -> Sequence[Measurement]:
        """Both; evidence ``model``.

        Raises:
            EvaluationError: the payload is no family, or does not fit the network.
        """
        family = candidate.payload
        if not isinstance(family, ModeFamily):
            raise EvaluationError(
                f"candidate {candidate.digest}: family_memory scores a family of modes (got a "
                f"payload of type {type(family).__name__})"
            )
        memory = family_memory(self._sites, family, self._profile)
        values = (float(memory.total), 100.0 * memory.share)
        return tuple(
            Measurement(metric.name, value, metric.unit, fidelity.name, "model")
            for metric, value in zip(self.metrics, values, strict=True)
        )
