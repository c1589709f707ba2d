"""The contracts between the core and its plugins.

Members are read-only properties on purpose: with plain attributes frozen dataclasses would not
conform. A plugin class has, besides its protocol, a pydantic model ``Config`` (its YAML options)
and a classmethod ``from_config(config, workload)``; see :class:`Configurable`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self, TypeVar, runtime_checkable

from search.api.candidate import Candidate, Violation
from search.api.domain import Param, Point
from search.api.metric import Fidelity, Measurement, Metric
from search.api.network import N, Site, Usage
from search.api.trial import Job, Outcome, Trial

P = TypeVar("P")
P_co = TypeVar("P_co", covariant=True)
P_contra = TypeVar("P_contra", contravariant=True)


class Context(Protocol):
    """All that a plugin may ask of its surroundings while a trial runs."""

    @property
    def seed(self) -> int:
        """Seed of all randomness in this trial."""
        ...

    @property
    def workdir(self) -> Path:
        """A folder of this trial alone; files left here become artefacts of the trial."""
        ...

    @property
    def device(self) -> str:
        """Device for tensors: ``cpu`` or ``cuda[:i]``."""
        ...

    def report(self, step: int, **values: float) -> None:
        """Tell progress (epoch, losses) to whoever watches; cheap, never raises."""
        ...

    def note(self, name: str, value: object) -> None:
        """Keep a short JSON-safe fact about this trial for the report."""
        ...

    def should_stop(self) -> bool:
        """Whether a budget is spent or the study was asked to stop; stop soon, keep the rest."""
        ...


class Workload(Protocol):
    """A network and its data. Spaces see only its sites; methods and evaluators the rest."""

    @property
    def name(self) -> str:
        """Short name for people."""
        ...

    @property
    def digest(self) -> str:
        """16 hexadecimal digits of everything that defines network, data, split and teacher."""
        ...

    def sites(self) -> Sequence[Site]:
        """Every operator of the network in execution order, found by tracing."""
        ...


@runtime_checkable
class Configurable(Protocol):
    """How a plugin is made from YAML.

    ``Config`` is a pydantic model with ``extra='forbid'``; field descriptions are the docs.
    """

    Config: ClassVar[type[Any]]

    @classmethod
    def from_config(cls, config: Any, workload: Any) -> Self:
        """An instance from its validated options and the study's workload (None without one)."""
        ...


class Space(Protocol[P_co]):
    """What may be chosen. Pure: no torch, no input or output, no state."""

    @property
    def kind(self) -> str:
        """Name of the kind of candidate."""
        ...

    def params(self) -> Sequence[Param]:
        """Outer parameters, a static superset; conditions by ``Param.when``."""
        ...

    def check(self, point: Point) -> Sequence[Violation]:
        """Known rules that ``point`` breaks, within microseconds; empty means legal."""
        ...

    def build(self, point: Point) -> P_co:
        """The payload of ``point``.

        Raises:
            InfeasibleCandidate: ``check`` is not empty.
        """
        ...


@runtime_checkable
class Repairing(Protocol):
    """A space that can move an illegal point to a near legal one."""

    def repair(self, point: Point) -> Point:
        """A legal point near ``point``; a legal ``point`` comes back unchanged.

        Raises:
            InfeasibleCandidate: there is no legal point near.
        """
        ...


@runtime_checkable
class Synthesises(Protocol):
    """A space that knows which point its rules imply, and which one after given failures."""

    def synthesise(self, trials: Sequence[Trial], constraints: Sequence[str]) -> Point | None:
        """The next legal point, the same for the same arguments.

        Args:
            trials: that ran or run, in order of number.
            constraints: measured constraints of the study, such as ``precision_ckks >= 12 bit``.

        Returns:
            None if its last point held or still runs, or nothing it knows would mend it.
        """
        ...


@runtime_checkable
class HasUsage(Protocol):
    """A space whose candidates do countable work, so that cost models can score them."""

    def usage(self, payload: Any) -> Usage[float]:
        """The work of the whole network under ``payload``."""
        ...


class CostModel(Protocol):
    """One formula for objective, gate and loss penalty."""

    @property
    def metric(self) -> Metric:
        """What ``cost`` returns, and in which unit."""
        ...

    def cost(self, usage: Usage[N]) -> N:
        """Total cost. Linear or at least differentiable in the amounts, and vectorised: amounts
        may be floats, tensors or arrays over plans; the result has their type.
        """
        ...

    def breakdown(self, usage: Usage[float]) -> Mapping[str, float]:
        """Cost by site, in the metric's unit; sums to ``cost`` unless documented otherwise."""
        ...


@runtime_checkable
class HasCostModels(Protocol):
    """An evaluator whose metrics come from cost models that methods may put into a loss."""

    def cost_models(self) -> Mapping[str, CostModel]:
        """Metric name -> the very model that the evaluator scores with."""
        ...


