"""Optuna's samplers as searchers: TPE, NSGA-II, GP, CMA-ES and QMC.

Each proposal is made by a fresh sampler object seeded from (study seed, trial number, attempt) over
a mirror of the told trials, so it depends on the history alone: a killed and resumed run goes on
as the uninterrupted one would have. Scalars are Optuna's; vectors are proposed whole by
:mod:`search.searchers.vectors`.

Known difference: with several trials in flight, NSGA-II and CMA-ES close a generation in the order
in which trials end, which a replay knows only by number.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, QMCSampler
from optuna.samplers.nsgaii import (
    BaseCrossover,
    BLXAlphaCrossover,
    PolynomialMutation,
    SBXCrossover,
    SPXCrossover,
    UNDXCrossover,
    UniformCrossover,
    VSBXCrossover,
)
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from pydantic import Field

from search.api.domain import Choice, Param, Point, Vector, sample_point
from search.api.errors import ConfigError
from search.api.protocols import Problem
from search.api.trial import Trial
from search.searchers.history import History, member_of
from search.searchers.mirror import Asked, Mirror
from search.searchers.moves import settle, stream
from search.searchers.options import SearcherConfig
from search.searchers.vectors import VectorProposals

GATED = "ended without values"
"""Constraint told for a trial that ended early though no constraint was exceeded."""

_ASKS = 4
"""Refusals after which the sampler is no longer asked: it would only repeat itself."""


class OptunaBacked(ABC):
    """What the five share; abstract. Subclasses say which sampler and what it must remember.

    Args:
        problem: what is searched.

    Raises:
        ConfigError: the sampler does not suit the space or the objectives.
    """

    _memory: tuple[str, ...] = ()  # parts of names of trial attributes kept over a restart
    _breeds = True  # whether vectors are bred from the best trials, or stay random

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._scalars = [p for p in problem.params if not isinstance(p.domain, Vector)]
        self._mirror = Mirror(problem.params, problem.goals)
        self._history = History(problem, 20 * len(problem.goals))
        self._vectors = VectorProposals(problem, self._history)
        self._asked = Asked(-1, {})
        self._remembered: dict[int, dict[str, Any]] = {}

    @property
    @abstractmethod
    def name(self) -> str:
        """Name for reports."""

    @property
    @abstractmethod
    def _how(self) -> str:
        """How scalars are proposed, for ``reason``."""

    @abstractmethod
    def _sampler(self, seed: int, number: int) -> BaseSampler:
        """A fresh sampler for one proposal."""

    @property
    def reason(self) -> str:
        """Why this searcher, one line; says how vectors are proposed."""
        vectors = self._vectors.names
        if not vectors:
            return self._how
        kinds = f"{len(self._scalars)} scalar parameters" if self._scalars else "no scalars"
        bred = "bred by us from the best ones (stratified at first)"
        whole = bred if self._breeds else "drawn by us at all densities alike"
        return f"{self._how} ({kinds}); {', '.join(vectors)} proposed whole, {whole}, not by Optuna"

    def suggest(self, number: int, attempt: int) -> Point | None:
        """A point; after a few refusals a random one. None once a small space is used up."""
        rng = stream(self._problem.seed, number, attempt, self.name)
        if attempt < _ASKS and self._scalars:
            self._asked = self._ask(rng.getrandbits(32), number)
            scalars = self._asked.values
        else:
            scalars = sample_point(self._scalars, rng)
        if self._vectors.names:
            ready = self._breeds and self._vectors.warm and attempt < _ASKS
            parents = self._vectors.parents(rng) if ready else []
            scalars = self._vectors.propose(scalars, number + 97 * attempt, parents, rng)
        return settle(self._problem, scalars, self._history.seen, rng)

    def start(self, number: int, point: Point) -> None:
        """Trial ``number`` runs with ``point``, whether proposed, repaired or somebody else's."""
        asked = self._asked if self._asked.number == number else Asked(number, {})
        self._start(number, point, asked.attrs, asked.study)

    def finish(self, trial: Trial) -> Mapping[str, Any]:
        """Tell the mirror. Returns what the sampler keeps of the trial (small, JSON-safe)."""
        if trial.number not in self._remembered:
            self.start(trial.number, trial.point)
        member = member_of(trial, [1.0] * len(self._problem.goals), self._problem.constraints)
        self._vectors.learn(self._history.finish(trial))
        if member is None:
            self._mirror.finish(trial.number, TrialState.FAIL, None, {})
        elif member.losses is not None:
            told = {name: member.excess.get(name, 0.0) for name in self._problem.constraints}
            self._mirror.finish(trial.number, TrialState.COMPLETE, member.losses, told)
        else:
            told = dict(member.excess)
            if not any(excess > 0 for excess in told.values()):
                told[GATED] = 1.0
            self._mirror.finish(trial.number, TrialState.PRUNED, None, told)
        return self._remembered[trial.number]

    def replay(self, trials: Sequence[Trial]) -> None:
        """Take over earlier trials, with what the sampler kept of them."""
        for trial in trials:
            if trial.status == "running":
                continue  # its worker is gone; in the mirror it would repel proposals for ever
            kept = trial.memory
            self._start(trial.number, trial.point, kept.get("trial", {}), kept.get("study", {}))
            self.finish(trial)

    def _ask(self, seed: int, number: int) -> Asked:
        return self._mirror.ask(self._sampler(seed, number), number)

    def _start(
        self, number: int, point: Point, attrs: Mapping[str, Any], study: Mapping[str, Any]
    ) -> None:
        kept = {k: v for k, v in attrs.items() if any(part in k for part in self._memory)}
        self._mirror.start(number, point, kept, study if self._memory else {})
        self._history.start(number, point)
        self._remembered[number] = {"trial": kept, "study": dict(study)} if kept else {}


