"""A space of plain parameters, for objectives of one's own."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field

from search.api.candidate import Violation
from search.api.domain import Param, Point, Real, Value, Vector, is_active, point_from_json
from search.api.errors import ConfigError, InfeasibleCandidate
from search.api.known import KnownConstraint
from search.api.param_syntax import check_conditions, parse_params
from search.api.repair import repair as repaired


class Parameters(Mapping[str, Value]):
    """The payload: a frozen mapping of active parameters to values, hashable and comparable.

    Args:
        values: name -> value; vectors are tuples.
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Value]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> Value:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __hash__(self) -> int:
        return hash(frozenset(self._values.items()))

    def __repr__(self) -> str:
        return f"Parameters({self._values!r})"


class ParameterSpaceConfig(BaseModel):
    """Options of ``space: {name: parameters}``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    params: dict[str, Any] = Field(
        description="name -> domain, such as {real: [0, 1], log: true}, {integer: [1, 8]}, "
        "{ordinal: [4, 8]}, {choice: [a, b]}, {vector: {choice: [0, 1]}, length: 64}"
    )
    known: tuple[str, ...] = Field(
        (), description='rules on a point, such as "sum(mask) <= 20"; kept before any trial'
    )


class ParameterSpace:
    """Real, integer, ordinal, categorical, conditional and vector parameters, with known rules.

    Args:
        params: the parameters; a condition names earlier ones.
        known: rules as text, see ``search.api.known``.

    Raises:
        ConfigError: no parameters, a condition that cannot hold, or a rule that cannot be read.
    """

    kind = "parameters"
    Config: ClassVar[type[ParameterSpaceConfig]] = ParameterSpaceConfig

    def __init__(self, params: Sequence[Param], known: Sequence[str] = ()) -> None:
        if not params:
            raise ConfigError("at least one parameter is needed", path="space.params")
        check_conditions(params, "space.params")
        self._params = tuple(params)
        self._known = tuple(
            KnownConstraint.parse(text, self._params, f"space.known[{i}]")
            for i, text in enumerate(known)
        )

    @classmethod
    def from_config(cls, config: ParameterSpaceConfig, workload: Any) -> Self:
        """The space described in YAML; ``workload`` is not used.

        Raises:
            ConfigError: see the class.
        """
        return cls(parse_params(config.params, "space.params"), config.known)

    def params(self) -> Sequence[Param]:
        """The parameters, in the order given."""
        return self._params

    def check(self, point: Point) -> Sequence[Violation]:
        """Wrong, missing or inactive values, then broken rules. Foreign names are ignored."""
        found = []
        for param in self._params:
            active, given = is_active(param, point), param.name in point
            if active and not (given and param.domain.contains(point[param.name])):
                got = _short(point[param.name]) if given else "nothing"
                found.append(f"{param.name}: got {got}; expected {param.domain.describe()}")
            elif given and not active:
                found.append(f"{param.name}: inactive here ({_conditions(param)}); leave it out")
        if found:
            return [Violation("domain", detail, 1.0, "1") for detail in found]
        return [v for rule in self._known if (v := rule.violation(point)) is not None]

    def build(self, point: Point) -> Parameters:
        """The payload of ``point``: its own parameters, numbers of real parameters as floats.

        Raises:
            InfeasibleCandidate: ``check`` is not empty.
        """
        violations = self.check(point)
        if violations:
            raise InfeasibleCandidate(violations)
        return Parameters(
            {p.name: _exact(p, point[p.name]) for p in self._params if p.name in point}
        )

    def repair(self, point: Point) -> Point:
        """A legal point near ``point``; the same answer for the same point.

        Raises:
            InfeasibleCandidate: none was found with bounded work.
        """
        # The seed is fixed: which entries of a vector move must not differ between two calls.
        return repaired(point, self._params, self.check, random.Random(0))

    def decode(self, data: Any) -> Parameters:
        """The payload from its JSON form.

        Raises:
            ConfigError: the data is no payload of this space.
        """
        if not isinstance(data, Mapping):
            raise ConfigError(f"expected a mapping of parameters (got {data!r})")
        try:
            return self.build(point_from_json(data))
        except (ValueError, InfeasibleCandidate) as error:
            raise ConfigError(f"not a member of the space: {error}") from error


def _exact(param: Param, value: Value) -> Value:
    """A real parameter given as 1 and as 1.0 is one candidate, hence floats throughout."""
    if isinstance(param.domain, Real):
        return float(value)  # type: ignore[arg-type]
    if isinstance(param.domain, Vector) and isinstance(param.domain.element, Real):
        return tuple(float(entry) for entry in value)  # type: ignore[union-attr]
    return value


def _conditions(param: Param) -> str:
    return ", ".join(f"{n} in {list(options)}" for n, options in param.when.items())


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