@runtime_checkable
class UsesCostModels(Protocol):
    """A method with a cost term in its loss; the study hands it the evaluators' models."""

    def use_cost_models(self, models: Mapping[str, CostModel]) -> None:
        """Take the models; called once, before ``prepare``.

        Raises:
            ConfigError: the metric it penalises has no cost model among the evaluators.
        """
        ...


@runtime_checkable
class ChecksSpace(Protocol):
    """A method that works with some spaces only, and says so before any trial."""

    def check_space(self, space: Space[Any]) -> None:
        """Called once, before ``prepare``; reads nothing but the space.

        Raises:
            ConfigError: no trial could succeed: the space has not what the method needs, or an
                option asks for more than there is.
        """
        ...


class Evaluator(Protocol[P_contra]):
    """Measures a candidate; never trains it."""

    @property
    def metrics(self) -> Sequence[Metric]:
        """The metrics it returns, always all of them."""
        ...

    @property
    def needs(self) -> frozenset[str]:
        """What it needs: a subset of ``{"weights", "data"}``. Results of evaluators that need
        neither depend on the payload alone, and are cached by it.
        """
        ...

    def evaluate(
        self, candidate: Candidate[P_contra], fidelity: Fidelity, ctx: Context
    ) -> Sequence[Measurement]:
        """The measurements.

        Raises:
            EvaluationError: this candidate cannot be measured.
        """
        ...


@runtime_checkable
class HasTestSplit(Protocol):
    """An evaluator that can also measure on data no search has seen."""

    def evaluate_test(
        self, candidate: Candidate[Any], fidelity: Fidelity, ctx: Context
    ) -> Sequence[Measurement]:
        """As ``evaluate``, on the test split (``split="test"``); once per chosen candidate."""
        ...


@runtime_checkable
class Decodes(Protocol):
    """A space that can read a stored payload back."""

    def decode(self, data: Any) -> Any:
        """The payload from its JSON form."""
        ...


class Method(Protocol[P]):
    """Turns a point into a candidate, by building it or by training."""

    @property
    def decides_space(self) -> bool:
        """True: the space's parameters are searched inside, by gradient; the outer searcher sees
        only ``params()``.
        """
        ...

    def params(self) -> Sequence[Param]:
        """Its own outer knobs."""
        ...

    def prepare(self, ctx: Context) -> None:
        """Work shared by all trials (train the teacher), done once before the first trial and
        again, from its cache, in every worker.
        """
        ...

    def produce(
        self,
        space: Space[P],
        point: Point,
        fidelity: Fidelity,
        ctx: Context,
        warm: Candidate[P] | None,
    ) -> Candidate[P]:
        """The candidate of ``point`` at ``fidelity``; ``warm`` is that of the rung below.

        Raises:
            InfeasibleCandidate: the point cannot be built.
            EvaluationError: training failed (diverged, NaN).
        """
        ...


class JobSource(Protocol):
    """What a runner pulls from and reports to; called from one thread of the driver."""

    def next(self) -> Job | None:
        """The next job, or None: nothing to do unless a job in flight is reported first."""
        ...

    def report(self, outcome: Outcome) -> None:
        """A job ended."""
        ...

    def event(self, number: int, kind: str, data: Mapping[str, Any]) -> None:
        """Progress of a job in flight: ``started``, ``rung`` (with ``rung``), ``step``."""
        ...

    def should_stop(self) -> bool:
        """True: start nothing new, ask jobs in flight to stop (Ctrl-C, wall-clock budget)."""
        ...


ProgressHook = Callable[[str, Mapping[str, Any]], None]
"""Called in the worker with (kind, data); the runner carries it to :meth:`JobSource.event`."""


class Execute(Protocol):
    """The one function a worker runs."""

    def __call__(self, job: Job, hook: ProgressHook, stop: Callable[[], bool]) -> Outcome:
        """Climb the ladder for ``job``. Never raises but for interrupts."""
        ...


class WorkerSpec(Protocol):
    """A recipe for :class:`Execute` that crosses processes: picklable plain data."""

    @property
    def study_name(self) -> str:
        """Name for process titles and Ray task names."""
        ...

    def build(self) -> Execute:
        """Load the plugins and make the objects; expensive, once per worker process."""
        ...

    def label(self, job: Job) -> str:
        """A short text for people: study, trial number, key parameters."""
        ...


class Runner(Protocol):
    """Runs jobs somewhere. The driver alone writes to the store, through the job source."""

    @property
    def slots(self) -> int:
        """How many jobs run at once."""
        ...

    def drain(self, source: JobSource, worker: WorkerSpec) -> None:
        """Run jobs until ``source.next()`` is None with none in flight.

        A worker that dies or overruns ``job.timeout_s`` gives an outcome ``crashed``; it never
        ends the study.
        """
        ...
