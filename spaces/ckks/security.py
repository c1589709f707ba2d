"""How many bits of modulus a ring dimension allows: the published tables, and what is left.

No back end of this kind checks security as strictly, and most do not check it at all; so nothing
passes here that a table does not cover.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Literal, get_args

from search.api.errors import ConfigError
from spaces.ckks.params import CkksParams

Table = Literal["guidelines_2024", "legacy_2018"]
Bits = Literal[128, 192, 256]
TABLES: tuple[str, ...] = get_args(Table)
LEVELS: tuple[int, ...] = get_args(Bits)


@dataclass(frozen=True)
class Security:
    """What is demanded of a configuration.

    Args:
        bits: security against classical attacks: 128, 192 or 256.
        table: ``guidelines_2024``, or ``legacy_2018``, the less strict one that SEAL enforces.
        allow_insecure: True lets configurations pass that the table forbids or does not cover. For
            experiments on made-up data only.

    Raises:
        ConfigError: an unknown table or a level that the tables do not have.
    """

    bits: int = 128
    table: str = "guidelines_2024"
    allow_insecure: bool = False

    def __post_init__(self) -> None:
        if self.table not in TABLES:
            known = ", ".join(TABLES)
            raise ConfigError(
                f"unknown table {self.table!r} (known: {known})", path="security.table"
            )
        if self.bits not in LEVELS:
            raise ConfigError(
                f"expected one of {', '.join(map(str, LEVELS))} (got {self.bits!r}). Less than 128 "
                "bits is not in the tables; say `allow_insecure: true` if you mean it",
                path="security.bits",
            )

    def limit(self, log_n: int, secret_weight: int | None = None) -> int | None:
        """Most bits of log2(QP) at ring dimension ``2^log_n``; None where the table has no row.

        A conjugate-invariant ring of degree ``2^log_n`` counts as an ordinary one of that degree.

        Args:
            log_n: log2 of the ring dimension.
            secret_weight: non-zero entries of the secret; None or at least N / 2 is dense.
        """
        rows = _rows(self.table)
        column = LEVELS.index(self.bits)
        dense = rows.dense.get(log_n)
        if not is_sparse(log_n, secret_weight):
            return dense[column] or None if dense is not None else None
        if secret_weight is None or dense is None:
            return None
        found = rows.at_weight(log_n, secret_weight, column)
        return None if found is None else min(found, dense[column])

    def slack(self, params: CkksParams) -> float | None:
        """Bits of modulus still allowed; below 0 is insecure; None where no row covers it."""
        limit = self.limit(params.log_n, params.secret_weight)
        return None if limit is None else float(limit - params.chain.log_qp)

    def smallest_log_n(self, log_qp: int, secret_weight: int | None = None) -> int | None:
        """log2 of the smallest ring dimension that allows ``log_qp`` bits; None if none does."""
        for log_n in sorted(_rows(self.table).dense):
            limit = self.limit(log_n, secret_weight)
            if limit is not None and log_qp <= limit:
                return log_n
        return None

    @property
    def source(self) -> str:
        """Where the limits come from."""
        return _rows(self.table).source


def is_sparse(log_n: int, secret_weight: int | None) -> bool:
    """Whether a secret counts as sparse; one with half of its entries or more is judged dense."""
    return secret_weight is not None and 2 * secret_weight < 2**log_n


@dataclass(frozen=True)
class _Rows:
    """One table: log2 N -> limits; for sparse secrets weight -> log2 N -> limits."""

    source: str
    dense: Mapping[int, tuple[int, ...]]
    sparse: Mapping[int, Mapping[int, tuple[int, ...]]]

    def at_weight(self, log_n: int, weight: int, column: int) -> int | None:
        """The limit at ``weight``: interpolated, rounded down; None below the lightest row."""
        known = sorted(w for w, rows in self.sparse.items() if log_n in rows)
        if not known or weight < known[0]:
            return None
        below = max(w for w in known if w <= weight)
        above = min((w for w in known if w >= weight), default=below)
        low, high = self.sparse[below][log_n][column], self.sparse[above][log_n][column]
        if above == below:
            return low
        return low + (high - low) * (weight - below) // (above - below)


@cache
def _rows(table: str) -> _Rows:
    text = files("spaces.ckks").joinpath("security.toml").read_text(encoding="utf-8")
    data = tomllib.loads(text)[table]
    sparse = {
        int(weight): _by_log_n(rows)
        for weight, rows in data.get("sparse", {}).items()
        if weight != "source"
    }
    return _Rows(data["source"], _by_log_n(data["dense"]), MappingProxyType(sparse))


def _by_log_n(rows: Mapping[str, list[int]]) -> Mapping[int, tuple[int, ...]]:
    return MappingProxyType({int(log_n): tuple(limits) for log_n, limits in rows.items()})
