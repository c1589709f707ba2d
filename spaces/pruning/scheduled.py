"""The schedule of ADMM as parameters, where it is to be chosen."""

from __future__ import annotations

from typing import Any

from search.api.candidate import Violation
from search.api.domain import Domain, Integer, Param, Point, Real, Value
from search.api.errors import ConfigError
from spaces.pruning.options import rho_of, rounds_of
from spaces.pruning.plan import Schedule


class Scheduled:
    """The parameters ``rounds``, ``rho_first`` and ``rho_last``.

    Args:
        rounds: a number, or least and most.
        rho_first: the penalty at the start of a round: a number, or what it is chosen from.
        rho_last: at its end.

    Raises:
        ConfigError: numbers that cannot be, or a penalty that could only fall.
    """

    def __init__(self, rounds: int | tuple[int, int], rho_first: Any, rho_last: Any) -> None:
        least, most = rounds_of(rounds)
        self._fixed = {"rounds": float(least)}
        params = []
        if least < most:
            doc = "rounds of progressive pruning"
            params.append(Param("rounds", Integer(least, most), doc=doc))
        reach: dict[str, tuple[float, float]] = {}
        for name, given in (("rho_first", rho_first), ("rho_last", rho_last)):
            rho = rho_of(given, name)
            if isinstance(rho, float):
                self._fixed[name] = rho
                reach[name] = (rho, rho)
            else:
                params.append(Param(name, rho, doc="weight of ADMM's penalty"))
                reach[name] = _ends(rho)
        if reach["rho_first"][0] > reach["rho_last"][1]:
            raise ConfigError(
                f"the penalty rises: expected at least rho_first (got {reach['rho_last'][1]:g}, "
                f"below {reach['rho_first'][0]:g})",
                path="space.rho_last",
            )
        self._params = tuple(params)

    def params(self) -> tuple[Param, ...]:
        """Those that have something to choose."""
        return self._params

    def check(self, point: Point) -> list[Violation]:
        """Broken rules of a point whose values are in their domains."""
        if not self._params:
            return []
        made = self.chosen(point)
        if made.rho_last >= made.rho_first:
            return []
        detail = f"got rho_last {made.rho_last:g}; at least rho_first, {made.rho_first:g}"
        return [Violation("rho", detail, made.rho_first - made.rho_last, "1")]

    def repair(self, point: Point) -> dict[str, Value]:
        """New values that break no rule: the penalty at the end rises, else that at the start
        falls.
        """
        values = {param.name: point[param.name] for param in self._params}
        if not self.check(point):
            return values
        made = self.chosen(point)
        domains = {param.name: param.domain for param in self._params}
        last = made.rho_last
        if "rho_last" in domains:
            last = min(_ends(domains["rho_last"])[1], made.rho_first)
            values["rho_last"] = last
        if "rho_first" in domains:
            values["rho_first"] = min(made.rho_first, last)
        return values

    def chosen(self, point: Point) -> Schedule:
        """The schedule of ``point``."""
        rounds, first, last = (
            float(point.get(name, self._fixed.get(name, 0.0)))  # type: ignore[arg-type]
            for name in ("rounds", "rho_first", "rho_last")
        )
        return Schedule(int(rounds), first, last)

    def point(self, schedule: Schedule) -> dict[str, Value]:
        """Values that give ``schedule``, as far as there is a choice."""
        return {param.name: getattr(schedule, param.name) for param in self._params}


def _ends(domain: Domain) -> tuple[float, float]:
    if not isinstance(domain, Real):
        raise TypeError(f"a penalty is a real number (got {domain.describe()})")
    return float(domain.low), float(domain.high)
