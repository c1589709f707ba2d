"""Optuna's samplers for numbers as searchers: GP, CMA-ES and QMC.

Known difference to an uninterrupted run: with several trials in flight, CMA-ES closes a generation
in the order in which trials end, which a replay knows only by number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, QMCSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from pydantic import Field

from search.api.domain import Choice, Param
from search.api.errors import ConfigError
from search.api.searching import Problem
from search.searchers.backed import OptunaBacked
from search.searchers.mirror import Asked
from search.searchers.options import SearcherConfig


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
