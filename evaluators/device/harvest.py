"""Deadline-met accuracy of a family of modes on a device that lives from harvested energy.

Accuracies of the modes are measured; time and energy come from the device model, harvested power
from traces, and what the device makes of them from a simulation. So the evidence is ``simulated``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from evaluators.accuracy import count_correct
from evaluators.device.intermittent import Job, Supply
from evaluators.device.policies import Fixed, Policy, policy_named
from evaluators.device.prediction import Needs
from evaluators.device.service import Score, arrivals, serve
from evaluators.device.traces import Chain, Recording, load_source
from evaluators.trained import need_workload, trained_network
from search.api.candidate import Candidate
from search.api.errors import ConfigError, EvaluationError, InfeasibleCandidate
from search.api.metric import Fidelity, Measurement, Metric
from search.api.protocols import Context
from spaces.eve.device.cost import mode_cost
from spaces.eve.device.limits import energy_violations
from spaces.eve.device.table import Profile, load_profile
from spaces.eve.family import ModeFamily

METRICS = (
    Metric("deadline_accuracy", "%", "max", "accuracies of answers in time over all requests"),
    Metric("deadline_met", "%", "max", "requests answered in time"),
    Metric("deadline_accuracy_best_single", "%", "max",
           "the same accuracy if the device always uses one mode, the best for the trace"),
    Metric("deadline_gain", "%", "max", "points that choosing modes at run time wins over that"),
)  # fmt: skip


class HarvestConfig(BaseModel):
    """Options of ``{name: harvest}``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    deadline_s: float = Field(gt=0, description="time from a request to its deadline [s]")
    period_s: float | None = Field(
        None, gt=0, description="time between requests [s], on average; absent: deadline_s"
    )
    arrivals: Literal["periodic", "poisson"] = Field("periodic", description="how requests come")
    traces: tuple[str, ...] = Field(
        ("steady_weak", "bursty_indoor", "solar"),
        min_length=1,
        description="names of chains, or paths of .csv files of time [s] and power [mW]",
    )
    profile: str = Field(
        "external_fram", description="external_fram, onchip_fram, or a path ending in .toml"
    )
    policy: str = Field(
        "answer_first",
        description="answer_first (the sparsest mode, then denser ones while time and energy "
        "last), adaptive, single, greedy, fixed:<level>, or oracle for reference",
    )
    requests: int = Field(200, ge=1, description="of each draw of a trace")
    draws: int = Field(4, ge=1, description="of each trace")
    seed: int = Field(0, description="of the first draw; all candidates see the same draws")
    batch_size: int = Field(256, ge=1, description="images per forward pass")


@dataclass(frozen=True)
class Result:
    """What a policy reaches on one trace.

    Args:
        trace: its name.
        scores: of each draw.
        single: the same of each mode used alone, sparsest first.
    """

    trace: str
    scores: tuple[Score, ...]
    single: tuple[tuple[Score, ...], ...]

    @property
    def best_single(self) -> tuple[Score, ...]:
        """The scores of the mode that is best on this trace."""
        return max(self.single, key=lambda scores: fmean(s.accuracy for s in scores))

    def values(self) -> tuple[tuple[float, ...], ...]:
        """For each of :data:`METRICS` the value of each draw."""
        ours, best = (tuple(s.accuracy for s in x) for x in (self.scores, self.best_single))
        return (ours, tuple(s.met for s in self.scores), best,
                tuple(a - b for a, b in zip(ours, best, strict=True)))  # fmt: skip


