"""What operations on CKKS ciphertexts cost: times by operation, ring dimension and limbs.

Every time has one form, whatever it was found from: for each ring dimension a quadratic in the
limbs for what switches keys (each limb is a digit, and each digit meets all limbs), a line for the
rest. A shipped table gives the coefficients by formulas in N; a measurement of this host gives them
per measured N.

Units: ms of CPU time of one thread. ``limbs`` are live limbs before the operation, without the
special primes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from evaluators.cost_table import CostTable, find_table
from evaluators.fhe.circuit import Operation
from search.api.errors import ConfigError

if TYPE_CHECKING:
    from evaluators.fhe.circuit import Circuit

TABLES = Path(__file__).parent / "tables"
FAMILY = "ckks"

Place = Literal["server", "client"]
Coefficients = tuple[float, float, float]
"""Of the quadratic, the linear and the constant part; see :func:`features`."""

SWITCHING: tuple[Operation, ...] = ("relinearise", "rotate")
_OPERATIONS: tuple[Operation, ...] = get_args(Operation)
# A number is encoded for all slots, beforehand as weights are.
_ALIKE: Mapping[Operation, Operation] = {
    "multiply_scalar": "multiply_plain",
    "add_scalar": "add_plain",
}
_LOG_NS = tuple(range(10, 18))
# What a shipped table may hold of an operation: name of the coefficient -> factor of N.
_TERMS = ("transforms_quadratic", "transforms", "elements_quadratic", "elements", "ring", "call")


@dataclass(frozen=True)
class OperationTimes:
    """Times of a library's operations on some host.

    Args:
        library: whose operations, such as ``tenseal``.
        origin: where the numbers come from, for people.
        coefficients: operation -> log2 N -> coefficients in ms.
        factor: measured over summed times of a whole run: colder caches, memory, interpreter.
        measured: whether the numbers were measured on this host.
    """

    library: str
    origin: str
    coefficients: Mapping[Operation, Mapping[int, Coefficients]]
    factor: float = 1.0
    measured: bool = False

    def milliseconds(
        self,
        operation: Operation,
        log_n: int | np.ndarray,
        limbs: int | np.ndarray,
        special: int | np.ndarray = 1,
    ) -> np.ndarray:
        """Time of one ``operation``, without ``factor``; arguments broadcast.

        A ring dimension that was not measured is scaled by N log N from the nearest one.

        Raises:
            ConfigError: there is no time for the operation.
        """
        rows = self._rows.get(operation, self._rows.get(_ALIKE.get(operation, operation)))
        if rows is None:
            raise ConfigError(
                f"no time for operation {operation!r} (known: {', '.join(self.coefficients)})",
                source=self.origin,
            )
        log_n, limbs, special = np.broadcast_arrays(log_n, limbs, special)
        if log_n.size and (log_n.min() < 1 or log_n.max() > _LOG_NS[-1]):
            raise ConfigError(f"log_n must be in [1, {_LOG_NS[-1]}] (got {log_n.max()})")
        chosen = rows[log_n.astype(int)]
        parts = np.stack(features(operation, limbs, special), axis=-1)
        return np.asarray(np.maximum((chosen * parts).sum(axis=-1), 0.0))

    @cached_property
    def _rows(self) -> dict[Operation, np.ndarray]:
        """Operation -> coefficients by log2 N, ``[log_n, 3]``."""
        every = range(_LOG_NS[-1] + 1)
        return {
            operation: np.array([_row(known, log_n) for log_n in every])
            for operation, known in self.coefficients.items()
            if known
        }

    def describe(self) -> str:
        """Whose times these are, for people."""
        return f"{self.library}, {self.origin}, x {self.factor:.3g}"


def features(
    operation: Operation, limbs: np.ndarray, special: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What an operation's time is linear in.

    A key switch splits ``limbs`` into digits of ``special`` limbs, each of which is multiplied by a
    key of ``limbs + special`` limbs.

    Source: Han and Ki, "Better bootstrapping for approximate homomorphic encryption" (CT-RSA 2020),
        section 3 (hybrid key switching); with one special prime that of SEAL.
    """
    limbs = np.asarray(limbs, dtype=float)
    if operation in SWITCHING:
        all_limbs = limbs + special
        return np.ceil(limbs / special) * all_limbs, all_limbs, np.ones_like(limbs)
    return limbs * limbs, limbs, np.ones_like(limbs)


@dataclass(frozen=True)
class StageCost:
    """Time of one stage at one place, in ms."""

    node: str
    kind: str
    place: Place
    milliseconds: float


@dataclass(frozen=True)
class Latency:
    """Time of one inference.

    Args:
        stages: in order; the client's encryption and decryption among them.
    """

    stages: tuple[StageCost, ...]

    @property
    def server(self) -> float:
        """Time on the server in ms."""
        return sum(s.milliseconds for s in self.stages if s.place == "server")

    @property
    def client(self) -> float:
        """Time at the client in ms: encoding, encryption, decryption, decoding."""
        return sum(s.milliseconds for s in self.stages if s.place == "client")

    @property
    def total(self) -> float:
        """Time in ms from plain input to plain output, without sending."""
        return self.server + self.client


def latency(circuit: Circuit, log_n: int, times: OperationTimes, special: int = 1) -> Latency:
    """Predicted time of ``circuit``, by stage and place, ``times.factor`` included.

    Raises:
        ConfigError: an operation has no time.
    """
    template = Template.of(circuit)
    found = template.costs(np.array([log_n]), times, special=np.array([special]))[0]
    return Latency(
        tuple(
            StageCost(node, kind, place, float(found[index == template.groups].sum()))
            for index, (node, kind, place) in enumerate(template.names)
        )
    )


