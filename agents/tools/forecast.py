"""What the models of a CKKS study foretell of any point, without a trial.

The same verdicts, times and variances as the static and predicted rungs, in memory and for many
points at once: layouts are found once for each set of slots and packing, and a chain then costs
parts of a millisecond. What encrypted runs have shown to be off is corrected from then on.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.api import ToolError
from agents.goals import PREDICTED_BY
from search.api.candidate import Candidate, Violation
from search.api.domain import Point
from search.api.errors import InfeasibleCandidate, SearchError
from search.api.trial import Trial
from search.config import plugin_options

if TYPE_CHECKING:
    from evaluators.fhe.costs import OperationTimes, Template
    from evaluators.fhe.graph import Graph
    from evaluators.fhe.packed import PackedNetwork
    from evaluators.fhe.static_rules import Facts
    from search.study import Study
    from spaces.ckks.params import CkksParams
    from spaces.ckks.rules import Demands

PROCESS_MB = 50.0
"""Memory of a process that runs SEAL before keys and weights: interpreter, arrays, library.

Measured on x86_64 with TenSEAL 0.3.18 (68.5 MB with 19 MB of keys); the first run corrects it."""

_GRAPHS = 3  # networks at hand: one for each choice of polynomials
_MOST_LAYOUTS = 64


@dataclass(frozen=True)
class Effect:
    """What is foretold of a point.

    Args:
        values: metric -> value in its unit; measured metrics too, by what foretells them.
        broken: rules it breaks; values are missing then.
    """

    values: Mapping[str, float] = field(default_factory=dict)
    broken: tuple[Violation, ...] = ()


@dataclass(frozen=True)
class Laid:
    """A network in slots."""

    packed: PackedNetwork
    facts: Facts


@dataclass
class Corrections:
    """How far this study's encrypted runs are from what was foretold."""

    factors: dict[str, list[float]] = field(default_factory=dict)
    offsets: dict[str, list[float]] = field(default_factory=dict)

    def apply(self, metric: str, value: float) -> float:
        """``value`` of ``metric`` as runs so far correct it."""
        if self.factors.get(metric):
            return value * statistics.median(self.factors[metric])
        return value + statistics.median(self.offsets.get(metric) or [0.0])