class TPEConfig(SearcherConfig):
    """Options of :class:`TPE`; names and meanings are those of Optuna's ``TPESampler``."""

    n_startup_trials: int = Field(10, ge=0, description="Random trials before the model is used.")
    n_ei_candidates: int = Field(24, ge=1, description="Candidates per proposal.")
    multivariate: bool | None = Field(
        None,
        description="Model parameters jointly. By default yes, but for spaces of up to 30 "
        "unconditional parameters under several objectives, where separate densities do better.",
    )
    group: bool | None = Field(
        None,
        description="Model groups of parameters that are active together; by default where "
        "parameters are conditional. Needs multivariate.",
    )
    constant_liar: bool = Field(
        True, description="Keep away from trials in flight: for several workers."
    )


class TPE(OptunaBacked):
    """Tree-structured Parzen estimator: mixed and conditional spaces, constraints, any objectives.

    Source: Optuna 5 ``TPESampler``; the choice of ``multivariate`` follows our measurements on
        DTLZ2 with 12 parameters (separate densities) and on masks (joint ones).
    """

    Config = TPEConfig

    def __init__(self, problem: Problem, config: TPEConfig | None = None, **options: Any) -> None:
        super().__init__(problem)
        self._config = config or TPEConfig.of(options)
        conditional = any(p.when for p in self._scalars)
        self._multivariate = self._config.multivariate
        if self._multivariate is None:
            few = len(self._scalars) <= 30 and len(problem.goals) > 1 and not conditional
            self._multivariate = not few or self._config.group is True
        group = self._config.group
        self._group = conditional and self._multivariate if group is None else group
        if self._group and not self._multivariate:
            raise ConfigError(
                "group needs multivariate (got group: true, multivariate: false)",
                path="searcher.group",
            )

    @classmethod
    def from_config(cls, config: TPEConfig, problem: Problem) -> TPE:
        """The searcher that a configuration describes."""
        return cls(problem, config)

    @property
    def name(self) -> str:
        """Name for reports."""
        return "tpe"

    @property
    def _how(self) -> str:
        joint = "joint densities" if self._multivariate else "one density per parameter"
        return f"TPE, {joint}" + (", grouped by condition" if self._group else "")

    def _sampler(self, seed: int, number: int) -> BaseSampler:
        return optuna.samplers.TPESampler(
            n_startup_trials=self._config.n_startup_trials,
            n_ei_candidates=self._config.n_ei_candidates,
            multivariate=self._multivariate,
            group=self._group,
            constant_liar=self._config.constant_liar,
            seed=seed,
        )


_CROSSOVERS: dict[str, type[BaseCrossover]] = {
    "uniform": UniformCrossover,
    "blxalpha": BLXAlphaCrossover,
    "sbx": SBXCrossover,
    "spx": SPXCrossover,
    "undx": UNDXCrossover,
    "vsbx": VSBXCrossover,
}


class NSGA2Config(SearcherConfig):
    """Options of :class:`NSGA2`; names and meanings are those of Optuna's ``NSGAIISampler``."""

    population_size: int = Field(20, ge=3, description="Trials per generation.")
    mutation: Literal["uniform", "polynomial"] = Field(
        "uniform", description="uniform: a mutated parameter is drawn anew; polynomial: a step."
    )
    mutation_prob: float | None = Field(
        None, ge=0, le=1, description="Per parameter; by default 1 / number of parameters."
    )
    crossover: Literal["uniform", "blxalpha", "sbx", "spx", "undx", "vsbx"] = Field(
        "uniform", description="For numerical parameters; categories are always mixed uniformly."
    )
    crossover_prob: float = Field(0.9, ge=0, le=1, description="Otherwise a parent is copied.")
    swapping_prob: float = Field(0.5, ge=0, le=1, description="Of uniform crossover.")


