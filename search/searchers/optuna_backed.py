"""Optuna's samplers as searchers: TPE and NSGA-II here, GP, CMA-ES and QMC beside it.

Known difference to an uninterrupted run: with several trials in flight, NSGA-II closes a generation
in the order in which trials end, which a replay knows only by number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import optuna
from optuna.samplers import BaseSampler
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
from pydantic import Field

from search.api.domain import Point
from search.api.errors import ConfigError
from search.api.searching import Problem
from search.searchers.backed import OptunaBacked
from search.searchers.options import SearcherConfig
from search.searchers.optuna_numerical import CMAES, GP, QMC

__all__ = ["CMAES", "GP", "NSGA2", "QMC", "TPE"]


class TPEConfig(SearcherConfig):
    """Options of :class:`TPE`; names and meanings are those of Optuna's ``TPESampler``."""

    n_startup_trials: int = Field(10, ge=0, description="Random trials before the model is used.")
    n_ei_candidates: int = Field(24, ge=1, description="Candidates per proposal.")
    multivariate: bool | None = Field(
        None,
        description="Model parameters jointly. By default yes, but for spaces of up to 30 "
        "unconditional parameters under several objectives, where separate densities did better "
        "on test suites (not rerun by the project).",
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

    Source: Optuna 5 ``TPESampler``. The default of ``multivariate`` follows a comparison on
        published suites (DTLZ2 and ZDT1, several objectives: separate densities; masks under a
        budget: joint ones) with few seeds. The project has not rerun it: a starting value.
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
