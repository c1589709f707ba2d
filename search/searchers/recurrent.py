"""A recurrent policy in numpy: chooses one option after another, with gradients written by hand.

An LSTM reads the embedding of the option chosen last and weighs the options of the next decision.
Options of all decisions are numbered through, so that one table holds all embeddings and one all
output weights; a decision sees its own rows of the latter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from search.searchers.networks import Floats, generator, uniform


@dataclass(frozen=True)
class Decision:
    """One choice of an episode.

    Args:
        first: number of the first option among those of all decisions.
        count: how many options there are.
        chosen: which one was taken, from 0.
    """

    first: int
    count: int
    chosen: int


@dataclass(frozen=True)
class Memory:
    """What the cell carries from decision to decision: output and state, shape ``[cells]``."""

    output: Floats
    state: Floats


@dataclass(frozen=True)
class _Step:
    inputs: Floats
    row: int  # of the embedding
    before: Memory
    gates: Floats
    after: Memory


class RecurrentPolicy:
    """LSTM, embedding and output table.

    Args:
        options: number of options of all decisions together.
        context: length of a vector given with every input (weights of objectives), 0 for none.
        cells: width of the LSTM.
        embedding: width of the embedding.
        seed: of the initial weights.

    Source: Hochreiter and Schmidhuber, Long Short-Term Memory, Neural Computation 9(8), 1997;
        with forget gates: Gers, Schmidhuber, Cummins, Neural Computation 12(10), 2000.
    """

    def __init__(self, options: int, context: int, cells: int, embedding: int, seed: int) -> None:
        rng = generator(seed)
        self._cells, self._context = cells, context
        self._table = uniform(rng, (options + 1, embedding), 0.1)  # row 0: nothing chosen yet
        bound = 1.0 / np.sqrt(cells)
        self._into = uniform(rng, (embedding + context + cells, 4 * cells), bound)
        self._bias = np.zeros(4 * cells)
        self._bias[cells : 2 * cells] = 1.0  # remember, at first
        self._out = uniform(rng, (options, cells), 0.1)
        self._level = np.zeros(options)

    @property
    def params(self) -> list[Floats]:
        """All arrays, in a fixed order."""
        return [self._table, self._into, self._bias, self._out, self._level]

    def begin(self) -> Memory:
        """The cell's memory before the first decision."""
        return Memory(np.zeros(self._cells), np.zeros(self._cells))

    def read(self, memory: Memory, last: int, context: Floats) -> Memory:
        """The memory after reading the option chosen last (its number), -1 at the start."""
        return self._read(memory, last + 1, context).after

    def probabilities(self, memory: Memory, first: int, count: int) -> Floats:
        """Probability of each option of a decision, shape ``[count]``."""
        rows = slice(first, first + count)
        logits = self._out[rows] @ memory.output + self._level[rows]
        weights = np.exp(logits - logits.max())
        return np.asarray(weights / weights.sum(), dtype=np.float64)

    def loss(
        self, episode: Sequence[Decision], context: Floats, advantage: float, entropy: float
    ) -> float:
        """What an update makes smaller: -(advantage * log-likelihood + entropy * entropies)."""
        total = 0.0
        memory, last = self.begin(), -1
        for decision in episode:
            memory = self.read(memory, last, context)
            p = self.probabilities(memory, decision.first, decision.count)
            total -= advantage * np.log(p[decision.chosen]) - entropy * float(p @ np.log(p))
            last = decision.first + decision.chosen
        return total

    def gradients(
        self, episode: Sequence[Decision], context: Floats, advantage: float, entropy: float
    ) -> list[Floats]:
        """Gradient of :meth:`loss` by every array of ``params``: back-propagation through time."""
        steps: list[_Step] = []
        slopes: list[Floats] = []
        memory, last = self.begin(), -1
        for decision in episode:
            steps.append(self._read(memory, last + 1, context))
            memory, last = steps[-1].after, decision.first + decision.chosen
            p = self.probabilities(memory, decision.first, decision.count)
            log = np.log(np.maximum(p, 1e-300))
            slope = advantage * p + entropy * p * (log - p @ log)
            slope[decision.chosen] -= advantage
            slopes.append(slope)
        return self._back(episode, steps, slopes)

    def _read(self, before: Memory, row: int, context: Floats) -> _Step:
        inputs = np.concatenate([self._table[row], context, before.output])
        raw = inputs @ self._into + self._bias
        n = self._cells
        gates = np.empty_like(raw)
        gates[: 3 * n] = 0.5 * (1.0 + np.tanh(0.5 * raw[: 3 * n]))  # in, forget, out
        gates[3 * n :] = np.tanh(raw[3 * n :])
        state = gates[n : 2 * n] * before.state + gates[:n] * gates[3 * n :]
        after = Memory(gates[2 * n : 3 * n] * np.tanh(state), state)
        return _Step(inputs, row, before, gates, after)

    def _back(
        self, episode: Sequence[Decision], steps: Sequence[_Step], slopes: Sequence[Floats]
    ) -> list[Floats]:
        n, wide = self._cells, self._table.shape[1]
        table, into, bias, out, level = (np.zeros_like(p) for p in self.params)
        d_output, d_state = np.zeros(n), np.zeros(n)
        for decision, step, slope in zip(
            reversed(episode), reversed(steps), reversed(slopes), strict=True
        ):
            rows = slice(decision.first, decision.first + decision.count)
            out[rows] += np.outer(slope, step.after.output)
            level[rows] += slope
            d_output = d_output + slope @ self._out[rows]
            squashed = np.tanh(step.after.state)
            enter, forget, leave, fresh = (step.gates[i * n : (i + 1) * n] for i in range(4))
            d_state = d_state + d_output * leave * (1.0 - squashed**2)
            d_raw = np.concatenate(
                [
                    d_state * fresh * enter * (1.0 - enter),
                    d_state * step.before.state * forget * (1.0 - forget),
                    d_output * squashed * leave * (1.0 - leave),
                    d_state * enter * (1.0 - fresh**2),
                ]
            )
            into += np.outer(step.inputs, d_raw)
            bias += d_raw
            d_inputs = self._into @ d_raw
            table[step.row] += d_inputs[:wide]
            d_output = d_inputs[wide + self._context :]
            d_state = d_state * forget
        return [table, into, bias, out, level]
