"""Proposals for vector parameters: stratified at first, then bred from the best trials.

A vector is never split into parameters of a sampler. It starts at all densities alike, since
drawing every entry with probability one half would only ever visit half-dense vectors. Later it
is either built anew from the worth of its entries (a ridge model of the told trials), filled up to
the known limits, or varied: crossover and mutation of vectors of the best feasible trials.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from search.api.domain import (
    Choice,
    Param,
    Point,
    Scalar,
    Value,
    Vector,
    is_active,
)
from search.api.searching import Problem
from search.searchers.history import History, Member
from search.searchers.limits import KnownLimits, Room, fill
from search.searchers.linear import EntryWorth
from search.searchers.moves import domain_values, from_unit, mutate_vector

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

MOST_OPTIONS = 16
"""Entries with more options than this are varied, not modelled."""
MOST_FEATURES = 8192
"""Longest one-hot code a model is made for (its fit is quadratic in the smaller side)."""

GREEDY = 0.9
"""Share of single-objective proposals filled to the limit even with what seems to harm."""


def stratified(domain: Vector, stratum: float, rng: random.Random) -> tuple[Scalar, ...]:
    """A vector whose density is drawn first, so that sparse and dense ones are equally likely.

    Args:
        domain: of the vector.
        stratum: share of entries in [0, 1] that take one option (its choice is random; for two
            options always the last, so that the share is the density), or for ordered elements
            with many values the mean on their unit scale.
        rng: stream.
    """
    element = domain.element
    if isinstance(element, Choice) or element.size <= 2:
        options: list[Value] = list(domain_values(element))
        favoured = options[-1] if len(options) <= 2 else rng.choice(options)
        others = [o for o in options if o is not favoured] or [favoured]
        drawn = [
            favoured if rng.random() < stratum else rng.choice(others) for _ in range(domain.length)
        ]
        return tuple(o for o in drawn if not isinstance(o, tuple))
    return tuple(from_unit(element, rng.gauss(stratum, 0.2)) for _ in range(domain.length))


def stratum_of(number: int) -> float:
    """Evenly spread numbers in (0, 1), one per trial: the van der Corput sequence in base 2."""
    result, part = 0.0, 0.5
    index = number + 1
    while index:
        result += part * (index & 1)
        index >>= 1
        part /= 2
    return result


class VectorBreeder:
    """Proposes one vector parameter from the history.

    Args:
        problem: the study's problem.
        param: a parameter whose domain is a Vector.
        build: share of proposals built from the model rather than varied.
    """

    def __init__(self, problem: Problem, param: Param, build: float = 0.8) -> None:
        if not isinstance(param.domain, Vector):
            raise TypeError(f"{param.name}: expected a vector (got {param.domain.describe()})")
        self._problem, self._name, self._domain = problem, param.name, param.domain
        self._build = build
        self._options: tuple[Scalar, ...] = ()
        self._worth: EntryWorth | None = None
        self._limits: KnownLimits | None = None
        element = param.domain.element
        if element.size <= MOST_OPTIONS and element.size * param.domain.length <= MOST_FEATURES:
            values = list(domain_values(element))
            self._options = tuple(v for v in values if not isinstance(v, tuple))
            self._worth = EntryWorth(param.domain.length, len(self._options))
            self._limits = KnownLimits(problem, param.name, param.domain, self._options)
        self._uses: list[tuple[float, float]] = []
        self._index = {(type(o), o): i for i, o in enumerate(self._options)}

    def learn(self, member: Member) -> None:
        """Take the trial into the model, if it has values and this vector."""
        value = member.point.get(self._name)
        if self._worth is not None and member.losses is not None and isinstance(value, tuple):
            excess = [member.excess.get(name, 0.0) for name in self._problem.constraints]
            entries = self._encode(value)
            self._worth.add(entries, [*member.losses, *excess])
            room = self._room(member.point) if len(member.losses) == 1 else None
            if room is not None:
                use = float(room.weight[np.arange(len(entries)), entries].sum())
                self._uses.append((use, member.losses[0]))

    def first(self, point: Point, number: int, rng: random.Random) -> Value:
        """A density-stratified vector; filled up to the known limits if there is one objective.

        With several objectives the sparse end of a front is as interesting as the dense one.
        """
        value = stratified(self._domain, stratum_of(number), rng)
        room = self._room(point)
        if room is None or len(self._problem.goals) > 1:
            return value
        gain = self._random_gain(room, rng)
        return self._decode(fill(self._encode(value), gain, room, greedy=True))

    def breed(self, point: Point, parents: Sequence[Member], rng: random.Random) -> Value:
        """A vector made from the model, or from those of ``parents`` (best first).

        Args:
            point: values of the other parameters.
            parents: one or two members that have this vector.
            rng: stream.
        """
        mine = [m.point[self._name] for m in parents if self._name in m.point]
        vectors = [v for v in mine if isinstance(v, tuple)]
        worth = self._worth
        if worth is None or worth.count < 4 or not vectors:
            return (
                self._vary(vectors, rng) if vectors else self.first(point, rng.randrange(64), rng)
            )
        room = self._learnt_room(self._room(point))
        weights = self._weights(parents, rng)
        if rng.random() < self._build:
            gain = worth.draw(weights, 0.7 * rng.random(), rng)
            if room is None:
                return self._decode(gain.argmax(axis=1))
            start = room.weight.argmin(axis=1)
            return self._decode(fill(start, gain, room, self._greedy(rng)))
        varied = self._vary(vectors, rng)
        if room is None or not isinstance(varied, tuple):
            return varied
        gain = worth.draw(weights, 0.3, rng)
        return self._decode(fill(self._encode(varied), gain, room, self._greedy(rng)))

    def _greedy(self, rng: random.Random) -> bool:
        """Whether to fill to the limit regardless: mostly, unless using more went with losing."""
        if len(self._problem.goals) > 1:
            return False
        uses = np.array(self._uses[-200:])
        harm = 0.0
        if len(uses) > 10 and uses.std(axis=0).min() > 0:
            harm = float(np.corrcoef(uses.T)[0, 1])
        return rng.random() < (GREEDY if harm < 0.3 else 1.0 - GREEDY)

    def _vary(self, vectors: Sequence[tuple[Scalar, ...]], rng: random.Random) -> Value:
        value: tuple[Scalar, ...] = vectors[0]
        if len(vectors) > 1 and rng.random() < 0.5:
            value = tuple(a if rng.random() < 0.7 else b for a, b in zip(*vectors[:2], strict=True))
        flips = 1
        while rng.random() < 0.45 and flips < self._domain.length:
            flips += 1
        return mutate_vector(self._domain, value, rng, flips)

    def _weights(self, parents: Sequence[Member], rng: random.Random) -> Floats:
        """Random weights of the objectives; constraints weigh in while parents violate them."""
        objectives = [rng.expovariate(1.0) for _ in self._problem.goals]
        total = sum(objectives)
        violated = [
            float(any(m.excess.get(name, 0.0) > 0 for m in parents))
            for name in self._problem.constraints
        ]
        return np.array([*(o / total for o in objectives), *violated])

    def _room(self, point: Point) -> Room | None:
        return self._limits.room(point) if self._limits is not None else None

    def _learnt_room(self, known: Room | None) -> Room | None:
        """The known room, narrowed by what the model says of the measured constraints."""
        usage = [] if known is None else [known.usage]
        total = [] if known is None else [known.total]
        for i in range(len(self._problem.constraints)):
            found = self._worth.usage(len(self._problem.goals) + i) if self._worth else None
            if found is not None and found[0].max() > 0:
                usage.append(found[0][None])
                total.append(np.array([-found[1]]))  # an excess is feasible up to 0
        return Room(np.concatenate(usage), np.concatenate(total)) if usage else None

    def _random_gain(self, room: Room, rng: random.Random) -> Floats:
        """Random benefits of whatever uses something: a limit is there since using more helps."""
        noise = np.random.Generator(np.random.PCG64(rng.getrandbits(64)))
        drawn = noise.random(room.weight.shape)
        return np.asarray(np.where(room.weight > 0, drawn, 0.0), dtype=np.float64)

    def _encode(self, value: tuple[Scalar, ...]) -> Ints:
        return np.array([self._index[type(o), o] for o in value], dtype=np.int64)

    def _decode(self, entries: Ints) -> tuple[Scalar, ...]:
        return tuple(self._options[i] for i in entries)


class VectorProposals:
    """All vector parameters of a problem together, over one history.

    Args:
        problem: the study's problem.
        history: what was told; the owner tells it.
        initial: number of trials with values before breeding starts.
        build: share of proposals built from the model.
    """

    def __init__(
        self, problem: Problem, history: History, initial: int = 16, build: float = 0.8
    ) -> None:
        self._problem, self._history, self._initial = problem, history, initial
        self._breeders = {
            p.name: VectorBreeder(problem, p, build)
            for p in problem.params
            if isinstance(p.domain, Vector)
        }

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the vector parameters, in order."""
        return tuple(self._breeders)

    def learn(self, member: Member | None) -> None:
        """Take what the history made of an ended trial."""
        if member is not None:
            for breeder in self._breeders.values():
                breeder.learn(member)

    @property
    def warm(self) -> bool:
        """Whether enough trials have values to breed from."""
        return sum(m.losses is not None for m in self._history.population) > 0 and (
            len(self._history.members) >= self._initial
        )

    def parents(self, rng: random.Random) -> list[Member]:
        """Two members of the population by binary tournament, the better first."""
        population = self._history.population
        picks = [min(rng.randrange(len(population)), rng.randrange(len(population))) for _ in "ab"]
        return [population[i] for i in sorted(picks)]

    def propose(
        self, scalars: Point, number: int, parents: Sequence[Member], rng: random.Random
    ) -> Point:
        """``scalars`` with every active vector added, keys in the order of the parameters.

        Args:
            scalars: values of the active scalar parameters.
            number: trial number (picks the stratum of a first vector).
            parents: members to breed from; empty for stratified vectors.
            rng: stream.
        """
        point: dict[str, Value] = {}
        for param in self._problem.params:
            if not is_active(param, {**scalars, **point}):
                continue
            breeder = self._breeders.get(param.name)
            if breeder is None:
                if param.name in scalars:
                    point[param.name] = scalars[param.name]
            elif parents:
                point[param.name] = breeder.breed({**scalars, **point}, parents, rng)
            else:
                point[param.name] = breeder.first({**scalars, **point}, number, rng)
        return point
