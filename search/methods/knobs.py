"""Options of a method that are numbers, or, given as a domain, outer parameters of the search."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator

from search.api.domain import Choice, Integer, Ordinal, Param, Point, Real
from search.api.errors import ConfigError
from search.api.param_syntax import parse_param


def _number_or_domain(value: Any) -> Any:
    if isinstance(value, Mapping):
        try:
            _check(parse_param("knob", value, ""))
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return dict(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        raise ValueError(
            "expected a number of at least 0, or a domain such as {real: [0.001, 0.1], log: true} "
            f"(got {value!r})"
        )
    return float(value)


Knob = Annotated[float | dict[str, Any], BeforeValidator(_number_or_domain)]
"""A number (fixed), or a domain as in ``params:`` (searched by the outer searcher)."""


class Knobs:
    """The knobs of a method's ``Config``: which are searched, and their value at a point.

    Args:
        config: the method's options.
        names: the fields that are knobs, in the order they are searched.
    """

    def __init__(self, config: BaseModel, names: Sequence[str]) -> None:
        fields = type(config).model_fields
        self._fixed: dict[str, float] = {}
        self._params: dict[str, Param] = {}
        for name in names:
            value = getattr(config, name)
            if isinstance(value, Mapping):
                parsed = parse_param(name, value, f"method.{name}")
                doc = parsed.doc or (fields[name].description or "")
                self._params[name] = Param(name, parsed.domain, parsed.unit, parsed.when, doc)
            else:
                self._fixed[name] = float(value)

    def params(self) -> tuple[Param, ...]:
        """The knobs given as domains."""
        return tuple(self._params.values())

    def value(self, name: str, point: Point) -> float:
        """The knob's value at ``point``: the point's own, or the fixed number.

        Raises:
            ConfigError: the knob is searched and the point has no number for it.
        """
        if name in self._fixed:
            return self._fixed[name]
        value = point.get(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ConfigError(f"expected a number (got {value!r})", path=f"point.{name}")
        return float(value)

    def highest(self, name: str) -> float:
        """The largest value that the knob can take."""
        if name in self._fixed:
            return self._fixed[name]
        domain = self._params[name].domain
        if isinstance(domain, (Real, Integer)):
            return float(domain.high)
        assert isinstance(domain, (Ordinal, Choice))  # see _check
        return max(float(option) for option in domain.options)


def _check(param: Param) -> None:
    domain = param.domain
    if isinstance(domain, (Real, Integer)) and domain.low >= 0:
        return
    if isinstance(domain, (Ordinal, Choice)) and all(
        isinstance(o, (int, float)) and not isinstance(o, bool) and 0 <= o < math.inf
        for o in domain.options
    ):
        return
    raise ConfigError(f"expected numbers of at least 0 (got {domain.describe()})")
