"""A candidate that is a set of networks: every member measured, and what the whole set is worth.

Objectives are single numbers. Of every metric of the evaluators it is given, this one returns the
value of each member, the worst of them and their mean, so that a study can name what it wants:
``accuracy.worst``, ``energy_2pc.mean``, ``accuracy.1`` (the sparsest member).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field

from evaluators.normalised import NormalisedRelus
from evaluators.usage import sites_of, usage_of
from search import registry
from search.api.candidate import Candidate
from search.api.errors import ConfigError, EvaluationError
from search.api.metric import EVIDENCE, Fidelity, Measurement, Metric
from search.api.network import Site
from search.api.protocols import Context, CostModel, Evaluator, HasCostModels, HasTestSplit
from search.config import PluginRef, plugin_options

WORST, MEAN = "worst", "mean"


@runtime_checkable
class HasMembers(Protocol):
    """A payload that is a set of payloads."""

    @property
    def members(self) -> Sequence[Any]:
        """The payload of each member, cheapest first."""
        ...


class MembersConfig(BaseModel):
    """Options of ``{name: members}``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    of: tuple[PluginRef, ...] = Field(
        min_length=1, description="evaluators that measure each member, with their options"
    )
    count: int = Field(4, ge=1, description="how many members a candidate has")
    normalise_by: str | None = Field(
        None,
        description="also count normalised_relus: ReLUs plus multiply-accumulates at the exchange "
        "rate of this metric's cost model, such as latency_2pc",
    )


