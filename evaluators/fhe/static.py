"""The static rung: whether a configuration can work, and what it costs, without any encryption."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from evaluators.fhe.calibration import find_times
from evaluators.fhe.extremes import extreme_inputs
from evaluators.fhe.failures import BackendFailure
from evaluators.fhe.headroom import MARGIN, telling
from evaluators.fhe.network import SAMPLES, graph_for
from evaluators.fhe.packing import pack
from evaluators.fhe.static_rules import Facts, Logs, broken, facts_for, facts_of, flaws, total_mb
from evaluators.trained import need_workload
from search.api.candidate import Candidate, Violation
from search.api.errors import InfeasibleCandidate
from search.api.metric import Fidelity, Measurement, Metric
from search.api.protocols import Context
from spaces.ckks.libraries import LIBRARIES
from spaces.ckks.options import SecurityOptions
from spaces.ckks.params import CkksParams
from spaces.ckks.primes import NotEnoughPrimes, primes_of
from spaces.ckks.rules import Demands, violations, warnings
from spaces.ckks.security import Security

if TYPE_CHECKING:
    from evaluators.fhe.graph import Graph
    from evaluators.fhe.packed import PackedNetwork

METRICS = (
    Metric("levels", "1", "min", "levels of the chain that one inference uses up"),
    Metric("log_qp", "bit", "min", "bits of all primes, special ones included"),
    Metric("security_slack", "bit", "max", "bits of modulus that the table still allows"),
    Metric("rotations", "1", "min", "rotations of one inference"),
    Metric("diagonals", "1", "min", "products of weights with ciphertexts of one inference"),
    Metric("key_mb", "MB", "min", "keys that the server holds"),
    Metric("plaintext_mb", "MB", "min", "weights encoded at their levels"),
    Metric("upload_mb", "MB", "min", "the encrypted input, one half of it seeds"),
)
_EXTREME = 12  # extreme inputs: three of each kind
_KEPT = 16  # layouts at hand: a few dimensions times a few packings
_GRAPHS = 4  # of large networks each takes much memory
_EVIDENCE = {"key_mb": "model", "plaintext_mb": "model", "upload_mb": "model"}


class CkksStaticConfig(BaseModel):
    """Options of ``{name: ckks_static}``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    library: str = Field(
        "seal", pattern="^(seal|lattigo)$", description="Library that will run it: seal or lattigo."
    )
    security: SecurityOptions = Field(
        default=SecurityOptions(), description="Level and table of the rule on security."
    )
    memory_mb: float | None = Field(
        None, gt=0, description="Most MB of keys and encoded weights together; absent: no limit."
    )
    calibration: str = Field(
        "auto", description="Times by which layouts are chosen, as of ckks_predicted."
    )
    cover_extremes: bool = Field(
        False,
        description="Refuse what wraps around on inputs made to be extreme, too; else a warning.",
    )


@dataclass(frozen=True)
class StaticReport:
    """What the static rules say about one configuration.

    Args:
        violations: every rule it breaks.
        warnings: what is legal but worth a word.
        figures: name of a metric -> value.
    """

    violations: tuple[Violation, ...]
    warnings: tuple[str, ...]
    figures: dict[str, float]


def report(
    packed: PackedNetwork | Facts,
    params: CkksParams,
    demands: Demands | None = None,
    memory_limit_mb: float | None = None,
) -> StaticReport:
    """Every reason why ``params`` cannot run ``packed``, and what they cost.

    Args:
        packed: the network in the slots of ``params``, or what is known of it already.
        params: the configuration.
        demands: library and security; depth and range are the network's.
        memory_limit_mb: of keys and weights together; None for no limit.

    Raises:
        ConfigError: what is known is about other drops than those of ``params``.
    """
    facts = facts_for(packed, params.drops)
    demands = demands or Demands()
    demands = replace(
        demands,
        depth=facts.depth,
        output_range=facts.output_range,
        faint_rotations=facts.faint_rotations,
        followed=True,  # below, prime by prime
    )
    found = list(violations(params, demands))
    logs = _logs(params)
    known = {v.rule for v in found}
    for rule in broken(facts, logs, memory_limit_mb):
        excess = float(rule.excess[0])
        # The output's head-room is a rule of the configuration already.
        if excess > 0 and not (rule.rule == "overflow" and "overflow" in known):
            found.append(Violation(rule.rule, rule.detail(0), excess, rule.unit))
    keys, plain, upload = total_mb(facts, logs)
    slack = demands.security.slack(params)
    figures = {
        "levels": float(facts.depth),
        "log_qp": float(params.chain.log_qp),
        "security_slack": -float(params.chain.log_qp) if slack is None else slack,
        "rotations": float(facts.rotations),
        "diagonals": float(facts.diagonals),
        "key_mb": float(keys[0]),
        "plaintext_mb": plain,
        "upload_mb": upload,
    }
    told = (*warnings(params, demands), *_wrapping(facts, params))
    return StaticReport(tuple(found), told, figures)