@dataclass(frozen=True)
class Template:
    """Operation counts of one circuit as arrays, to price many parameter sets at once.

    Args:
        names: (node, kind, place) of each group.
        operations, limbs, counts, groups: ``[entries]`` each.
    """

    names: tuple[tuple[str, str, Place], ...]
    operations: tuple[Operation, ...]
    limbs: np.ndarray
    counts: np.ndarray
    groups: np.ndarray

    @classmethod
    def of(cls, circuit: Circuit) -> Template:
        """The counts of ``circuit``."""
        names: dict[tuple[str, str, Place], int] = {}
        rows = []
        for stage in circuit.stages:
            for count in stage.counts:
                group = names.setdefault((stage.node, stage.kind, count.place), len(names))
                rows.append((count.operation, count.limbs, count.count, group))
        return cls(
            tuple(names),
            tuple(row[0] for row in rows),
            np.array([row[1] for row in rows], dtype=float),
            np.array([row[2] for row in rows], dtype=float),
            np.array([row[3] for row in rows], dtype=int),
        )

    def costs(
        self,
        log_n: np.ndarray,
        times: OperationTimes,
        *,
        special: np.ndarray | int = 1,
        extra_limbs: np.ndarray | int = 0,
    ) -> np.ndarray:
        """Time of each entry under each parameter set, ``[sets, entries]``, in ms."""
        log_n, special, extra = np.broadcast_arrays(
            np.atleast_1d(log_n), np.atleast_1d(special), np.atleast_1d(extra_limbs)
        )
        result = np.empty((log_n.size, len(self.operations)))
        for operation in dict.fromkeys(self.operations):
            own = np.array([o == operation for o in self.operations])
            limbs = self.limbs[own][None, :] + extra[:, None]
            result[:, own] = (
                times.milliseconds(operation, log_n[:, None], limbs, special[:, None])
                * self.counts[own]
            )
        return result * times.factor

    def latencies(
        self,
        log_n: np.ndarray,
        times: OperationTimes,
        *,
        special: np.ndarray | int = 1,
        extra_limbs: np.ndarray | int = 0,
    ) -> tuple[np.ndarray, np.ndarray]:
        """(server, client) time of each parameter set, ``[sets]`` each, in ms.

        Args:
            log_n: ``[sets]``; all with layouts of as many operations as this circuit.
            times: of the library and the host.
            special: ``[sets]``, special primes.
            extra_limbs: ``[sets]``, limbs that every ciphertext has more than in this circuit.
        """
        costs = self.costs(log_n, times, special=special, extra_limbs=extra_limbs)
        at_server = np.array([place == "server" for _, _, place in self.names])[self.groups]
        return costs[:, at_server].sum(axis=1), costs[:, ~at_server].sum(axis=1)


def shipped_times(name: str = "ckks_seal") -> OperationTimes:
    """The times of a shipped table, or of a ``.toml`` of one's own.

    Raises:
        ConfigError: there is no such table, or it has another form.
    """
    table = CostTable.load(find_table(name, TABLES))
    if table.family != FAMILY:
        raise ConfigError(
            f"not a table of CKKS operations (got family {table.family!r}; expected {FAMILY!r})",
            path="family",
            source=table.path,
        )
    units = {f"{o}_{term}": "ms" for o in _OPERATIONS for term in _TERMS}
    table.require({n: unit for n, unit in units.items() if n in table.constants} | {"factor": "1"})
    rows = {}
    for operation in _OPERATIONS:
        terms = {t: table.value(f"{operation}_{t}", "ms") for t in _TERMS
                 if f"{operation}_{t}" in table.constants}  # fmt: skip
        if terms:
            rows[operation] = {log_n: _formula(terms, log_n) for log_n in _LOG_NS}
    dates = {constant.date for constant in table.constants.values()}
    return OperationTimes(
        table.formulas or table.name,
        f"shipped table {table.name} of {max(dates)}, not of this host",
        rows,
        table.value("factor", "1"),
    )


def fit(
    operation: Operation, samples: Iterable[tuple[int, float]], special: int = 1
) -> Coefficients:
    """Coefficients, none negative, that explain ``(limbs, ms)`` at one ring dimension.

    Only what switches keys has a quadratic part. Relative errors count.
    """
    from scipy.optimize import nnls

    limbs, found = (np.array(v, dtype=float) for v in zip(*samples, strict=True))
    parts = np.stack(features(operation, limbs, np.array(special)), axis=-1)
    if operation not in SWITCHING:
        parts = parts[:, 1:]
    solution, _ = nnls(parts / found[:, None], np.ones_like(found))
    return _three([0.0] * (3 - len(solution)) + list(solution))


def _formula(terms: Mapping[str, float], log_n: int) -> Coefficients:
    """Coefficients at N: transforms cost N log N, work on elements N (in units of 1024)."""
    k = 2.0**log_n / 1024
    work = k * log_n
    return (
        work * terms.get("transforms_quadratic", 0.0) + k * terms.get("elements_quadratic", 0.0),
        work * terms.get("transforms", 0.0) + k * terms.get("elements", 0.0),
        k * terms.get("ring", 0.0) + terms.get("call", 0.0),
    )


def _row(known: Mapping[int, Coefficients], log_n: int) -> Coefficients:
    if log_n in known:
        return known[log_n]
    nearest = min(known, key=lambda other: (abs(other - log_n), other))
    ratio = 2.0 ** (log_n - nearest) * log_n / nearest
    return _three([ratio * value for value in known[nearest]])


def _three(values: Sequence[float]) -> Coefficients:
    a, b, c = (float(value) for value in values)
    return a, b, c
