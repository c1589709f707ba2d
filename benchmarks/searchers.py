"""Compare searchers on keep-masks under a budget, at equal evaluations; one JSON line per run.

The problem: which of ``bits`` operators to keep so that the loss is least and at most 35 % of the
total cost is spent. The loss is the sum of log-normal sensitivities of dropped operators (1 in
all) plus penalties for dropping neighbours (1 in all); costs halve from stage to stage. Generated
with a fixed seed; the optimum is proved by mixed-integer programming.

    python benchmarks/searchers.py --evaluations 200 1000 --instances 3 --seeds 2
    python benchmarks/searchers.py --smoke

Instances 0 to 2 served to choose the constants of ``evolution``; the default ones did not.
``ratio`` is the best feasible loss over the optimum: 1 is perfect, null means nothing feasible.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from search import registry
from search.api.candidate import Violation
from search.api.domain import Choice, Param, Point, Vector, point_digest
from search.api.searching import Problem, Searcher
from search.api.trial import Origin, Outcome, Trial

STAGES, REACH, BUDGET = 5, 3, 0.35


@dataclass(frozen=True)
class Masks:
    """One instance: sensitivities, costs (both sum to 1), pairs [p, 2] and their penalties [p]."""

    sensitivity: np.ndarray
    cost: np.ndarray
    pairs: np.ndarray
    penalty: np.ndarray

    @classmethod
    def generate(cls, bits: int, seed: int) -> Masks:
        """The instance of ``seed``."""
        rng = np.random.default_rng(seed)
        stage = np.arange(bits) * STAGES // bits
        sensitivity = rng.lognormal(0.0, 1.0, bits)
        cost = 2.0**-stage * rng.uniform(0.8, 1.25, bits)
        near = [(i, j) for i in range(bits) for j in range(i + 1, min(bits, i + 1 + REACH))]
        pairs = np.array([(i, j) for i, j in near if stage[i] == stage[j]])
        penalty = rng.lognormal(0.0, 1.0, len(pairs))
        return cls(
            sensitivity / sensitivity.sum(), cost / cost.sum(), pairs, penalty / penalty.sum()
        )

    def loss(self, mask: Sequence[int]) -> float:
        """Between 0 (all kept) and 2 (none)."""
        off = 1.0 - np.asarray(mask)
        lonely = off[self.pairs[:, 0]] * off[self.pairs[:, 1]]
        return float(self.sensitivity @ off + self.penalty @ lonely)

    def optimum(self, seconds: float = 60.0) -> tuple[float, float]:
        """Least loss within the budget, and the proved relative gap of it (0: exact)."""
        from scipy.optimize import Bounds, LinearConstraint, milp
        from scipy.sparse import lil_matrix

        n, p = len(self.cost), len(self.pairs)
        rows = lil_matrix((p + 1, n + p))
        for k, (i, j) in enumerate(self.pairs):
            rows[k, i] = rows[k, j] = rows[k, n + k] = 1
        rows[p, :n] = self.cost
        low, high = np.ones(p + 1), np.full(p + 1, np.inf)
        low[p], high[p] = -np.inf, BUDGET
        found = milp(
            np.concatenate([-self.sensitivity, self.penalty]),
            constraints=LinearConstraint(rows.tocsr(), low, high),
            integrality=np.concatenate([np.ones(n), np.zeros(p)]),
            bounds=Bounds(0, 1),
            options={"time_limit": seconds},
        )
        return float(found.fun + self.sensitivity.sum()), float(found.mip_gap)


def problem_of(masks: Masks, kind: str, trials: int, seed: int) -> Problem:
    """``known``: budget as a known rule with a crude repair; ``measured``: told after the fact;
    ``bits``: measured, and every bit a parameter of its own.
    """
    bits, cost = len(masks.cost), masks.cost.tolist()
    vector = Param("keep", Vector(Choice((0, 1)), bits))
    problem = Problem((vector,), ("min",), trials=trials, seed=seed)
    if kind == "bits":
        single = tuple(Param(f"b{i:04d}", Choice((0, 1))) for i in range(bits))
        return replace(problem, params=single, constraints=("budget",))
    if kind == "measured":
        return replace(problem, constraints=("budget",))

    def used(mask: Sequence[int]) -> float:
        return sum(itertools.compress(cost, mask))

    def check(point: Point) -> tuple[Violation, ...]:
        over = used(point["keep"]) - BUDGET  # type: ignore[arg-type]
        return (Violation("budget", f"{over:.3g} over", over, "1"),) if over > 0 else ()

    def repair(point: Point) -> Point:
        """Drops kept bits in an arbitrary order until the rest fits."""
        mask = list(point["keep"])  # type: ignore[arg-type]
        kept = [i for i, bit in enumerate(mask) if bit]
        random.Random(point_digest(point)).shuffle(kept)
        while used(mask) > BUDGET:
            mask[kept.pop()] = 0
        return {**point, "keep": tuple(mask)}

    return replace(problem, check=check, repair=repair)


def run(masks: Masks, searcher: Searcher, problem: Problem, marks: Sequence[int]) -> Iterator[dict]:
    """Best feasible loss, share of feasible points and CPU-ms per proposal at each mark."""
    best, feasible, spent = None, 0, 0.0
    for number in range(max(marks)):
        start = time.process_time()
        point = searcher.suggest(number, 0)
        if point is None:
            raise SystemExit("the searcher ran out of points")
        searcher.start(number, point)
        spent += time.process_time() - start
        mask = point["keep"] if "keep" in point else [point[p.name] for p in problem.params]
        loss = masks.loss(mask)
        over = float(masks.cost @ np.asarray(mask)) - BUDGET
        if over <= 1e-12:
            feasible += 1
            best = loss if best is None else min(best, loss)
        excess = {"budget": over} if problem.constraints else {}
        outcome = Outcome(number, "complete", excess=excess)
        trial = Trial(number, point, 0, Origin("sampler"), "complete", (loss,), outcome)
        start = time.process_time()
        searcher.finish(trial)
        spent += time.process_time() - start
        if number + 1 in marks:
            share, each = feasible / (number + 1), 1e3 * spent / (number + 1)
            yield {
                "evaluations": number + 1,
                "loss": best,
                "feasible": round(share, 3),
                "cpu_ms": round(each, 2),
            }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--searchers", nargs="+", default=["evolution", "random", "tpe", "nsga2"])
    parser.add_argument("--kinds", nargs="+", default=["known", "measured"])
    parser.add_argument("--evaluations", nargs="+", type=int, default=[200, 1000])
    parser.add_argument("--bits", type=int, default=200)
    parser.add_argument("--instances", type=int, default=3)
    parser.add_argument("--first-instance", type=int, default=100, help="0 to 2: used for tuning")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--smoke", action="store_true", help="one small instance, seconds")
    args = parser.parse_args()
    if args.smoke:
        args.bits, args.instances, args.seeds, args.evaluations = 40, 1, 1, [40]
    for instance in range(args.first_instance, args.first_instance + args.instances):
        masks = Masks.generate(args.bits, instance)
        optimum, gap = masks.optimum()
        for kind, name, seed in itertools.product(args.kinds, args.searchers, range(args.seeds)):
            problem = problem_of(masks, kind, max(args.evaluations), seed)
            cls = registry.load("searcher", name)
            searcher = cls.from_config(cls.Config(), problem)
            for row in run(masks, searcher, problem, args.evaluations):
                ratio = None if row["loss"] is None else round(row["loss"] / optimum, 4)
                head = {"problem": "keep_mask", "bits": args.bits, "instance": instance}
                head |= {"constraint": kind, "searcher": name, "seed": seed}
                tail = {"ratio": ratio, "optimum": round(optimum, 5), "gap": round(gap, 6)}
                print(json.dumps({**head, **row, **tail}), flush=True)


if __name__ == "__main__":
    main()