class NSGA2(OptunaBacked):
    """NSGA-II by generations: several objectives, constraints, small categorical spaces.

    Source: Optuna 5 ``NSGAIISampler``. The default population of 20 beats Optuna's 50 at a few
        hundred trials.
    """

    Config = NSGA2Config
    _memory = ("generation",)

    def __init__(self, problem: Problem, config: NSGA2Config | None = None, **options: Any) -> None:
        super().__init__(problem)
        self._config = config or NSGA2Config.of(options)

    @classmethod
    def from_config(cls, config: NSGA2Config, problem: Problem) -> NSGA2:
        """The searcher that a configuration describes."""
        return cls(problem, config)

    @property
    def name(self) -> str:
        """Name for reports."""
        return "nsga2"

    @property
    def _how(self) -> str:
        return f"NSGA-II, generations of {self._config.population_size}, repeats replaced"

    def _sampler(self, seed: int, number: int) -> BaseSampler:
        config = self._config
        crossover = (
            UniformCrossover(config.swapping_prob)
            if config.crossover == "uniform"
            else _CROSSOVERS[config.crossover]()
        )
        return optuna.samplers.NSGAIISampler(
            population_size=config.population_size,
            mutation=PolynomialMutation() if config.mutation == "polynomial" else None,
            mutation_prob=config.mutation_prob,
            crossover=crossover,
            crossover_prob=config.crossover_prob,
            swapping_prob=config.swapping_prob,
            seed=seed,
        )

    def _start(
        self, number: int, point: Point, attrs: Mapping[str, Any], study: Mapping[str, Any]
    ) -> None:
        if not attrs:
            # Somebody else's point: without a generation it would never become a parent.
            asked = self._ask(0, number)
            attrs, study = asked.attrs, asked.study
        super()._start(number, point, attrs, study)


class GPConfig(SearcherConfig):
    """Options of :class:`GP`; names and meanings are those of Optuna's ``GPSampler``."""

    n_startup_trials: int = Field(10, ge=1, description="Random trials before the model is used.")
    deterministic_objective: bool = Field(
        False, description="Measurements carry no noise; the model then passes through them."
    )


class GP(OptunaBacked):
    """Gaussian process with (constrained, multi-objective) expected improvement.

    The best choice for up to 30 mostly continuous parameters and 300 trials; its cost per
    proposal grows to seconds beyond. Trials that end without values teach it nothing.

    Source: Optuna 5 ``GPSampler``.
    """

    Config = GPConfig

    def __init__(self, problem: Problem, config: GPConfig | None = None, **options: Any) -> None:
        super().__init__(problem)
        self._config = config or GPConfig.of(options)
        _need_scalars("gp", self._scalars)

    @classmethod
    def from_config(cls, config: GPConfig, problem: Problem) -> GP:
        """The searcher that a configuration describes."""
        return cls(problem, config)

    @property
    def name(self) -> str:
        """Name for reports."""
        return "gp"

    @property
    def _how(self) -> str:
        loose = [p.name for p in self._scalars if p.when]
        rest = f"; conditional {', '.join(loose)} drawn uniformly" if loose else ""
        return f"Gaussian process over {len(self._scalars) - len(loose)} parameters{rest}"

    def _sampler(self, seed: int, number: int) -> BaseSampler:
        return optuna.samplers.GPSampler(
            seed=seed,
            n_startup_trials=self._config.n_startup_trials,
            deterministic_objective=self._config.deterministic_objective,
            warn_independent_sampling=False,  # `reason` says it, once
        )


class CMAESConfig(SearcherConfig):
    """Options of :class:`CMAES`; names and meanings are those of Optuna's ``CmaEsSampler``."""

    n_startup_trials: int = Field(1, ge=1, description="Random trials before the strategy starts.")
    popsize: int | None = Field(None, ge=3, description="By default 4 + 3 ln(dimensions).")
    use_separable_cma: bool = Field(False, description="Diagonal covariance: for many dimensions.")
    with_margin: bool = Field(False, description="Keeps integers from getting stuck.")
    lr_adapt: bool = Field(False, description="Adapt the learning rate: for noise, many optima.")