class Forecast:
    """Foretells for one study.

    Args:
        study: with a space of CKKS configurations, a workload, and the evaluator ``ckks_static``;
            with ``ckks_predicted`` for times and precision.
    """

    def __init__(self, study: Study) -> None:
        from evaluators.fhe.calibration import corrections, find_times
        from evaluators.fhe.noise import LATTIGO, SEAL
        from evaluators.fhe.predicted import CkksPredictedConfig
        from evaluators.fhe.static import CkksStatic, CkksStaticConfig

        self.study = study
        space: Any = study.components.ladder.space
        self.space = space
        static = _options(study, "ckks_static") or CkksStaticConfig()
        predicted = _options(study, "ckks_predicted") or CkksPredictedConfig()
        self.demands: Demands = replace(space.demands, library=_library(static.library))
        self._static = CkksStatic(study.components.workload, static)
        self.memory_mb: float | None = static.memory_mb
        self.images: int = predicted.images
        self._extreme: int = predicted.extreme
        self.times: OperationTimes = find_times(predicted.calibration, predicted.back_end)
        # Layouts are chosen by the times of SEAL, whatever predicts: as the rung itself does.
        self._layout_times = find_times(
            predicted.calibration if predicted.back_end == "tenseal" else "auto"
        )
        self.noise = {"tenseal": SEAL, "orion": LATTIGO}[predicted.back_end]
        known = corrections(predicted.back_end) if predicted.learnt else None
        self._latency_factor = known.latency if known else 1.0
        self._bits_offset = known.bits if known else 0.0
        run = _options(study, "ckks_encrypted")
        self._extremes_run = run is not None and run.extreme > 0
        self.more_headroom = 0
        """Bits that failed runs have asked for beyond what calibration inputs need."""
        self.corrections = Corrections()
        self._learnt: set[int] = set()
        self._weights: Path | None = None
        self._graphs: dict[Any, Graph] = {}
        self._laid: dict[Any, Laid] = {}
        self._templates: dict[Any, Template] = {}
        self._samples: np.ndarray | None = None

    def params(self, point: Point) -> CkksParams:
        """The configuration of ``point``.

        Raises:
            InfeasibleCandidate: it breaks a rule.
        """
        found: CkksParams = self.space.build(point)
        return found

    def effect(self, point: Point, *, precision: bool = True, worst: bool = False) -> Effect:
        """What is foretold of ``point``.

        Args:
            point: value of every active parameter.
            precision: whether to follow noise, the dearer part.
            worst: whether to foretell the largest error too.
        """
        from evaluators.fhe.static import report

        try:
            params = self.params(point)
            laid = self.laid(params)
            found = report(laid.facts, params, self.demands, self.memory_mb)
            if found.violations:
                return Effect(broken=found.violations)
            values = dict(found.figures)
            values.update(self.latency(params, laid))
            if precision:
                values["predicted_precision"] = self.precisions([params], laid)[0]
            if worst:
                values["predicted_worst_precision"] = self._worst(params, laid)
        except InfeasibleCandidate as error:
            return Effect(broken=error.violations)
        except SearchError as error:
            return Effect(
                broken=(Violation(getattr(error, "kind", "failed"), str(error), 1.0, "1"),)
            )
        return Effect(self.told(values))

    def told(self, values: Mapping[str, float]) -> dict[str, float]:
        """``values`` of the lower rungs, with what they foretell of measured metrics."""
        found = dict(values)
        for metric, by in PREDICTED_BY.items():
            if by in values:
                found[metric] = self.corrections.apply(metric, values[by])
        if "key_mb" in values and "plaintext_mb" in values:
            held = PROCESS_MB + values["key_mb"] + values["plaintext_mb"]
            found["memory_ckks"] = self.corrections.apply("memory_ckks", held)
        return found

    def learn(self, trial: Trial) -> bool:
        """Take over what an encrypted run shows; whether it showed anything new."""
        if trial.number in self._learnt:
            return False
        news = False
        low = {m.metric: m.value for m in (trial.outcome.measurements if trial.outcome else ())}
        for metric, by in PREDICTED_BY.items():
            if metric in low and by in low:
                news = True
                if "precision" in metric:
                    self.corrections.offsets.setdefault(metric, []).append(low[metric] - low[by])
                elif low[by] > 0:
                    self.corrections.factors.setdefault(metric, []).append(low[metric] / low[by])
        if "memory_ckks" in low and "key_mb" in low:
            held = PROCESS_MB + low["key_mb"] + low["plaintext_mb"]
            self.corrections.offsets.setdefault("memory_ckks", []).append(low["memory_ckks"] - held)
            news = True
        if news:
            self._learnt.add(trial.number)
        return news

    def laid(self, params: CkksParams) -> Laid:
        """The network in the slots of ``params``.

        Raises:
            SearchError: it cannot be laid out.
        """
        from evaluators.fhe.packing import pack

        key = layout_of(params)
        if key not in self._laid:
            graph = self.graph(params)
            packed = pack(graph, params.slots, params, self._layout_times)
            # The very facts of the rung: what it makes of extreme inputs is its own affair.
            facts = self._static._facts(graph, key)  # noqa: SLF001
            self._laid[key] = Laid(packed, facts)
            while len(self._laid) > _MOST_LAYOUTS:
                self._laid.pop(next(iter(self._laid)))
        return self._laid[key]

    def graph(self, params: CkksParams) -> Graph:
        """The network with the activations of ``params``.

        Raises:
            EvaluationError: it has no encrypted form.
        """
        from evaluators.fhe.network import graph_for

        key = tuple(sorted((c for c in params.activations if c.kind != "own"), key=str))
        if key not in self._graphs:
            workload = self.study.components.workload
            candidate = Candidate("ckks", params, weights=self._trained(params))
            self._graphs[key] = graph_for(candidate, workload, "forecast", _Quiet())
            while len(self._graphs) > _GRAPHS:
                self._graphs.pop(next(iter(self._graphs)))
        return self._graphs[key]

    def covering(self, laid: Laid) -> Facts:
        """The facts that a run must hold: of extreme inputs too if it is given some, and with the
        bits more that failed runs have asked for.
        """
        facts = laid.facts
        largest = max(facts.fitting, facts.extreme) if self._extremes_run else facts.fitting
        return replace(facts, fitting=largest * 2.0**self.more_headroom)

    def overflows(self, point: Point) -> bool:
        """Whether an encrypted run of ``point`` is to wrap around, though the rules allow it."""
        from evaluators.fhe.static import report

        params = self.params(point)
        found = report(self.covering(self.laid(params)), params, self.demands, None)
        return any(v.rule == "overflow" for v in found.violations)

    def latency(self, params: CkksParams, laid: Laid) -> dict[str, float]:
        """Predicted times in ms."""
        template = self.template(params, laid)
        special = max(1, len(params.chain.special))
        server, client = template.latencies(
            np.array([params.log_n]), self.times, special=np.array([special])
        )
        total = float(server[0] + client[0])
        return {
            "predicted_latency_ckks": total * self._latency_factor,
            "predicted_server_ms": float(server[0]) * self._latency_factor,
        }

    def template(self, params: CkksParams, laid: Laid) -> Template:
        """Operation counts, the same for all chains of as many primes."""
        from evaluators.fhe.costs import Template
        from evaluators.fhe.levels import circuit_of

        key = (layout_of(params), len(params.chain.levels))
        if key not in self._templates:
            self._templates[key] = Template.of(circuit_of(laid.packed, params))
        return self._templates[key]

    def precisions(self, sets: Sequence[CkksParams], laid: Laid) -> list[float]:
        """Predicted precision in bits of configurations that share a layout."""
        from evaluators.fhe.prediction import modelled_bits

        found = modelled_bits(laid.packed, list(sets), self.usual(), self.noise)
        return [bits.mean + self._bits_offset for bits in found]

    def error_shares(self, params: CkksParams) -> Mapping[str, float]:
        """Node -> share of the error's variance that arises there."""
        from evaluators.fhe.prediction import modelled_bits

        laid = self.laid(params)
        return modelled_bits(laid.packed, [params], self.usual(), self.noise)[0].by_node

    def usual(self) -> np.ndarray:
        """The images that noise is followed on, ``[images, elements]``."""
        if self._samples is None:
            images = self.study.components.workload.data.validation.x
            self._samples = images.reshape(len(images), -1).double().cpu().numpy()
        return np.asarray(self._samples[: self.images])

    def _worst(self, params: CkksParams, laid: Laid) -> float:
        from evaluators.fhe.extremes import extreme_inputs
        from evaluators.fhe.prediction import modelled_bits

        usual = self.usual()
        extreme = extreme_inputs(laid.packed.graph, self._samples[:1000], self._extreme)  # type: ignore[index]
        inputs = np.concatenate([usual, extreme])
        found = modelled_bits(laid.packed, [params], inputs, self.noise)[0]
        return found.worst + self._bits_offset

    def _trained(self, params: CkksParams) -> Path:
        """The trained weights, which all configurations share."""
        if self._weights is None:
            from search.ladder import temporary_context

            components = self.study.components
            ladder = components.ladder
            with temporary_context(self.study.spec.study.seed, ladder.device) as context:
                ladder.method.prepare(context)
                made = ladder.method.produce(
                    _Fixed(params), {}, ladder.rungs[0].fidelity, context, None
                )
                if made.weights is None or made.weights.is_relative_to(context.workdir):
                    raise ToolError("the models need a method with weights shared by all trials")
                self._weights = made.weights
        return self._weights


