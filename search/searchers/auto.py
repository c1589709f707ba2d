"""Auto: picks a searcher by dimension, types, budget and objectives, and says why."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from search.api.domain import Choice, Integer, Ordinal, Point, Real, Vector
from search.api.searching import Problem, Searcher
from search.api.trial import Trial
from search.searchers.evolution import Evolution
from search.searchers.grid import Grid
from search.searchers.options import SearcherConfig

GP_DIMENSIONS, GP_TRIALS = 30, 300
"""Beyond these a Gaussian process costs seconds per proposal (6 to 12 CPU-s at 1000 trials)."""
TPE_DIMENSIONS = 200
"""Beyond this TPE costs more than 0.2 CPU-s per proposal and rarely gets anywhere."""
NSGA2_TRIALS = 60
"""Three generations of 20; with fewer trials NSGA-II is random search."""
SMALL_SPACE = 1e6
"""Up to this many points a categorical space counts as small: TPE repeats itself there."""


class AutoConfig(SearcherConfig):
    """Auto has no options: name a searcher to set any."""


class Auto:
    """Delegates everything to the searcher that suits the problem.

    Args:
        problem: what is searched.
        config: empty; here for symmetry.

    Raises:
        ConfigError: an option was given.
    """

    Config = AutoConfig

    def __init__(self, problem: Problem, config: AutoConfig | None = None, **options: Any) -> None:
        if config is None:
            AutoConfig.of(options)
        self._chosen, self._why = choose(problem)

    @classmethod
    def from_config(cls, config: AutoConfig, problem: Problem) -> Auto:
        """The searcher that a configuration describes."""
        return cls(problem, config)

    @property
    def name(self) -> str:
        """Name for reports, with that of the searcher chosen."""
        return f"auto ({self._chosen.name})"

    @property
    def reason(self) -> str:
        """Which searcher, by which rule, and what it does."""
        return f"{self._chosen.name}, since {self._why}: {self._chosen.reason}"

    def suggest(self, number: int, attempt: int) -> Point | None:
        """As the chosen searcher."""
        return self._chosen.suggest(number, attempt)

    def start(self, number: int, point: Point) -> None:
        """As the chosen searcher."""
        self._chosen.start(number, point)

    def finish(self, trial: Trial) -> Mapping[str, Any]:
        """As the chosen searcher."""
        return self._chosen.finish(trial)

    def replay(self, trials: Sequence[Trial]) -> None:
        """As the chosen searcher."""
        self._chosen.replay(trials)


def choose(problem: Problem) -> tuple[Searcher, str]:
    """The searcher for ``problem`` and the rule that chose it, one clause.

    The rules follow a comparison at equal numbers of trials on published suites, in which no single
    sampler won everywhere. The project has not rerun it; ``benchmarks/searchers.py`` covers masks.
    """
    # Optuna takes 0.2 CPU-s to import; a space of vectors never needs it.
    params, goals, trials = problem.params, len(problem.goals), problem.trials
    vectors = [p.name for p in params if isinstance(p.domain, Vector)]
    if vectors:
        return Evolution(problem), f"{', '.join(vectors)} must be proposed and repaired whole"
    points = math.prod(p.domain.size for p in params)
    if not params:
        return Grid(problem), "there is nothing to choose"
    if trials is not None and points <= trials:
        return Grid(problem), f"{trials} trials suffice for all {points:.0f} points at most"
    if len(params) > TPE_DIMENSIONS:
        return Evolution(problem), f"{len(params)} parameters are too many for a model of each"
    from search.searchers.optuna_backed import GP, NSGA2, TPE

    smooth = sum(isinstance(p.domain, Real) or _wide(p.domain) for p in params)
    conditional = any(p.when for p in params)
    budget = math.inf if trials is None else trials
    if (
        budget <= GP_TRIALS
        and len(params) <= GP_DIMENSIONS
        and goals <= 2
        and 2 * smooth > len(params)
        and not conditional
        and not problem.gated
    ):
        return GP(problem), (
            f"{len(params)} mostly continuous parameters, {trials} trials and {goals} "
            f"objective{'s' if goals > 1 else ''} suit a Gaussian process"
        )
    categorical = all(isinstance(p.domain, (Choice, Ordinal)) for p in params)
    if categorical and points <= SMALL_SPACE and budget >= NSGA2_TRIALS and not problem.gated:
        return NSGA2(
            problem
        ), f"a categorical space of {points:.0f} points, where TPE repeats itself"
    kinds = "conditional" if conditional else "mixed" if smooth < len(params) else "continuous"
    gates = ", trials that end at gates" if problem.gated else ""
    count = "an open number of" if trials is None else str(trials)
    return TPE(problem), f"a {kinds} space, {goals} objective(s), {count} trials{gates}"


def _wide(domain: object) -> bool:
    return isinstance(domain, Integer) and domain.size > 8