class CMAES(OptunaBacked):
    """CMA-ES: one objective over at least two unconditional numerical parameters.

    Its state is never stored: it is worked out again from the trials and their generations, so
    that resuming a run unpickles nothing.

    Source: Optuna 5 ``CmaEsSampler``.
    """

    Config = CMAESConfig
    _memory = ("generation", "x_for_tell")

    def __init__(self, problem: Problem, config: CMAESConfig | None = None, **options: Any) -> None:
        super().__init__(problem)
        self._config = config = config or CMAESConfig.of(options)
        _need_scalars("cmaes", self._scalars)
        if len(problem.goals) > 1:
            raise ConfigError(
                f"cmaes takes one objective (got {len(problem.goals)}). Use nsga2, tpe or gp",
                path="searcher",
            )
        if problem.constraints:
            raise ConfigError(
                "cmaes cannot use measured constraints (got "
                f"{', '.join(problem.constraints)}). Use tpe, gp, nsga2 or evolution",
                path="searcher",
            )
        if config.use_separable_cma + config.with_margin + config.lr_adapt > 1:
            raise ConfigError(
                "use_separable_cma, with_margin and lr_adapt exclude one another", path="searcher"
            )
        self._strategic = [p for p in self._scalars if _numerical(p)]
        if len(self._strategic) < 2:
            raise ConfigError(
                "cmaes needs at least two numerical parameters that are always active (got "
                f"{len(self._strategic)}). Use tpe or evolution",
                path="searcher",
            )

    @classmethod
    def from_config(cls, config: CMAESConfig, problem: Problem) -> CMAES:
        """The searcher that a configuration describes."""
        return cls(problem, config)

    @property
    def name(self) -> str:
        """Name for reports."""
        return "cmaes"

    @property
    def _how(self) -> str:
        loose = [p.name for p in self._scalars if p not in self._strategic]
        rest = f"; {', '.join(loose)} drawn uniformly" if loose else ""
        return f"CMA-ES over {len(self._strategic)} numerical parameters{rest}"

    def _ask(self, seed: int, number: int) -> Asked:
        """Ask until no generation is left to close; its outcome stays on the newest trial."""
        while True:
            asked = super()._ask(seed, number)
            state = {k: v for k, v in asked.attrs.items() if ":optimizer:" in k}
            if not state:
                return asked
            complete = [t for t in self._mirror.trials if t.state == TrialState.COMPLETE]
            prefix = next(iter(state)).rpartition(":")[0]
            self._mirror.attach(complete[-1].number, state, instead_of=prefix)

    def _sampler(self, seed: int, number: int) -> BaseSampler:
        return optuna.samplers.CmaEsSampler(
            seed=seed,
            n_startup_trials=self._config.n_startup_trials,
            popsize=self._config.popsize,
            use_separable_cma=self._config.use_separable_cma,
            with_margin=self._config.with_margin,
            lr_adapt=self._config.lr_adapt,
            warn_independent_sampling=False,  # `reason` says it, once
        )


class QMCConfig(SearcherConfig):
    """Options of :class:`QMC`; names and meanings are those of Optuna's ``QMCSampler``."""

    qmc_type: Literal["sobol", "halton"] = Field("sobol", description="The sequence.")
    scramble: bool = Field(
        True,
        description="Randomise by the study's seed. Unscrambled, the first point is the corner of "
        "all lower bounds.",
    )


class QMC(OptunaBacked):
    """A low-discrepancy sequence: trial n gets its n-th point. Even cover, nothing learnt.

    Conditional parameters have a coordinate of their own, used where they are active.

    Source: Optuna 5 ``QMCSampler``.
    """

    Config = QMCConfig
    _breeds = False

    def __init__(self, problem: Problem, config: QMCConfig | None = None, **options: Any) -> None:
        super().__init__(problem)
        self._config = config or QMCConfig.of(options)
        _need_scalars("qmc", self._scalars)

    @classmethod
    def from_config(cls, config: QMCConfig, problem: Problem) -> QMC:
        """The searcher that a configuration describes."""
        return cls(problem, config)

    @property
    def name(self) -> str:
        """Name for reports."""
        return "qmc"

    @property
    def _how(self) -> str:
        return f"{self._config.qmc_type} sequence, nothing learnt: an evenly spread baseline"

    def _sampler(self, seed: int, number: int) -> BaseSampler:
        return _Sequence(
            qmc_type=self._config.qmc_type,
            scramble=self._config.scramble,
            seed=self._problem.seed % 2**32,  # constant: the scramble must not change on the way
            space=self._mirror.distributions,
            index=number,
        )


class _Sequence(QMCSampler):
    """Optuna's sequence at an index of ours instead of a counter in the study."""

    def __init__(self, space: Mapping[str, BaseDistribution], index: int, **options: Any) -> None:
        super().__init__(
            warn_asynchronous_seeding=False, warn_independent_sampling=False, **options
        )
        self._space = {n: d for n, d in space.items() if not d.single()}
        self._index = index

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """All parameters, conditional ones as well, from the first trial on."""
        return self._space

    def _find_sample_id(self, study: Study, search_space: dict[str, BaseDistribution]) -> int:
        return self._index


def _need_scalars(name: str, scalars: Sequence[Param]) -> None:
    if not scalars:
        raise ConfigError(
            f"{name} proposes scalar parameters, but the space has none. "
            "For vectors use evolution or random",
            path="searcher",
        )


def _numerical(param: Param) -> bool:
    return not isinstance(param.domain, Choice) and not param.when and param.domain.size > 1