def forecast_of(study: Study) -> Forecast | None:
    """The forecast of ``study``; None if its space is another, or no model is on its ladder."""
    if getattr(study.components.ladder.space, "kind", "") != "ckks":
        return None
    if study.components.workload is None or study.components.ladder.method.decides_space:
        return None
    if not {"ckks_static", "ckks_predicted"} & {
        e.name for r in study.spec.ladder for e in r.evaluators
    }:
        return None
    return Forecast(study)


def layout_of(params: CkksParams) -> CkksParams:
    """``params`` as far as layouts depend on them: equal for every chain and scale."""
    special = (60,) * max(1, len(params.chain.special))
    chain = replace(params.chain, first=60, levels=(), special=special)
    return replace(params, chain=chain, scale=40, secret_weight=None, bootstraps=())


class _Fixed:
    """A space of one configuration, for a method that only adds weights."""

    kind = "ckks"

    def __init__(self, params: CkksParams) -> None:
        self._params = params

    def params(self) -> tuple[()]:
        """Nothing is chosen."""
        return ()

    def check(self, point: Point) -> tuple[()]:
        """Nothing is broken."""
        return ()

    def build(self, point: Point) -> CkksParams:
        """The configuration."""
        return self._params


class _Quiet:
    """A context for models that only read."""

    seed = 0
    device = "cpu"
    workdir = Path()

    def report(self, step: int, **values: float) -> None:
        """Nothing."""

    def note(self, name: str, value: object) -> None:
        """Nothing."""

    def should_stop(self) -> bool:
        """Never."""
        return False


def _options(study: Study, name: str) -> Any:
    """The options of the first evaluator of that name; None without one."""
    for i, rung in enumerate(study.spec.ladder):
        for j, evaluator in enumerate(rung.evaluators):
            if evaluator.name == name:
                return plugin_options("evaluator", evaluator, f"ladder[{i}].evaluators[{j}]")
    return None


def _library(name: str) -> Any:
    from spaces.ckks.libraries import LIBRARIES

    return LIBRARIES[name]
