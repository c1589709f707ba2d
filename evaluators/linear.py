"""Cost models that are linear in the work: one rate per operator, summed over sites."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
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
        output: cost per output element.
        weight: cost per weight entry, at each start.
    """

    call: float = 0.0
    element: float = 0.0
    mac: float = 0.0
    output: float = 0.0
    weight: float = 0.0

    def __add__(self, other: Rate) -> Rate:
        return Rate(
            self.call + other.call,
            self.element + other.element,
            self.mac + other.mac,
            self.output + other.output,
            self.weight + other.weight,
        )

    def __mul__(self, factor: float) -> Rate:
        return Rate(
            self.call * factor,
            self.element * factor,
            self.mac * factor,
            self.output * factor,
            self.weight * factor,
        )

    def of(self, work: Work[N]) -> N:
        """The cost of ``work``. Amounts may be floats, tensors or arrays."""
        # `call` enters even if it is 0: the result then has the type of the amounts.
        # The number of weights is no amount: a relaxed layer reads them `calls` times.
        total: Any = (self.call + self.weight * work.weights) * work.calls
        if self.element:
            total = total + self.element * work.elements
        if self.mac:
            total = total + self.mac * work.macs
        if self.output:
            total = total + self.output * work.outputs
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
        sited: (site, operator) -> rate, where the shape of a site matters beyond its amounts
            (the window of a max pool, the channels of a convolution).
        narrow: (operator, bits) -> rate of a comparison in a ring of fewer bits
            (``Work.bits``). Operators that are not in it do not depend on the width.
        advice: operator -> a sentence that follows the message about a missing rate.
    """

    metric: Metric
    rates: Mapping[str, Rate]
    table: str
    sited: Mapping[tuple[str, str], Rate] = field(default_factory=dict)
    narrow: Mapping[tuple[str, int], Rate] = field(default_factory=dict)
    advice: Callable[[str], str] | None = None

    def cost(self, usage: Usage[N]) -> N:
        """Total cost, in the metric's unit; floats, tensors or arrays in, the same out.

        Raises:
            EvaluationError: an operator has no rate, or a width has none; names the site.
        """
        total: Any = 0.0
        for work in usage:
            total = total + self.rate(work).of(work)
        return total  # type: ignore[no-any-return]

    def breakdown(self, usage: Usage[float]) -> Mapping[str, float]:
        """Cost by site, in the metric's unit; sums to ``cost``."""
        by_site: dict[str, float] = {}
        for work in usage:
            by_site[work.site] = by_site.get(work.site, 0.0) + self.rate(work).of(work)
        return by_site

    def rate(self, work: Work[Any]) -> Rate:
        """The rate that ``work`` is charged with.

        Raises:
            EvaluationError: as for :meth:`cost`.
        """
        bits = getattr(work, "bits", None)
        if bits is not None and work.operator == "relu":
            return self._narrow(work, bits)
        sited = self.sited.get((work.site, work.operator))
        if sited is not None:
            return sited
        try:
            return self.rates[work.operator]
        except KeyError:
            raise EvaluationError(
                no_rate(work.site, work.operator, self.table, self.rates, self.advice)
            ) from None

    def _narrow(self, work: Work[Any], bits: int) -> Rate:
        if (work.site, work.operator) in self.sited:
            raise EvaluationError(
                f"{work.site}: a comparison of {bits} bits has no cost at a site with a "
                f"{work.operator} of its own shape (such as ReLU6)"
            )
        try:
            return self.narrow[work.operator, bits]
        except KeyError:
            known = sorted(b for operator, b in self.narrow if operator == work.operator)
            expected = f"expected {known[0]} to {known[-1]}" if known else "it has none"
            raise EvaluationError(
                f"{work.site}: table {self.table!r} has no comparison of {bits} bits ({expected})"
            ) from None


def no_rate(
    site: str,
    operator: str,
    table: str,
    known: Iterable[str],
    advice: Callable[[str], str] | None = None,
) -> str:
    """The message for an operator that a table does not know."""
    names = sorted(known)
    near = difflib.get_close_matches(operator, names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    if advice is not None:
        hint += f" {advice(operator)}"
    return (
        f"{site}: operator {operator!r} has no cost in table {table!r} "
        f"(known: {', '.join(names)}).{hint}"
    )