def _wrapping(facts: Facts, params: CkksParams) -> Iterator[str]:
    """A warning where results fit on calibration data, and not on extreme inputs."""
    room = 2.0 ** (params.chain.first - params.scale - 1)
    if facts.output_range <= room < facts.extreme:
        more = math.ceil(math.log2(min(facts.extreme, 1e300) / room))
        yield (
            f"results of inputs made to be extreme wrap around: their coefficients reach "
            f"{facts.extreme:.4g}, and {room:g} fit (those of calibration data reach "
            f"{facts.output_range / MARGIN:.4g}). {more} bit more in the first prime cover them"
        )


class CkksStatic:
    """Feasibility and size of a configuration: levels, security, scales, head-room, memory.

    Args:
        workload: builds the network and has the data that ranges are taken from.
        config: options.

    Raises:
        ConfigError: there is no workload.
    """

    Config: ClassVar[type[CkksStaticConfig]] = CkksStaticConfig
    metrics: Sequence[Metric] = METRICS
    needs: frozenset[str] = frozenset({"weights", "data"})

    def __init__(self, workload: Any, config: CkksStaticConfig | None = None) -> None:
        self._workload = need_workload(workload, "ckks_static")
        self._config = config or CkksStaticConfig()
        options = self._config.security
        self._laid_out: list[tuple[Graph, CkksParams, Facts]] = []
        self._telling: list[tuple[Graph, np.ndarray, np.ndarray | None]] = []
        self._demands = Demands(
            library=LIBRARIES[self._config.library],
            security=Security(options.bits, options.table, options.allow_insecure),
        )

    @classmethod
    def from_config(cls, config: CkksStaticConfig, workload: Any) -> Self:
        """The evaluator for ``workload``.

        Raises:
            ConfigError: there is no workload.
        """
        return cls(workload, config)

    def evaluate(
        self, candidate: Candidate[Any], fidelity: Fidelity, ctx: Context
    ) -> Sequence[Measurement]:
        """What the configuration costs; counts are exact (``bound``), sizes ``model``.

        Raises:
            InfeasibleCandidate: it cannot work; carries every reason.
            EvaluationError: the network cannot be had or evaluated under encryption.
        """
        graph = graph_for(candidate, self._workload, "ckks_static", ctx)
        params: CkksParams = candidate.payload
        try:
            facts = self._facts(graph, _layout_only(params))
        except BackendFailure as error:
            raise InfeasibleCandidate([Violation(error.kind, error.detail, 1.0, "1")]) from error
        found = report(facts, params, self._demands, self._config.memory_mb)
        ctx.note("ckks_warnings", list(found.warnings))
        if found.violations:
            raise InfeasibleCandidate(found.violations)
        return tuple(
            Measurement(
                metric.name, found.figures[metric.name], metric.unit, fidelity.name,
                _EVIDENCE.get(metric.name, "bound"),  # type: ignore[arg-type]
            )
            for metric in METRICS
        )  # fmt: skip

    def _facts(self, graph: Graph, layout: CkksParams) -> Facts:
        """The facts of ``graph`` in these slots; layouts are searched once for all chains."""
        for known, own, facts in self._laid_out:
            if known is graph and own == layout:
                return facts
        packed = pack(graph, layout.slots, layout, find_times(self._config.calibration))
        samples, extremes = self._inputs(graph)
        made = facts_of(packed, samples, extremes, layout.drops)
        if self._config.cover_extremes:
            made = replace(made, fitting=max(made.fitting, made.extreme))
        self._laid_out = [*self._laid_out, (graph, layout, made)][-_KEPT:]
        return made

    def _inputs(self, graph: Graph) -> tuple[np.ndarray, np.ndarray | None]:
        """Inputs of calibration that tell the head-room, and extreme ones; once for a graph."""
        for known, samples, extremes in self._telling:
            if known is graph:
                return samples, extremes
        images = self._workload.data.train.x[:SAMPLES]
        samples = images.reshape(len(images), -1).double().cpu().numpy()
        extremes = None
        if not tuple(flaws(graph)):
            extremes = extreme_inputs(graph, samples, _EXTREME)
            samples = telling(graph, samples)
        self._telling = [*self._telling, (graph, samples, extremes)][-_GRAPHS:]
        return samples, extremes


def _layout_only(params: CkksParams) -> CkksParams:
    """``params`` as far as layouts depend on them: the same for every chain and scale."""
    special = (60,) * max(1, len(params.chain.special))
    chain = replace(params.chain, first=60, levels=(), special=special)
    return replace(params, chain=chain, scale=40, secret_weight=None, bootstraps=())


def _logs(params: CkksParams) -> Logs:
    chain = params.chain
    try:
        primes = primes_of(chain, params.log_n, params.ring)[: chain.limbs]
        logs = np.log2(np.array(primes, dtype=float))
    except NotEnoughPrimes:
        logs = np.array([chain.first, *chain.levels], dtype=float)  # told as such elsewhere
    return Logs(
        params.log_n,
        logs[None, :],
        np.array([chain.limbs]),
        np.array([max(1, len(chain.special))]),
        np.array([float(params.scale)]),
        np.array([float(params.weight_bits)]),
    )
