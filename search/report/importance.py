"""How much each parameter matters for each objective, and how much of that is chance.

PED-ANOVA compares where the best trials lie with where all trials lie, one parameter at a time.
The number alone cannot say whether it is noise, so the same analysis is repeated on shuffled
objective values: what does not exceed the largest of 19 shuffled results may be chance (5 % level).

Source: Watanabe, Bansal, Hutter, PED-ANOVA, IJCAI 2023 (as implemented in Optuna); permutation
level 1/(19+1): Hope, J. Royal Statistical Society B 30(3), 1968. That at least 5 trials should
lie in the best share is advice of Optuna's documentation.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from search.api.domain import Choice, Integer, Ordinal, Param, Real, ScalarDomain, Vector
from search.api.trial import Trial
from search.report.family import Arm, values_of

if TYPE_CHECKING:
    import optuna

MIN_TRIALS = 20
"""Fewer scored trials than this are not analysed."""

_BEST_TRIALS, _BEST_SHARE, _SHUFFLES = 5, 0.1, 19
_MAX_ENTRIES = 200  # of all vectors together; longer ones would take minutes
_MAX_WORK = 10_000  # trials x parameters per analysis: a second or two in all


@dataclass(frozen=True)
class Importance:
    """Importances for one objective.

    Args:
        objective: its name.
        shares: parameter (``name`` or ``name[i]``) -> share of the total, in %, largest first.
        chance: share, in %, that shuffled values reach; at or below it a parameter cannot be
            told from noise.
        trials: number of trials analysed.
        best: number of these that count as the best.
        note: why ``shares`` is empty, or what was left out; may be empty.
    """

    objective: str
    shares: Mapping[str, float]
    chance: float = 0.0
    trials: int = 0
    best: int = 0
    note: str = ""


def importance_of(arm: Arm, seed: int = 0) -> list[Importance]:
    """One analysis per objective of the arm's scored trials, infeasible ones included.

    Optuna is imported only if there are enough trials and parameters.
    """
    objectives = arm.snapshot.objectives
    features, note = _features(arm.snapshot.params)
    usable = [t for t in arm.scored if _fits(t, features)]
    if len(usable) < MIN_TRIALS:
        note = f"Too few trials: {len(usable)} were scored, at least {MIN_TRIALS} are needed."
        return [Importance(m.name, {}, trials=len(usable), note=note) for m in objectives]
    if not features:
        why = note or "There is no parameter to compare."
        return [Importance(m.name, {}, trials=len(usable), note=why) for m in objectives]
    rng = random.Random(seed)
    most = max(100, _MAX_WORK // len(features))
    if len(usable) > most:
        usable = sorted(rng.sample(usable, most), key=lambda t: t.number)
        note = f"{note} {most} trials drawn at random were analysed.".strip()
    study = _study(usable, features)
    return [
        _analyse(study, m.name, [(-1.0 if m.goal == "max" else 1.0) * values_of(t)[i]
                                 for t in usable], rng, note)
        for i, m in enumerate(objectives)
    ]  # fmt: skip


def _analyse(
    study: optuna.Study, objective: str, losses: list[float], rng: random.Random, note: str
) -> Importance:
    if len(set(losses)) == 1:
        return Importance(objective, {}, trials=len(losses), note="All trials have the same value.")
    share = max(_BEST_SHARE, _BEST_TRIALS / len(losses))
    found = _ped_anova(study, losses, share)
    total = sum(found.values())
    best = round(share * len(losses))
    if total <= 0:
        why = "No parameter sets the best trials apart."
        return Importance(objective, {}, trials=len(losses), best=best, note=why)
    chance = 0.0
    for _ in range(_SHUFFLES):
        chance = max(chance, *_ped_anova(study, rng.sample(losses, len(losses)), share).values())
    shares = {name: 100 * value / total for name, value in found.items()}
    ordered = dict(sorted(shares.items(), key=lambda e: -e[1]))
    return Importance(objective, ordered, 100 * chance / total, len(losses), best, note)


def _ped_anova(study: optuna.Study, losses: Sequence[float], share: float) -> dict[str, float]:
    from optuna.exceptions import ExperimentalWarning
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        # It reminds callers that low targets count as good; losses are built that way.
        warnings.filterwarnings("ignore", message="PedAnovaImportanceEvaluator computes")
        return get_param_importances(
            study,
            evaluator=PedAnovaImportanceEvaluator(target_quantile=share),
            target=lambda trial: losses[trial.number],
            normalize=False,
        )


def _features(
    params: Sequence[Param],
) -> tuple[dict[str, tuple[str, int | None, ScalarDomain]], str]:
    """Feature -> (parameter, entry or None, domain); and a note on what was left out."""
    features: dict[str, tuple[str, int | None, ScalarDomain]] = {}
    left_out = []
    for p in params:
        if not isinstance(p.domain, Vector):
            features[p.name] = (p.name, None, p.domain)
        elif len(features) + p.domain.length <= _MAX_ENTRIES:
            for i in range(p.domain.length):
                features[f"{p.name}[{i}]"] = (p.name, i, p.domain.element)
        else:
            left_out.append(f"{p.name} ({p.domain.length} entries)")
    note = f"Too long to analyse entry by entry: {', '.join(left_out)}." if left_out else ""
    return {name: f for name, f in features.items() if f[2].size > 1}, note


def _entry(trial: Trial, param: str, index: int | None) -> Any:
    value = trial.point.get(param)
    return value[index] if index is not None and isinstance(value, tuple) else value


def _fits(trial: Trial, features: Mapping[str, tuple[str, int | None, ScalarDomain]]) -> bool:
    """Whether every active parameter of the trial is legal; one from outside would mislead."""
    return all(
        param not in trial.point or domain.contains(_entry(trial, param, index))
        for param, index, domain in features.values()
    )


def _study(
    trials: Sequence[Trial], features: Mapping[str, tuple[str, int | None, ScalarDomain]]
) -> optuna.Study:
    import optuna

    distributions = {name: _distribution(domain) for name, (_, _, domain) in features.items()}
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study()
    finally:
        optuna.logging.set_verbosity(verbosity)
    frozen = []
    for trial in trials:
        active = {
            name: _entry(trial, param, index)
            for name, (param, index, _) in features.items()
            if param in trial.point
        }
        used = {name: distributions[name] for name in active}
        frozen.append(optuna.trial.create_trial(params=active, distributions=used, value=0.0))
    study.add_trials(frozen)
    return study


def _distribution(domain: ScalarDomain) -> optuna.distributions.BaseDistribution:
    from optuna import distributions as d

    if isinstance(domain, Real):
        return d.FloatDistribution(domain.low, domain.high, log=domain.log)
    if isinstance(domain, Integer):
        return d.IntDistribution(domain.low, domain.high, log=domain.log, step=domain.step)
    if isinstance(domain, (Ordinal, Choice)):
        return d.CategoricalDistribution(domain.options)
    raise TypeError(f"no such domain: {domain!r}")
