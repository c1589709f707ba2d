"""Cost models that are linear in the work: one rate per operator, summed over sites."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from search.api.errors import EvaluationError
from search.api.metric import Metric
from search.api.network import N, Usage, Work


@dataclass(frozen=True)
class Rate:
    """Cost of one operator as a linear form of its work, in the metric's unit.

    Args:
        call: cost per start of the operator (independent of its size).
        element: cost per input element.
        mac: cost per multiply-accumulate.
    """

    call: float = 0.0
    element: float = 0.0
    mac: float = 0.0

    def __add__(self, other: Rate) -> Rate:
        return Rate(self.call + other.call, self.element + other.element, self.mac + other.mac)

    def __mul__(self, factor: float) -> Rate:
        return Rate(self.call * factor, self.element * factor, self.mac * factor)

    def of(self, work: Work[N]) -> N:
        """The cost of ``work``. Amounts may be floats, tensors or arrays."""
        # `call` enters even if it is 0: the result then has the type of the amounts.
        total: Any = self.call * work.calls
        if self.element:
            total = total + self.element * work.elements
        if self.mac:
            total = total + self.mac * work.macs
        return total  # type: ignore[no-any-return]


@dataclass(frozen=True)
class LinearCost:
    """A ``CostModel``: the sum over all work of the operator's rate times the amounts.

    Linear, so that the cost of relaxed work is the expected cost of the hardened network, and at
    one-hot shares it is exactly that of the hardened network.

    Args:
        metric: what the cost is, and its unit.
        rates: operator -> rate.
        table: name of the table the rates come from, for messages.
    """

    metric: Metric
    rates: Mapping[str, Rate]
    table: str

    def cost(self, usage: Usage[N]) -> N:
        """Total cost, in the metric's unit; floats, tensors or arrays in, the same out.

        Raises:
            EvaluationError: an operator has no rate; names the site.
        """
        total: Any = 0.0
        for work in usage:
            total = total + self._rate(work).of(work)
        return total  # type: ignore[no-any-return]

    def breakdown(self, usage: Usage[float]) -> Mapping[str, float]:
        """Cost by site, in the metric's unit; sums to ``cost``."""
        by_site: dict[str, float] = {}
        for work in usage:
            by_site[work.site] = by_site.get(work.site, 0.0) + self._rate(work).of(work)
        return by_site

    def _rate(self, work: Work[Any]) -> Rate:
        try:
            return self.rates[work.operator]
        except KeyError:
            raise EvaluationError(
                no_rate(work.site, work.operator, self.table, self.rates)
            ) from None


def no_rate(site: str, operator: str, table: str, rates: Mapping[str, Rate]) -> str:
    """The message for an operator that a table does not know."""
    near = difflib.get_close_matches(operator, rates, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return (
        f"{site}: operator {operator!r} has no cost in table {table!r} "
        f"(known: {', '.join(sorted(rates))}).{hint}"
    )