class Members:
    """Measures each member of a candidate with other evaluators, and aggregates.

    Metric ``m`` of an inner evaluator becomes ``m.1`` (first, cheapest member) to ``m.<count>``,
    ``m.worst`` and ``m.mean``.

    Args:
        evaluators: what measures a member.
        count: members of every candidate.
        sites: the network's sites; needed with ``normalise_by``.
        normalise_by: metric whose cost model gives the exchange rate of ``normalised_relus``.

    Raises:
        ConfigError: no cost model for ``normalise_by``, or a metric is measured twice.
    """

    Config: ClassVar[type[MembersConfig]] = MembersConfig

    def __init__(
        self,
        evaluators: Sequence[Evaluator[Any]],
        *,
        count: int = 4,
        sites: Sequence[Site] = (),
        normalise_by: str | None = None,
    ) -> None:
        self._evaluators, self._count, self._sites = tuple(evaluators), count, tuple(sites)
        self._own: NormalisedRelus | None = None
        if normalise_by is not None:
            self._own = NormalisedRelus(self._model(normalise_by), self._sites)
        names = [metric.name for metric in self._inner()]
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(f"two evaluators measure {name!r}", path="of")

    @classmethod
    def from_config(cls, config: MembersConfig, workload: Any) -> Self:
        """The evaluator for ``workload``.

        Raises:
            ConfigError: see the class; or an inner evaluator's options are wrong.
        """
        made = []
        for index, plugin in enumerate(config.of):
            path = f"of[{index}]"
            options = plugin_options("evaluator", plugin, path)
            try:
                loaded = registry.load("evaluator", plugin.name)
                made.append(loaded.from_config(options, workload))
            except ConfigError as error:
                where = f"{path}.{error.path}" if error.path else path
                raise ConfigError(error.message, path=where, source=error.source) from error
        sites = sites_of(workload, "members") if config.normalise_by else ()
        return cls(made, count=config.count, sites=sites, normalise_by=config.normalise_by)

    @property
    def metrics(self) -> Sequence[Metric]:
        """For every inner metric one per member, the worst and the mean."""
        return tuple(
            replace(metric, name=f"{metric.name}.{word}", doc=f"{metric.doc}; {told}")
            for metric in self._inner()
            for word, told in self._words()
        )

    @property
    def needs(self) -> frozenset[str]:
        """What the inner evaluators need together."""
        return frozenset().union(*(e.needs for e in self._evaluators))

    def cost_models(self) -> Mapping[str, CostModel]:
        """Metric of one network -> its cost model, for methods that put it into a loss."""
        found: dict[str, CostModel] = {}
        for evaluator in self._evaluators:
            if isinstance(evaluator, HasCostModels):
                found |= evaluator.cost_models()
        if self._own is not None:
            found[self._own.metric.name] = self._own
        return found

    def evaluate(
        self, candidate: Candidate[Any], fidelity: Fidelity, ctx: Context
    ) -> Sequence[Measurement]:
        """Every metric of every member, the worst and the mean.

        Raises:
            EvaluationError: the candidate has another number of members, or one of them cannot be
                measured.
        """
        evaluators = self._evaluators

        def measure(member: Candidate[Any]) -> list[Measurement]:
            found = [m for e in evaluators for m in e.evaluate(member, fidelity, ctx)]
            if self._own is not None:
                value = float(self._own.cost(usage_of(member, self._sites)))
                name = self._own.metric.name
                found.append(Measurement(name, value, "1", fidelity.name, "model"))
            return found

        return self._aggregated(candidate, measure)

    def evaluate_test(
        self, candidate: Candidate[Any], fidelity: Fidelity, ctx: Context
    ) -> Sequence[Measurement]:
        """As ``evaluate``, on the test split, with the evaluators that have one."""
        tested = [e for e in self._evaluators if isinstance(e, HasTestSplit)]

        def measure(member: Candidate[Any]) -> list[Measurement]:
            return [m for e in tested for m in e.evaluate_test(member, fidelity, ctx)]

        return self._aggregated(candidate, measure) if tested else ()

    def members_of(self, candidate: Candidate[Any]) -> tuple[Candidate[Any], ...]:
        """The members as candidates; made from the payload where a stored one was read back.

        Raises:
            EvaluationError: there are none, or not as many as this evaluator was told.
        """
        found = candidate.members
        if not found and isinstance(candidate.payload, HasMembers):
            found = tuple(
                Candidate(candidate.kind, payload, candidate.weights, parent=candidate.parent)
                for payload in candidate.payload.members
            )
        if len(found) != self._count:
            raise EvaluationError(
                f"candidate {candidate.digest} has {len(found)} members (expected {self._count}). "
                "Set `count` of the evaluator members to the number of densities"
            )
        return found

    def _aggregated(
        self, candidate: Candidate[Any], measure: Callable[[Candidate[Any]], list[Measurement]]
    ) -> tuple[Measurement, ...]:
        by_metric: dict[str, list[Measurement]] = {}
        for member in self.members_of(candidate):
            for m in measure(member):
                by_metric.setdefault(m.metric, []).append(m)
        goals = {metric.name: metric.goal for metric in self._inner()}
        return tuple(
            measurement
            for name, found in by_metric.items()
            for measurement in _named(name, found, goals[name])
        )

    def _inner(self) -> list[Metric]:
        found = [metric for e in self._evaluators for metric in e.metrics]
        return found + ([self._own.metric] if self._own is not None else [])

    def _words(self) -> list[tuple[str, str]]:
        each = [(str(k), f"member {k} of {self._count}") for k in range(1, self._count + 1)]
        return [*each, (WORST, "worst member"), (MEAN, "mean over members")]

    def _model(self, metric: str) -> CostModel:
        models: dict[str, CostModel] = {}
        for evaluator in self._evaluators:
            if isinstance(evaluator, HasCostModels):
                models |= evaluator.cost_models()
        if metric not in models:
            raise ConfigError(
                f"no evaluator has a cost model for {metric!r} "
                f"(known: {', '.join(sorted(models)) or 'none'})",
                path="normalise_by",
            )
        return models[metric]


def _named(name: str, found: Sequence[Measurement], goal: str) -> list[Measurement]:
    """Measurements of all members under their own names, the worst one and the mean."""
    each = [replace(m, metric=f"{name}.{k}") for k, m in enumerate(found, start=1)]
    pick = min if goal == "max" else max
    worst = pick(found, key=lambda m: m.value)
    mean = Measurement(
        f"{name}.{MEAN}",
        sum(m.value for m in found) / len(found),
        worst.unit,
        worst.fidelity,
        min((m.evidence for m in found), key=EVIDENCE.index),
        # Members are measured on the same images: their errors are not independent, so no error
        # of the mean is given.
        n=worst.n,
        split=worst.split,
    )
    return [*each, replace(worst, metric=f"{name}.{WORST}"), mean]
