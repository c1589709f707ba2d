"""One number per trial for searchers that need one: a chain that anneals, a policy that learns.

Several objectives become one by weights that differ from trial to trial: a function of the study's
seed and the trial's number alone. So trials look along different directions, and together they
cover a front instead of one compromise. Losses enter by their rank among the feasible trials told,
or in units of their spread; nobody has to say how large a good number is.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from search.api.searching import Problem
from search.searchers.history import History, Member
from search.searchers.moves import stream

Floats = npt.NDArray[np.float64]

MILD, HARSH = -0.1, -1.0
"""Reward of the least and of the most infeasible trial."""

_AUGMENT = 0.05


def weights_of(problem: Problem, number: int) -> Floats:
    """Weights of the objectives in trial ``number``, uniform on the simplex, shape ``[goals]``.

    They sum to 1; with one objective the weight is 1.
    """
    rng = stream(problem.seed, number, 0, "weights")
    drawn = np.array([rng.expovariate(1.0) for _ in problem.goals])
    return np.asarray(drawn / drawn.sum(), dtype=np.float64)


def context_of(problem: Problem, number: int) -> Floats:
    """The weights of trial ``number`` as an input of a policy, centred and of about unit size.

    Shape ``[goals]``; empty with one objective, whose weight says nothing.
    """
    goals = len(problem.goals)
    if goals == 1:
        return np.zeros(0)
    return np.asarray(4.0 * (weights_of(problem, number) - 1.0 / goals), dtype=np.float64)


def ranks(values: Floats) -> Floats:
    """Share of the other rows that are smaller, per column; equals count half. In [0, 1].

    Args:
        values: shape ``[n, m]``. A single row gets 0.5.
    """
    n = len(values)
    if n < 2:
        return np.full(values.shape, 0.5)
    columns = []
    for column in values.T:
        ordered = np.sort(column)
        below = np.searchsorted(ordered, column, side="left")
        upto = np.searchsorted(ordered, column, side="right")
        columns.append((below + upto - 1) / 2 / (n - 1))
    return np.stack(columns, axis=1)


class Scoring:
    """Rewards and spreads of the trials that a history holds.

    Args:
        problem: gives seed and objectives.
        history: what was told.
    """

    def __init__(self, problem: Problem, history: History) -> None:
        self._problem, self._history = problem, history

    def rewards(self) -> Floats:
        """Reward of every member of the history, in order, on the scale of today; shape ``[n]``.

        A feasible trial has one in [0, 1]: 1 minus its loss's rank among the feasible trials; with
        several objectives 1 minus the augmented Chebyshev distance of its ranks from the best
        ones, under the trial's own weights. An infeasible or gated trial has one in [-1, -0.1],
        graded by the rank of its excess among them: the search is told how far it is from
        feasible, where a clipped penalty would say the same of all.

        Source: Knowles, ParEGO, IEEE Trans. Evolutionary Computation 10(1), 2006 (augmented
            Chebyshev function under weights that change from step to step, constant 0.05).
        """
        members = self._history.members
        result = np.zeros(len(members))
        good = [i for i, m in enumerate(members) if m.feasible]
        bad = [i for i, m in enumerate(members) if not m.feasible]
        if good:
            losses = np.array([members[i].losses for i in good], dtype=np.float64)
            result[good] = 1.0 - self._distance(ranks(losses), [members[i].number for i in good])
        if bad:
            excess = np.array([[self._history.violation(members[i])] for i in bad])
            result[bad] = MILD + (HARSH - MILD) * ranks(excess)[:, 0]
        return result

    def spread(self) -> Floats:
        """Interquartile range of each objective over the feasible trials, shape ``[goals]``.

        The whole range where half of the values are equal; 1 where all are.
        """
        losses = [m.losses for m in self._history.members if m.feasible]
        if len(losses) < 2:
            return np.ones(len(self._problem.goals))
        values = np.array(losses, dtype=np.float64)
        low, high = np.percentile(values, [25, 75], axis=0)
        whole = np.ptp(values, axis=0)
        found = np.where(high > low, high - low, np.where(whole > 0, whole, 1.0))
        return np.asarray(found, dtype=np.float64)

    def better(self, a: Member, b: Member) -> bool:
        """Whether ``a`` beats ``b`` on constraints alone: feasible, or less infeasible."""
        if a.feasible or b.feasible:
            return a.feasible and not b.feasible
        return self._history.violation(a) < self._history.violation(b)

    def _distance(self, rank: Floats, numbers: list[int]) -> Floats:
        if rank.shape[1] == 1:
            return rank[:, 0]
        weights = np.stack([weights_of(self._problem, n) for n in numbers])
        weighed = rank * weights / weights.max(axis=1, keepdims=True)
        most = 1.0 + _AUGMENT * (weights / weights.max(axis=1, keepdims=True)).sum(axis=1)
        far = (weighed.max(axis=1) + _AUGMENT * weighed.sum(axis=1)) / most
        return np.asarray(far, dtype=np.float64)
