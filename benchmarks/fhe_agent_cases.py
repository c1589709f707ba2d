"""Networks, studies and targets of the comparison of agents. No benchmark itself."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from agents.api import Goal, Limits
from agents.expert_global import Enumeration
from agents.expert_wish import Ranked, Wish
from agents.goals import Aim, aim_of
from agents.tools.forecast import Corrections, Forecast
from agents.workbench import StudyBench
from evaluators.fhe.encrypted import CkksEncrypted, CkksEncryptedConfig
from evaluators.fhe.static import report
from search.api.candidate import Candidate
from search.api.domain import Point, canonical
from search.api.errors import EvaluationError, InfeasibleCandidate
from search.api.metric import Fidelity, Measurement, Metric
from search.api.protocols import Context
from search.config import parse_spec
from search.study import Study

DEEP = ("resnet20", "alexnet")
"""Networks that are only predicted: no back end here runs them."""

_PATCHES = {"name": "skimage_patches", "colour": True, "train": 1200, "validation": 300,
            "test": 300}  # fmt: skip
_ONE_EPOCH = {"epochs": 1, "learning_rate": 0.02}
_WORKLOADS: Mapping[str, dict[str, Any]] = {
    "smoke": {"network": {"name": "ckks_mlp", "hidden": [32]}, "data": "digits",
              "teacher": _ONE_EPOCH},
    "mlp": {"network": "ckks_mlp", "data": "fashion_mnist",
            "teacher": {"epochs": 6, "learning_rate": 0.02}},
    "lola": {"network": "ckks_lola", "data": "fashion_mnist",
             "teacher": {"epochs": 6, "learning_rate": 0.02}},
    "cnn6": {"network": "ckks_cnn6", "data": "digits", "teacher": _ONE_EPOCH},
    "lenet": {"network": "ckks_lenet", "data": "fashion_mnist",
              "teacher": {"epochs": 4, "learning_rate": 0.02}},
    "resnet20": {"network": "ckks_resnet20", "data": _PATCHES, "teacher": _ONE_EPOCH},
    "alexnet": {"network": "ckks_alexnet", "data": _PATCHES, "teacher": _ONE_EPOCH},
}  # fmt: skip
_SPACES: Mapping[str, dict[str, Any]] = {
    "smoke": {"log_n": [12, 13], "scale": [24, 40]},
    "resnet20": {"library": "lattigo", "log_n": [15, 16], "scale": [26, 45],
                 "secret_weight": [0, 192], "input_packing": ["plain", "rotated"],
                 "rescaling": ["soon"]},
    "alexnet": {"library": "lattigo", "log_n": [16, 17], "scale": [26, 45], "degree": [7],
                "margin": [2.0], "input_packing": ["plain"], "drops": ["each"]},
}  # fmt: skip


_NOT_TOLD = ("approximation_error", "predicted_worst_precision")  # no target speaks of them


class Foretold:
    """The rungs below the encrypted one, by the same models over layouts that sessions share.

    Args:
        forecast: the models, uncorrected.
        metrics: which of their figures are told.
        alone: whether an encrypted run is on the same rung: what rules refuse has failed then, and
            is charged as a run.
    """

    needs = frozenset({"weights", "data"})

    def __init__(
        self, forecast: Callable[[], Forecast], metrics: Sequence[Metric], alone: bool = False
    ) -> None:
        self._forecast, self.metrics, self._alone = forecast, metrics, alone

    def evaluate(
        self, candidate: Candidate[Any], fidelity: Fidelity, ctx: Context
    ) -> Sequence[Measurement]:
        """Figures by the models; the reasons if rules refuse."""
        try:
            values = by_models(self._forecast(), candidate.payload)
        except InfeasibleCandidate as error:
            if self._alone:
                raise EvaluationError(f"encrypted run: {error}") from error
            raise
        return tuple(Measurement(m.name, values[m.name], m.unit, fidelity.name, "model")
                     for m in self.metrics if m.name in values)  # fmt: skip


class KeptRuns:
    """Encrypted runs by configuration: the same one again costs nothing.

    Only the clock of the benchmark profits; each controller is charged its runs. A run that could
    not be the best of its session, as far as ``hopeless`` can tell, is foretold and charged.

    Args:
        inner: runs.
        file: JSON lines of earlier results; None to run afresh each time.
        foretell: metric -> value of a configuration by the models.
    """

    needs = frozenset({"weights", "data"})

    def __init__(
        self, inner: CkksEncrypted, file: Path | None, foretell: Callable[[Any], dict[str, float]]
    ) -> None:
        self._inner, self._file, self.metrics = inner, file, inner.metrics
        self._foretell = foretell
        self.hopeless: Callable[[Mapping[str, float]], bool] = lambda values: False
        self.done = 0
        """Runs that were charged and not foretold."""
        self._known: dict[str, list[dict[str, Any]]] = {}
        if file is not None and file.exists():
            for line in file.read_text(encoding="utf-8").splitlines():
                row = json.loads(line)
                self._known[row["key"]] = row["found"]

    def evaluate(
        self, candidate: Candidate[Any], fidelity: Fidelity, ctx: Context
    ) -> Sequence[Measurement]:
        """The kept measurements, or those of a run, or a forecast."""
        if self._file is not None and candidate.digest in self._known:
            self.done += 1
            return tuple(Measurement(**m) for m in self._known[candidate.digest])
        values = self._foretell(candidate.payload)
        # No target speaks of these two, and nothing foretells them.
        values |= {"agreement_ckks": 100.0, "worst_precision_ckks": values["precision_ckks"]}
        if self.hopeless(values):
            return tuple(Measurement(m.name, values[m.name], m.unit, fidelity.name, "model")
                         for m in self.metrics if m.name in values)  # fmt: skip
        self.done += 1
        found = self._inner.evaluate(candidate, fidelity, ctx)
        if self._file is not None:
            plain = [vars(m) for m in found]
            self._known[candidate.digest] = plain
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({"key": candidate.digest, "found": plain}) + "\n")
        return found


def by_models(forecast: Forecast, params: Any) -> dict[str, float]:
    """Every figure of a configuration that the models give.

    Raises:
        InfeasibleCandidate: a rule refuses it.
    """
    laid = forecast.laid(params)
    found = report(laid.facts, params, forecast.demands, forecast.memory_mb)
    if found.violations:
        raise InfeasibleCandidate(found.violations)
    values = {**found.figures, **forecast.latency(params, laid)}
    values["predicted_precision"] = forecast.precisions([params], laid)[0]
    return forecast.told(values)


class Bench(StudyBench):
    """A bench that counts runs of :class:`KeptRuns`, over shared models."""

    def __init__(self, study: Study, goal: Goal, limits: Limits, forecast: Forecast) -> None:
        super().__init__(study, goal, limits, by="benchmark")
        self.__dict__["dear_rungs"] = frozenset({"encrypted"} & set(self.rungs))
        self.__dict__["forecast"] = forecast


@dataclass(frozen=True)
class Target:
    """What is wanted of a network."""

    name: str
    goal: Goal


class Case:
    """A network with everything that sessions share: weights, layouts, predictions.

    Args:
        name: of :data:`_WORKLOADS`.
        folder: for run directories and kept runs.
        keep: whether encrypted runs are kept for other sessions.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        self.deep = name in DEEP
        self._made: dict[bool, KeptRuns] = {}

    @cached_property
    def base(self) -> Study:
        """The study as a configuration would have it; its objects are shared."""
        return Study.from_spec(parse_spec(self._spec()), path=self.folder / self.name / "base")

    @cached_property
    def _forecast(self) -> Forecast:
        return Forecast(self.base)

    def forecast(self) -> Forecast:
        """The models, as no run has corrected them yet; what they have worked out is shared."""
        fresh = copy.copy(self._forecast)
        fresh.corrections, fresh._learnt, fresh.more_headroom = Corrections(), set(), 0
        return fresh

    @property
    def metric(self) -> dict[str, str]:
        """What people call a metric -> its name on this ladder."""
        times = "predicted_latency_ckks"  # measured ones change with what else the machine does
        if self.deep:
            return {"latency": times, "precision": "predicted_precision", "memory": "key_mb"}
        return {"latency": times, "precision": "precision_ckks", "memory": "memory_ckks"}

    def study(self, run: str, target: Target, *, searcher: str, static: bool, seed: int,
              keep: bool) -> Study:  # fmt: skip
        """A study for one session, over the shared objects."""
        parts = self.base.components
        evaluators = {r.fidelity.name: r.evaluators for r in parts.ladder.rungs}
        if not self.deep:
            for name in ("static", "predicted"):
                own = [m for m in evaluators[name][0].metrics if m.name not in _NOT_TOLD]
                evaluators[name] = (Foretold(lambda: self._forecast, own, alone=not static),)
            evaluators["encrypted"] = (*evaluators["predicted"], self.runs(keep))
        names = list(evaluators) if static else list(evaluators)[-1:]
        ladder = [{"rung": n, "evaluators": list(evaluators[n]),
                   "gates": self._gates(target) if n == "predicted" and not self.deep else []}
                  for n in names]  # fmt: skip
        objectives = [target.goal.minimise]
        if searcher == "nsga2" and self.metric["precision"] not in objectives:
            objectives.append(self.metric["precision"])
        measured = {m.name for n in names for e in evaluators[n] for m in e.metrics}
        return Study(
            name=run.replace("/", "-"), objectives=objectives, space=parts.ladder.space,
            method=parts.ladder.method, ladder=ladder, workload=parts.workload,
            constraints=[d for d in target.goal.demands if d.split()[0] in measured],
            searcher=searcher, trials=10_000, seed=seed, directory=self.folder / self.name,
        )  # fmt: skip

    def runs(self, keep: bool) -> KeptRuns:
        """The encrypted runs that sessions share, or those that they do not."""
        if keep not in self._made:
            inner: Any = self.base.components.ladder.rungs[-1].evaluators[0]
            file = self.folder / f"{self.name}-runs.jsonl" if keep else None
            self._made[keep] = KeptRuns(inner, file, lambda p: by_models(self._forecast, p))
        return self._made[keep]

    def bench(self, study: Study, target: Target, runs: int, seconds: float) -> Bench:
        """A bench over ``study``."""
        limits = Limits(encrypted_runs=runs, seconds=seconds)
        measured = study.components.metrics()
        demands = tuple(d for d in target.goal.demands if d.split()[0] in measured)
        return Bench(study, Goal(target.goal.minimise, demands), limits, self.forecast())

    @cached_property
    def targets(self) -> tuple[Target, ...]:
        """Three targets that have a solution: bounds come from looking at every chain."""
        file = self.folder / f"{self.name}-targets.json"
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(self._bounds()))
        name, (precise, within, room) = self.metric, json.loads(file.read_text())
        demand = f"{name['precision']} >= {precise} bit"
        in_time = f"{name['latency']} <= {within:.4g} ms"
        in_memory = f"{name['memory']} <= {room:.5g} MB"
        return (
            Target("latency", Goal(name["latency"], (demand,))),
            Target("precision", Goal(name["precision"], (in_time,))),
            Target("memory", Goal(name["latency"], (demand, in_memory))),
        )

    def _bounds(self) -> tuple[int, float, float]:
        """Least precision in bits, most time in ms, most memory in MB."""
        name = self.metric
        precise = {"smoke": 16, "cnn6": 14, "resnet20": 14, "alexnet": 14}.get(self.name, 13)
        demand = f"{name['precision']} >= {precise} bit"
        fast = self.reference(Target("", Goal(name["latency"], (demand,))))
        small = self.reference(Target("", Goal("key_mb", (demand,))))
        room = small.values["key_mb"] if self.deep else self._memory(small.point)
        room += 0.25 * small.values["key_mb"]
        return precise, 1.3 * fast.values[name["latency"]], room

    def _memory(self, point: Point) -> float:
        """What an encrypted run holds, in MB: forecasts are some MB off on another machine."""
        target = Target("bounds", Goal(self.metric["latency"]))
        study = self.study(f"bounds-{time.time_ns()}", target, searcher="random", static=True,
                           seed=0, keep=True)  # fmt: skip
        bench = self.bench(study, target, 1, 3600.0)
        with bench.opened():
            trial = bench.evaluate(point, bench.rungs[-1], "bounds")
        found = trial.measurement("memory_ckks")
        if found is None:
            raise LookupError(f"{self.name}: the configuration with the smallest keys does not run")
        return found.value

    def reference(self, target: Target) -> Ranked:
        """The best of all chains, each followed by the models.

        Raises:
            LookupError: there is none.
        """
        found = self.references(target, 1)
        if not found:
            raise LookupError(f"{self.name}: no configuration meets {target.goal}")
        return found[0]

    def references(self, target: Target, count: int) -> list[Ranked]:
        """The best ``count`` of all chains, with no reserve, half of it and all of it."""
        metric = self.base.components.metrics()[target.goal.minimise]
        found: dict[str, Ranked] = {}
        for reserve in (0.0, 0.5, 1.0):
            wish = Wish(metric, self.aims(target), reserve)
            for network in self._every.networks():
                for ranked in self._every.ranked(wish, network, count):
                    found.setdefault(canonical(ranked.point), ranked)
        return list(found.values())

    def aims(self, target: Target) -> tuple[Aim, ...]:
        """The demands of ``target``."""
        metrics = self.base.components.metrics()
        return tuple(aim_of(d, metrics, "demands") for d in target.goal.demands)

    @cached_property
    def _every(self) -> Enumeration:
        chains, noise = (4000, 60) if self.deep else (60_000, 1_000_000)
        return Enumeration(self.forecast(), self.base.params, self.base.check, chains, noise)

    def _gates(self, target: Target) -> list[str]:
        """What a trial must be foretold before it is encrypted, a little looser than demanded."""
        found = ["predicted_precision >= 6 bit"]
        for aim in self.aims(target):
            if aim.metric.name == "precision_ckks":
                found = [f"predicted_precision >= {aim.constraint.bound - 1:.4g} bit"]
            elif aim.metric.name == "predicted_latency_ckks":
                found.append(str(aim.constraint))
        return found

    def _spec(self) -> dict[str, Any]:
        library = "lattigo" if self.deep else "seal"
        predicted = {"name": "ckks_predicted", "images": 1, "extreme": 0, "learnt": False}
        if self.deep:
            predicted |= {"back_end": "orion", "approximation_images": 2}
        ladder: list[dict[str, Any]] = [
            {"rung": "static", "evaluators": [{"name": "ckks_static", "library": library}]},
            {"rung": "predicted", "evaluators": [predicted]},
        ]
        if not self.deep:
            run = CkksEncryptedConfig(images=2, repeats=1, extreme=0, clock="cpu")
            encrypted = {"name": "ckks_encrypted", **run.model_dump(exclude_defaults=True)}
            ladder.append({"rung": "encrypted", "evaluators": [encrypted]})
        default = {"log_n": [12, 13, 14]} if self.name != "lenet" else {"log_n": [14]}
        return {
            "study": {"name": self.name, "max_failures": 1000},
            "workload": {"name": "image_classification", **_WORKLOADS[self.name]},
            "space": {"name": "ckks", **_SPACES.get(self.name, default)},
            "method": "pretrained",
            "objectives": [self.metric["latency"], self.metric["precision"]]
            if self.deep
            else ["latency_ckks", "precision_ckks"],
            "ladder": ladder,
        }


torch.set_num_threads(1)
