"""The expert: finds a configuration by models and rules alone, no language model needed.

It enumerates global parameters against the models, mends the bottleneck layer by layer, and runs
encrypted only what is foretold to be best. What a run shows corrects the forecast; a failed one
sends it back. On a ladder without an encrypted rung the predicted one confirms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from agents.api import Ending, SessionResult, Toolbox, ToolError, Workbench
from agents.expert_global import Enumeration
from agents.expert_repair import foretold, improved
from agents.expert_wish import Ranked, Wish
from agents.memory import Lessons
from agents.phases import Phase, Progress
from agents.workbench import StudyBench
from search.api.domain import Point, Value, canonical, point_digest
from search.api.errors import ConfigError
from search.api.trial import Trial

Say = Callable[[str], None]

_AGAIN = 0.10
"""Relative gain that a forecast must promise to risk an encrypted run for it."""
_NEAR_MISSES, _STEPS = 3, 80
"""Near misses that are mended, and points that are foretold for each."""
_MOST_BOLD = 2
"""Candidates with nothing in reserve; beyond them the safe ones."""


@dataclass(frozen=True)
class ExpertOptions:
    """What the expert leaves out; for ablations.

    Args:
        global_search: enumerate global parameters; else begin with the synthesised point.
        repair: mend layer by layer.
        candidates: points kept from the enumeration.
        confirmations: encrypted runs at most, besides the session's own limit.
    """

    global_search: bool = True
    repair: bool = True
    candidates: int = 8
    confirmations: int = 4


@dataclass
class Expert:
    """A :class:`~agents.api.Controller` of rules.

    Args:
        options: what to leave out.
        lessons: of other networks; None to learn nothing and carry nothing over.
    """

    options: ExpertOptions = field(default_factory=ExpertOptions)
    lessons: Lessons | None = None
    name: str = "expert"

    def run(self, bench: Workbench, tools: Toolbox, say: Say) -> SessionResult:
        """Pursue the bench's goal within its limits.

        Raises:
            ConfigError: the study has no models to reason with.
        """
        if not isinstance(bench, StudyBench) or bench.forecast is None:
            raise ConfigError(
                "the expert reasons by the models of CKKS studies (this study has none of the "
                "evaluators ckks_static and ckks_predicted). Take another controller, or "
                "`search run`",
                path="controller",
            )
        with bench.opened():
            return _Session(bench, say, self.options, self.lessons).run()


class _Session:
    """One run of the expert."""

    def __init__(
        self, bench: StudyBench, say: Say, options: ExpertOptions, lessons: Lessons | None
    ) -> None:
        if bench.forecast is None:
            raise ConfigError("no models", path="controller")
        self.bench, self.say, self.options, self.lessons = bench, say, options, lessons
        self.forecast = bench.forecast
        self.wish = Wish(bench.metrics[bench.goal.minimise], (*bench.aims, *bench.gates))
        self.progress = Progress()
        self.search = Enumeration(
            bench.forecast, bench.params, bench.check, patience=self._has_time
        )
        self.failed: dict[str, str] = {}  # digest of a point -> what was wrong with it
        self.networks: list[dict[str, Value]] = []
        self.bold = 0  # candidates tried without reserve
        self.stop = ""

    def run(self) -> SessionResult:
        """From profile to result."""
        self._understand()
        runs = 0
        while not self._over():
            plan = self._global()
            if plan is None:
                if self._next_network("no chain is foretold to meet the demands"):
                    continue
                break
            checked = self._predicted(plan)
            if checked is None:
                if self._back("global", "the predicted rung refused it"):
                    continue
                break
            mended = self._repaired(checked)
            if runs >= self.options.confirmations:
                break
            verdict = self._confirm(mended)
            runs += 1
            if verdict is None or self._settled(verdict, mended):
                break
            self._back("global", "what the run showed changes the forecast")
        return self._report()

    def _understand(self) -> None:
        space: Any = self.forecast.space
        self.networks = self.search.networks()
        layers = space.layers
        count = len(layers.linears) if layers is not None else 0
        depth = space.depth({**self.search.start(), **self.networks[0]})
        self.say(
            f"understand: {count} linear layers, {depth} levels at least, "
            f"{layers.widest if layers is not None else 0} values at the widest"
        )
        for trial in self.bench.trials():
            self.forecast.learn(trial)
        if self.lessons is not None:
            for metric, factor in self.lessons.factors().items():
                self.forecast.corrections.factors.setdefault(metric, []).append(factor)
            for metric, offset in self.lessons.offsets().items():
                self.forecast.corrections.offsets.setdefault(metric, []).append(offset)

    def _global(self) -> Ranked | None:
        self._enter("global", "choose ring, chain, scale and packing by the models")
        if not self.options.global_search:
            return self._synthesised()
        best, note = self._best(1.0), ""
        bold = self._boldest(best) if self.bold < _MOST_BOLD else None
        self.wish = replace(self.wish, reserve=1.0)
        if bold is not None and (best is None or self._gain(best, bold) > _AGAIN):
            best, note = bold, " (no reserve left: a run will tell)"
            self.wish = replace(self.wish, reserve=0.0)
            self.bold += 1
        if best is not None:
            self.say(f"global: {self.search.judged} chains judged; best: {self._told(best)}{note}")
        return best

    def _best(self, reserve: float) -> Ranked | None:
        """The first candidate with so much of the reserves that has not failed."""
        wish = replace(self.wish, reserve=reserve)
        found = self.search.ranked(wish, self.networks[0], self.options.candidates)
        return next((r for r in found if point_digest(r.point) not in self.failed), None)

    def _boldest(self, safe: Ranked | None) -> Ranked | None:
        """The best candidate without reserve: of the enumeration, or mended from one that nearly
        meets the demands and promises much.
        """
        best = self._best(0.0)
        wish = replace(self.wish, reserve=0.0)
        near = self.search.near_misses(wish, self.networks[0], best or safe, _AGAIN)
        for start in near[:_NEAR_MISSES]:
            for step in improved(
                self.forecast, self.bench.params, self.bench.check, wish, start, _STEPS
            ):
                found = step.after
                if wish.excess(found.values) <= 0 and point_digest(found.point) not in self.failed:
                    if best is None or self._gain(best, found) > 0:
                        best = found
                    break
        return best

    def _gain(self, old: Ranked, new: Ranked) -> float:
        """Relative gain of ``new`` over ``old``."""
        return self.wish.sign * (old.value - new.value) / max(abs(old.value), 1e-9)

    def _synthesised(self) -> Ranked | None:
        constraints = [str(aim.constraint) for aim in self.bench.aims]
        point = self.forecast.space.synthesise(self.bench.trials(), constraints)
        if point is None or point_digest(point) in self.failed:
            return None
        return foretold(self.forecast, self.wish, point)

    def _predicted(self, plan: Ranked) -> Ranked | None:
        """``plan`` with what its trial on the lower rungs says; None if they refuse it."""
        rung = self._predicted_rung()
        self._enter("predicted", f"check it on the rung {rung!r}")
        trial = self._trial(plan.point, rung, "best of the enumeration by the models")
        if trial is None:
            return None
        if not self.bench.feasible(trial):
            self._failed(plan.point, trial)
            return None
        return plan

    def _repaired(self, start: Ranked) -> Ranked:
        current = start
        if not self.options.repair:
            return current
        self._enter("repair", "mend the bottleneck while the models foretell a gain")
        steps = improved(self.forecast, self.bench.params, self.bench.check, self.wish, current)
        for step in steps:
            if self._over() or point_digest(step.after.point) in self.failed:
                break
            trial = self._trial(step.after.point, self._predicted_rung(), step.reason)
            if trial is None or not self.bench.feasible(trial):
                if trial is not None:
                    self._failed(step.after.point, trial)
                break
            self.say(f"repair: {step.reason}; {self._told(step.after)}")
            current = step.after
        return current

    def _confirm(self, best: Ranked) -> Trial | None:
        self._enter("confirm", "run the best candidate up to the top rung")
        top = self.bench.rungs[-1]
        trial = self._trial(best.point, top, f"foretold best: {self._told(best)}")
        if trial is None:
            return None
        news = self.forecast.learn(trial)
        if self.bench.confirmed(trial):
            self.say(f"confirm: trial {trial.number}: {self._measured(trial)}")
            if self.lessons is not None and news:
                self.lessons.keep(self.bench, trial, "held")
        else:
            self._failed(best.point, trial)
            if self.lessons is not None:
                self.lessons.keep(self.bench, trial, "failed")
        return trial

    def _settled(self, trial: Trial, plan: Ranked) -> bool:
        """Whether another encrypted run promises nothing."""
        if not self.bench.confirmed(trial):
            return False
        value = self.bench.value(trial)
        best = self._best(1.0) if self.options.global_search else None
        if value is None or best is None or point_digest(best.point) == point_digest(plan.point):
            return True
        # Compare forecasts with forecasts: a single measured time is noisier than their order.
        again = foretold(self.forecast, self.wish, plan.point)
        return again is None or self._gain(again, best) <= _AGAIN

    def _next_network(self, reason: str) -> bool:
        """Go on with other polynomials for the activations; whether there are any."""
        if len(self.networks) < 2 or self.progress.stuck:
            return False
        self.say(f"back: {reason} with {dict(self.networks[0])}; other polynomials")
        self.networks = self.networks[1:]
        return True

    def _report(self) -> SessionResult:
        self._enter("report", "commit the best confirmed trial")
        best = self.bench.best()
        if best is not None:
            self.bench.commit(best.number)
        ending, reason = self._ending(best)
        self.say(f"{ending}: {reason}")
        return SessionResult(ending, best, self.bench.spent, reason)

    def _ending(self, best: Trial | None) -> tuple[Ending, str]:
        if best is not None:
            return "reached", f"trial {best.number} meets every demand: {self._measured(best)}"
        if self.bench.cancelled():
            return "stopped", "stopped before a result"
        if self.stop:
            return "budget", self.stop
        if self.failed:
            last = list(self.failed.values())[-1]
            return "stuck", f"no repair is left; the last candidate failed: {last}"
        near = self.search.closest(self.wish, self.networks[0]) if self.networks else None
        text = "no legal configuration meets the demands, as far as the models can tell"
        return "infeasible", text + (f"; the closest: {self._told(near)}" if near else "")

    def _trial(self, point: Point, rung: str, reason: str) -> Trial | None:
        try:
            return self.bench.evaluate(point, rung, reason)
        except ToolError as error:
            if "limit" in str(error):
                self.stop = str(error)
            else:
                self.failed[point_digest(point)] = str(error)
            self.say(f"refused: {error}")
            return None

    def _failed(self, point: Point, trial: Trial) -> None:
        misses = [f"{text} missed by {by:.3g}" for text, by in self.bench.misses(trial).items()
                  if by > 0]  # fmt: skip
        error = trial.outcome.error.partition("\n")[0][:200] if trial.outcome else ""
        text = "; ".join(misses) or error or "a gate refused it"
        self.failed[point_digest(point)] = f"trial {trial.number}: {text}"
        self.say(f"failed: trial {trial.number}: {text}")
        if error.startswith("overflow"):
            self.forecast.more_headroom += 1
            self.search.forget()
        approximate = any("approximation" in m or "accuracy" in m for m in misses)
        if approximate and self._next_network("the polynomials are too coarse"):
            return

    def _enter(self, phase: Phase, reason: str) -> None:
        if self.progress.phase != phase:
            self.progress.enter(phase, reason)

    def _back(self, phase: Phase, reason: str) -> bool:
        moved = self.progress.back(phase, reason)
        self.say(f"back to {phase}: {reason}" if moved else "stuck: went back too often")
        return moved

    def _over(self) -> bool:
        if self.bench.cancelled() or self.stop or self.progress.stuck:
            return True
        self.stop = self.bench.exhausted() or ""
        return bool(self.stop)

    def _has_time(self) -> bool:
        """Whether layouts may still be found: half of the time is for what comes after."""
        return self.bench.spent.seconds < self.bench.limits.seconds / 2

    def _predicted_rung(self) -> str:
        """The highest rung below the first dear one."""
        dear = [self.bench.rungs.index(r) for r in self.bench.dear_rungs]
        known = [i for i, r in enumerate(self.bench.study.spec.ladder)
                 if any(e.name == "ckks_predicted" for e in r.evaluators)]  # fmt: skip
        index = known[-1] if known else min(dear, default=len(self.bench.rungs)) - 1
        return self.bench.rungs[max(0, index)]

    def _told(self, ranked: Ranked) -> str:
        """A forecast in one line."""
        shown = {self.wish.metric.name: ranked.value}
        for aim in self.bench.aims:
            value = ranked.values.get(aim.metric.name)
            if value is not None:
                shown[aim.metric.name] = value
        numbers = ", ".join(
            f"{name} {value:.4g} {self.bench.metrics[name].unit}" for name, value in shown.items()
        )
        return f"{numbers} foretold by {_brief(ranked.point)}"

    def _measured(self, trial: Trial) -> str:
        names = [self.wish.metric.name, *(aim.metric.name for aim in self.bench.aims)]
        found = [trial.measurement(name) for name in dict.fromkeys(names)]
        return ", ".join(f"{m.metric} {m.value:.4g} {m.unit} ({m.evidence})" for m in found if m)


def _brief(point: Mapping[str, Any], limit: int = 160) -> str:
    text = canonical(point)
    return text if len(text) <= limit else text[: limit - 3] + "..."
