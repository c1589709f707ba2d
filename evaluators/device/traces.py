"""Harvested power over time: drawn from Markov chains, or replayed from a file."""

from __future__ import annotations

import csv
import math
import random
import tomllib
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from search.api.errors import ConfigError

_TABLE = Path(__file__).with_name("harvest_traces.toml")


@dataclass(frozen=True)
class Trace:
    """Power that is constant between changes; the last one stays for ever.

    Args:
        starts_s: when each power begins, rising from 0 [s].
        power_w: the powers [W], at least 0.

    Raises:
        ConfigError: times or powers are wrong.
    """

    starts_s: tuple[float, ...]
    power_w: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.starts_s or len(self.starts_s) != len(self.power_w) or self.starts_s[0] != 0.0:
            raise ConfigError("trace: expected as many times as powers, the first time 0")
        if any(not a < b for a, b in zip(self.starts_s, self.starts_s[1:], strict=False)):
            raise ConfigError("trace: times must rise")
        if any(not (math.isfinite(p) and p >= 0) for p in self.power_w):
            raise ConfigError("trace: powers must be finite and at least 0")

    def energy_j(self, start_s: float, end_s: float) -> float:
        """Harvested from ``start_s`` to ``end_s`` [J]."""
        total, index = 0.0, bisect_right(self.starts_s, start_s) - 1
        while start_s < end_s:
            last = index + 1 >= len(self.starts_s)
            until = end_s if last else min(end_s, self.starts_s[index + 1])
            total += self.power_w[index] * (until - start_s)
            start_s, index = until, index + 1
        return total


@dataclass(frozen=True)
class Chain:
    """A Markov chain of harvested powers.

    Args:
        name: for messages.
        power_w: of each state [W].
        dwell_s: mean time in each state [s]; exponentially distributed.
        transitions: row of each state: probabilities of the next one; nothing on the diagonal.

    Raises:
        ConfigError: not 1 to 8 states, lists of different lengths, or no probabilities.
    """

    name: str
    power_w: tuple[float, ...]
    dwell_s: tuple[float, ...]
    transitions: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        n = len(self.power_w)
        if not 1 <= n <= 8 or len(self.dwell_s) != n or len(self.transitions) != n:
            raise ConfigError(f"trace {self.name}: expected 1 to 8 powers, a dwell time and a row "
                              "of transitions for each")  # fmt: skip
        if any(not d > 0 for d in self.dwell_s) or any(not p >= 0 for p in self.power_w):
            raise ConfigError(f"trace {self.name}: dwell times must be above 0, powers at least 0")
        for i, row in enumerate(self.transitions):
            if len(row) != n or min(row) < 0 or (n > 1 and (row[i] or abs(sum(row) - 1) > 1e-9)):
                raise ConfigError(
                    f"trace {self.name}: row {i + 1} of transitions is {list(row)} (expected {n} "
                    "probabilities that add up to 1, with 0 on the diagonal)"
                )

    def draw(self, duration_s: float, seed: int) -> Trace:
        """A trace of at least ``duration_s``; the same for the same seed. Starts in a state drawn
        evenly.
        """
        rng = random.Random(f"{self.name}/{seed}")
        state, time = rng.randrange(len(self.power_w)), 0.0
        starts, powers = [], []
        while time < duration_s:
            starts.append(time)
            powers.append(self.power_w[state])
            time += rng.expovariate(1.0 / self.dwell_s[state])
            if len(self.power_w) == 1:
                break
            state = rng.choices(range(len(self.power_w)), self.transitions[state])[0]
        return Trace(tuple(starts), tuple(powers))


@dataclass(frozen=True)
class Recording:
    """A trace from a file, replayed again and again.

    Args:
        name: for messages.
        starts_s: from 0 on [s].
        power_w: from each of them on [W].
        length_s: when it starts again [s].
    """

    name: str
    starts_s: tuple[float, ...]
    power_w: tuple[float, ...]
    length_s: float

    def draw(self, duration_s: float, seed: int) -> Trace:
        """At least ``duration_s`` of it; each seed starts at another moment, seed 0 at the
        beginning.
        """
        shift = 0.0
        if seed:
            shift = random.Random(f"{self.name}/{seed}").uniform(0.0, self.length_s)
        starts, powers = [0.0], [self.power_w[bisect_right(self.starts_s, shift) - 1]]
        turn = 0
        while turn * self.length_s - shift < duration_s:
            for start, power in zip(self.starts_s, self.power_w, strict=True):
                time = start + turn * self.length_s - shift
                if time > starts[-1]:
                    starts.append(time)
                    powers.append(power)
                elif time == starts[-1]:
                    powers[-1] = power
            turn += 1
        return Trace(tuple(starts), tuple(powers))


def chains() -> tuple[str, ...]:
    """Names of the chains that come along."""
    return tuple(_shipped())


def load_source(name: str) -> Chain | Recording:
    """A chain that comes along, or the recording in a ``.csv`` file of time [s] and power [mW].

    Raises:
        ConfigError: there is no such chain, or the file is wrong; the message says where.
    """
    if name.endswith(".csv"):
        return _recording(Path(name))
    found = _shipped().get(name)
    if found is None:
        raise ConfigError(
            f"unknown trace {name!r} (known: {', '.join(_shipped())}; or a path ending in .csv of "
            "time [s] and power [mW])",
            path="traces",
        )
    return found


@cache
def _shipped() -> Mapping[str, Chain]:
    data = tomllib.loads(_TABLE.read_text(encoding="utf-8"))["traces"]
    return {
        name: Chain(
            name,
            tuple(p / 1e3 for p in entry["power_mw"]),
            tuple(entry["dwell_s"]),
            tuple(tuple(row) for row in entry["transitions"]),
        )
        for name, entry in data.items()
    }


def _recording(path: Path) -> Recording:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = [row for row in csv.reader(file)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"cannot read the trace ({error})", source=str(path)) from error
    rows: list[tuple[float, float]] = []
    for number, line in enumerate(lines, start=1):
        if not line or (number == 1 and not _numeric(line)):
            continue  # blank, or a header
        rows.append(_row(line, f"{path}:{number}", rows))
    if len(rows) < 2:
        raise ConfigError(f"expected at least 2 lines of time and power (got {len(rows)})",
                          source=str(path))  # fmt: skip
    first = rows[0][0]
    starts = tuple(time - first for time, _ in rows)
    # The last power holds as long as the one before it: a file has no end of its own.
    length = starts[-1] + (starts[-1] - starts[-2])
    return Recording(path.stem, starts, tuple(power / 1e3 for _, power in rows), length)


def _row(
    line: Sequence[str], where: str, before: Sequence[tuple[float, float]]
) -> tuple[float, float]:
    if len(line) != 2 or not _numeric(line):
        raise ConfigError(
            f"expected time [s] and power [mW] (got {','.join(line)!r})", source=where
        )
    time, power = float(line[0]), float(line[1])
    if not math.isfinite(time) or not math.isfinite(power) or power < 0:
        raise ConfigError(f"expected finite numbers and no power below 0 (got {time}, {power})",
                          source=where)  # fmt: skip
    if before and time <= before[-1][0]:
        raise ConfigError(f"times must rise (got {time} after {before[-1][0]})", source=where)
    return time, power


def _numeric(line: Sequence[str]) -> bool:
    try:
        [float(entry) for entry in line]
    except ValueError:
        return False
    return True