class Harvest:
    """Serves requests from harvested energy with a family of modes.

    Of several traces, ``deadline_accuracy`` and its like are means; ``deadline_accuracy.<trace>``
    is the value on one of them.

    Args:
        workload: builds the network and holds the data.
        config: options.

    Raises:
        ConfigError: there is no workload, no such profile, trace or policy; or two traces of one
            name.
    """

    Config: ClassVar[type[HarvestConfig]] = HarvestConfig
    needs: frozenset[str] = frozenset({"weights", "data"})

    def __init__(self, workload: Any, config: HarvestConfig) -> None:
        self._workload, self._config = need_workload(workload, "harvest"), config
        self._profile = load_profile(config.profile)
        self._sources = {_name(trace): load_source(trace) for trace in config.traces}
        if len(self._sources) < len(config.traces):
            raise ConfigError("two traces of one name", path="traces")
        if not config.policy.startswith("fixed:"):
            policy_named(config.policy, 1)

    @classmethod
    def from_config(cls, config: HarvestConfig, workload: Any) -> Self:
        """The evaluator for ``workload``.

        Raises:
            ConfigError: see the class.
        """
        return cls(workload, config)

    @property
    def metrics(self) -> Sequence[Metric]:
        """Four, and with several traces four more for each."""
        each = self._sources if len(self._sources) > 1 else {}
        return METRICS + tuple(
            Metric(f"{m.name}.{trace}", m.unit, m.goal, f"{m.doc}; on trace {trace}")
            for m in METRICS
            for trace in each
        )

    def evaluate(
        self, candidate: Candidate[Any], fidelity: Fidelity, ctx: Context
    ) -> Sequence[Measurement]:
        """All metrics, with accuracies on the validation split; evidence ``simulated``.

        ``std`` is the standard error over draws of the traces.

        Raises:
            EvaluationError: the payload is no family, has no weights, or they do not fit.
            InfeasibleCandidate: a batch of a mode takes more than a power cycle gives.
        """
        return self._measure("validation", candidate, fidelity, ctx)

    def evaluate_test(
        self, candidate: Candidate[Any], fidelity: Fidelity, ctx: Context
    ) -> Sequence[Measurement]:
        """The same with accuracies on the test split.

        Raises:
            EvaluationError, InfeasibleCandidate: as :meth:`evaluate`.
        """
        return self._measure("test", candidate, fidelity, ctx)

    def _measure(
        self, name: str, candidate: Candidate[Any], fidelity: Fidelity, ctx: Context
    ) -> Sequence[Measurement]:
        family = candidate.payload
        if not isinstance(family, ModeFamily):
            raise EvaluationError(
                f"candidate {candidate.digest}: harvest scores a family of modes (got a payload of "
                f"type {type(family).__name__})"
            )
        jobs = jobs_of(self._workload.sites(), family, self._profile)
        split = getattr(self._workload.data, name)
        accuracies = [
            100.0 * self._correct(candidate, mode, split, ctx) / len(split)
            for mode in family.members
        ]
        c = self._config
        results = simulate(
            self._sources, Supply.of(self._profile), jobs, accuracies,
            policy_named(c.policy, len(jobs)), deadline_s=c.deadline_s,
            period_s=c.period_s or c.deadline_s, kind=c.arrivals, requests=c.requests,
            draws=c.draws, seed=c.seed,
        )  # fmt: skip
        ctx.note("harvest", {r.trace: _told(r, accuracies) for r in results})
        return self._measurements(results, fidelity.name, name)

    def _correct(self, candidate: Candidate[Any], mode: Any, split: Any, ctx: Context) -> int:
        member = Candidate(candidate.kind, mode, candidate.weights)
        network = trained_network(member, self._workload, "harvest", device=ctx.device)
        return count_correct(network, split, batch_size=self._config.batch_size, device=ctx.device)

    def _measurements(
        self, results: Sequence[Result], fidelity: str, split: str
    ) -> list[Measurement]:
        found = []
        for index, metric in enumerate(METRICS):
            each = [result.values()[index] for result in results]
            mean = [fmean(draw) for draw in zip(*each, strict=True)]
            named = {metric.name: mean}
            if len(results) > 1:
                named |= {f"{metric.name}.{r.trace}": list(v)
                          for r, v in zip(results, each, strict=True)}  # fmt: skip
            for name, values in named.items():
                error = stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
                found.append(Measurement(name, fmean(values), metric.unit, fidelity, "simulated",
                                         std=error, n=len(values), split=split))  # fmt: skip
        return found


def jobs_of(sites: Sequence[Any], family: ModeFamily, profile: Profile) -> tuple[Job, ...]:
    """One inference in each mode of ``family``.

    Raises:
        InfeasibleCandidate: a batch of a mode takes more than a power cycle gives.
        EvaluationError: a mode does not fit the network.
    """
    costs = [mode_cost(sites, mode, profile) for mode in family.members]
    broken = [
        violation
        for mode, cost in zip(family.members, costs, strict=True)
        for violation in energy_violations(sites, mode, cost, profile)
    ]
    if broken:
        raise InfeasibleCandidate(broken)
    return tuple(Job.of(cost, profile) for cost in costs)


def simulate(
    sources: dict[str, Chain | Recording],
    supply: Supply,
    jobs: Sequence[Job],
    accuracies: Sequence[float],
    policy: Policy,
    *,
    deadline_s: float,
    period_s: float,
    kind: str = "periodic",
    requests: int = 200,
    draws: int = 4,
    seed: int = 0,
) -> list[Result]:
    """``policy`` and each mode alone on the same requests and the same draws of every trace.

    Args:
        sources: name -> trace.
        supply: of the device.
        jobs: one inference in each mode, sparsest first.
        accuracies: of the modes [%].
        policy: chooses modes.
        deadline_s: from a request on [s].
        period_s: between requests, on average [s].
        kind: ``periodic`` or ``poisson``.
        requests: of each draw.
        draws: of each trace.
        seed: of the first draw.
    """
    needs = Needs(jobs, supply, deadline_s)
    found = []
    for name, source in sources.items():
        runs: list[list[Score]] = [[] for _ in range(len(jobs) + 1)]
        for draw in range(seed, seed + draws):
            times = arrivals(requests, period_s, kind, draw)
            trace = source.draw(times[-1] + deadline_s, draw)
            for run, chosen in zip(runs, (policy, *map(Fixed, range(len(jobs)))), strict=True):
                run.append(
                    serve(trace, supply, jobs, accuracies, times, deadline_s, chosen, needs=needs)
                )
        found.append(Result(name, tuple(runs[0]), tuple(tuple(run) for run in runs[1:])))
    return found


def _name(trace: str) -> str:
    """A name of a metric: letters, digits and underscores."""
    stem = Path(trace).stem if trace.endswith(".csv") else trace
    return "".join(c if c.isalnum() and c.isascii() else "_" for c in stem)


def _told(result: Result, accuracies: Sequence[float]) -> dict[str, Any]:
    total = sum(s.requests for s in result.scores)
    return {
        "accuracies": list(accuracies),
        "answered": [sum(s.answered[k] for s in result.scores) / total
                     for k in range(len(accuracies))],
        "late": sum(sum(s.late) for s in result.scores) / total,
        "passed": sum(s.passed for s in result.scores) / total,
        "used_j": sum(s.used_j for s in result.scores),
        "harvested_j": sum(s.harvested_j for s in result.scores),
        "off_s": sum(s.off_s for s in result.scores),
        "singles": [fmean(s.accuracy for s in scores) for scores in result.single],
    }  # fmt: skip
