"""Known constraints: rules on a point, written as text and checked before a trial exists.

A rule is one comparison of two expressions over parameters, such as
``count(activation, relu) <= 4``, ``sum(mask) <= 20`` or ``width * depth <= 64``. The language is
a strict whitelist: numbers, names of parameters, ``+ - *``, division by a number or ``len``,
``sum count min max len abs``, and one of ``<= >= ==``. Nothing is ever handed to Python for
evaluation.
"""

from __future__ import annotations

import ast
import difflib
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from search.api.candidate import Violation
from search.api.domain import Choice, Integer, Ordinal, Param, Point, Real, Vector
from search.api.errors import ConfigError

MAX_LENGTH = 500
FUNCTIONS = ("sum", "count", "min", "max", "len", "abs")

# Where two sides count as equal: products of reals do not meet exactly.
_RELATIVE_TOLERANCE = 1e-9

_Number = Callable[[Point], float]


@dataclass(frozen=True)
class KnownConstraint:
    """A comparison of two expressions over parameters.

    A rule that names a parameter which is not active in a point does not apply to it.

    Args:
        text: the rule as written.
        names: the parameters it reads.
    """

    text: str
    names: frozenset[str]
    _params: tuple[Param, ...] = field(repr=False)
    _difference: _Number = field(repr=False, compare=False)

    @classmethod
    def parse(cls, text: str, params: Sequence[Param], path: str = "") -> KnownConstraint:
        """The rule ``text`` over ``params``.

        Args:
            text: such as ``sum(mask) <= 20``.
            params: the parameters it may name.
            path: where it stands in the configuration; goes into messages.

        Raises:
            ConfigError: the text is no such rule, names something unknown, or mixes up numbers,
                texts and vectors.
        """
        if not isinstance(text, str):
            raise ConfigError(f"expected a rule as text (got {text!r})", path=path)
        parser = _Parser(text, {p.name: p for p in params}, path)
        difference = parser.comparison()
        used = tuple(p for p in params if p.name in parser.names)
        return cls(text.strip(), frozenset(parser.names), used, difference)

    def excess(self, point: Point) -> float:
        """By how much ``point`` breaks the rule; 0 or less means it keeps it."""
        if any(name not in point for name in self.names):
            return 0.0
        return self._difference(point)

    def violation(self, point: Point) -> Violation | None:
        """The rule as broken by ``point``, or None."""
        excess = self.excess(point)
        if excess <= 0:
            return None
        return Violation(self.text, f"{self.text} is broken by {excess:g}", excess, "1")

    def __reduce__(self) -> tuple[Any, ...]:
        # Compiled closures do not cross processes; the text and its parameters do.
        return KnownConstraint.parse, (self.text, self._params)


class _Parser:
    """One rule on its way from text to a function of the point."""

    def __init__(self, text: str, params: Mapping[str, Param], path: str) -> None:
        self.text, self.params, self.path = text, params, path
        self.names: set[str] = set()

    def comparison(self) -> _Number:
        """The whole text: left minus right side, so that more than 0 is too much."""
        if len(self.text) > MAX_LENGTH:
            raise self.error(f"too long (got {len(self.text)} characters; at most {MAX_LENGTH})")
        try:
            tree = ast.parse(self.text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise self.error(
                "cannot be read (expected a rule such as 'sum(mask) <= 20')"
            ) from error
        if not isinstance(tree, ast.Compare) or len(tree.ops) != 1:
            raise self.error("expected one comparison such as 'sum(mask) <= 20'")
        left, right = self.number(tree.left), self.number(tree.comparators[0])
        if not self.names:
            raise self.error(f"names no parameter (known: {', '.join(self.params)})")
        operator = tree.ops[0]
        if isinstance(operator, ast.LtE):
            return _bounded(lambda p: left(p) - right(p))
        if isinstance(operator, ast.GtE):
            return _bounded(lambda p: right(p) - left(p))
        if isinstance(operator, ast.Eq):
            return _bounded(_apart(left, right))
        raise self.error("a comparison is one of <=, >=, ==")

    def number(self, node: ast.expr) -> _Number:
        """A node that must give a number."""
        if isinstance(node, ast.Constant):
            return _constant(self.constant(node))
        if isinstance(node, ast.Name):
            return self.scalar(node)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
            inner = self.number(node.operand)
            return (lambda p: -inner(p)) if isinstance(node.op, ast.USub) else inner
        if isinstance(node, ast.BinOp):
            return self.arithmetic(node)
        if isinstance(node, ast.Call):
            return self.call(node)
        raise self.error(f"{_source(node)!r} is not allowed (known: numbers, parameters, + - * /, "
                         f"{', '.join(FUNCTIONS)})")  # fmt: skip

    def arithmetic(self, node: ast.BinOp) -> _Number:
        if isinstance(node.op, ast.Div):
            value = self.fixed(node.right)
            if value is None or value == 0:
                raise self.error("division is by a number other than 0 only. Multiply both sides")
            dividend = self.number(node.left)
            return lambda p: dividend(p) / value
        left, right = self.number(node.left), self.number(node.right)
        if isinstance(node.op, ast.Add):
            return lambda p: left(p) + right(p)
        if isinstance(node.op, ast.Sub):
            return lambda p: left(p) - right(p)
        if isinstance(node.op, ast.Mult):
            return lambda p: left(p) * right(p)
        raise self.error(f"{_source(node)!r}: this operation is not allowed (known: + - * /)")

    def fixed(self, node: ast.expr) -> float | None:
        """The value of ``node`` if no point changes it (numbers, ``len``)."""
        value = self.number(node)
        try:
            return value({})
        except KeyError:
            return None

    def call(self, node: ast.Call) -> _Number:
        if not isinstance(node.func, ast.Name) or node.func.id not in FUNCTIONS:
            name = _source(node.func)
            near = _near(name, FUNCTIONS)
            raise self.error(f"unknown function {name!r} (known: {', '.join(FUNCTIONS)}).{near}")
        if node.keywords or any(isinstance(arg, ast.Starred) for arg in node.args):
            raise self.error(f"{node.func.id} takes plain arguments only")
        name, args = node.func.id, node.args
        if name == "count":
            return self.count(args)
        if name == "abs":
            self.arity(name, args, 1)
            inner = self.number(args[0])
            return lambda p: abs(inner(p))
        if name == "len":
            self.arity(name, args, 1)
            vector = self.vector(args[0], name)
            length = float(vector.domain.length)  # type: ignore[union-attr]
            return _constant(length)
        return self.fold(name, args)

    def fold(self, name: str, args: list[ast.expr]) -> _Number:
        """``sum``, ``min`` or ``max``: of one vector, or of several numbers."""
        folds: dict[str, Callable[[Any], float]] = {"sum": math.fsum, "min": min, "max": max}
        reduce = folds[name]
        if len(args) == 1:
            vector = self.vector(args[0], name)
            if not _numeric(vector.domain.element):  # type: ignore[union-attr]
                raise self.error(f"{name}({vector.name}): its entries are texts. Use count")
            key = vector.name
            return lambda p: reduce(p[key])
        if not args:
            raise self.error(f"{name} needs a vector or several numbers")
        parts = [self.number(arg) for arg in args]
        return lambda p: reduce([part(p) for part in parts])

    def count(self, args: list[ast.expr]) -> _Number:
        self.arity("count", args, 2)
        vector = self.vector(args[0], "count")
        element = vector.domain.element  # type: ignore[union-attr]
        given = args[1]
        # A bare word is a text: count(activation, relu) reads better than with quotes.
        option = given.id if isinstance(given, ast.Name) else self.literal(given)
        if not element.contains(option):
            raise self.error(
                f"entries of {vector.name} never have the value {option!r} "
                f"(expected {element.describe()})"
            )
        key = vector.name
        # tuple.count takes True for 1 and 1 for 1.0: an option of another type is not meant.
        if any(
            type(o) is not type(option) and o == option for o in getattr(element, "options", ())
        ):
            return lambda p: sum(type(v) is type(option) and v == option for v in p[key])  # type: ignore[union-attr]
        return lambda p: p[key].count(option)  # type: ignore[union-attr, arg-type]

    def scalar(self, node: ast.Name) -> _Number:
        param = self.param(node.id)
        if isinstance(param.domain, Vector):
            raise self.error(f"{param.name} is a vector; use sum, count, min, max or len")
        if not _numeric(param.domain):
            raise self.error(f"{param.name} is not a number ({param.domain.describe()})")
        key = param.name
        return lambda p: p[key]  # type: ignore[return-value]

    def vector(self, node: ast.expr, function: str) -> Param:
        if not isinstance(node, ast.Name):
            raise self.error(f"{function}({_source(node)}): expected the name of a vector")
        param = self.param(node.id)
        if not isinstance(param.domain, Vector):
            raise self.error(f"{function}({param.name}): {param.name} is not a vector")
        return param

    def param(self, name: str) -> Param:
        if name not in self.params:
            raise self.error(
                f"unknown parameter {name!r} (known: {', '.join(self.params)})."
                f"{_near(name, self.params)}"
            )
        self.names.add(name)
        return self.params[name]

    def literal(self, node: ast.expr) -> bool | int | float | str:
        sign = 1
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            node, sign = node.operand, -1
        if isinstance(node, ast.Constant) and isinstance(node.value, (bool, int, float, str)):
            if sign == 1:
                return node.value
            return -self.constant(node)
        raise self.error(f"{_source(node)!r}: expected a plain value")

    def constant(self, node: ast.Constant) -> int | float:
        value = node.value
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.error(f"expected a number (got {value!r})")
        if abs(value) > sys.float_info.max:
            raise self.error("a number is too large")
        return value

    def arity(self, name: str, args: list[ast.expr], n: int) -> None:
        if len(args) != n:
            raise self.error(f"{name} takes {n} argument{'s' * (n > 1)} (got {len(args)})")

    def error(self, message: str) -> ConfigError:
        shown = self.text if len(self.text) <= 80 else self.text[:77] + "..."
        return ConfigError(f"rule {shown!r}: {message}", path=self.path)


def _constant(value: float) -> _Number:
    return lambda p: value


def _bounded(difference: _Number) -> _Number:
    """``difference`` as a finite float: an overflow counts as the largest excess there is."""

    def bounded(point: Point) -> float:
        try:
            value = float(difference(point))
        except OverflowError:
            return sys.float_info.max
        if math.isnan(value):
            return sys.float_info.max
        return max(-sys.float_info.max, min(sys.float_info.max, value))

    return bounded


def _apart(left: _Number, right: _Number) -> _Number:
    def apart(point: Point) -> float:
        a, b = left(point), right(point)
        difference = abs(a - b)
        return 0.0 if difference <= _RELATIVE_TOLERANCE * max(abs(a), abs(b)) else difference

    return apart


def _numeric(domain: Any) -> bool:
    if isinstance(domain, (Real, Integer)):
        return True
    return isinstance(domain, (Ordinal, Choice)) and not any(
        isinstance(option, str) for option in domain.options
    )


def _source(node: ast.AST) -> str:
    return ast.unparse(node)


def _near(name: str, known: Any) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""
