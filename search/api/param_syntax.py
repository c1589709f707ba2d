"""Parameters as they stand in YAML, and back.

One parameter is a mapping with exactly one kind of domain and a few further keys::

    x:    {real: [0.1, 10], log: true, unit: ms, doc: what it is}
    n:    {integer: [1, 8], step: 1}
    bits: {ordinal: [4, 8, 16]}
    act:  {choice: [relu, x2act]}
    mask: {vector: {choice: [0, 1]}, length: 64}
    y:    {real: [0, 1], when: {act: [x2act]}}
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from search.api.domain import (
    Choice,
    Domain,
    Integer,
    Ordinal,
    Param,
    Real,
    Scalar,
    ScalarDomain,
    Vector,
)
from search.api.errors import ConfigError

# Kind of domain -> the further keys it takes.
_KINDS: Mapping[str, tuple[str, ...]] = {
    "real": ("log",),
    "integer": ("step", "log"),
    "ordinal": (),
    "choice": (),
    "vector": ("length",),
}
_COMMON = ("unit", "when", "doc")


def parse_params(data: object, path: str) -> tuple[Param, ...]:
    """All parameters of a mapping name -> description, in its order.

    Args:
        data: the mapping.
        path: where it stands, such as ``space.params``; goes into messages.

    Raises:
        ConfigError: a description is wrong, or a condition names a parameter that does not come
            earlier or a value it cannot have.
    """
    mapping = _mapping(data, path, "a mapping of names to parameters")
    if not mapping:
        raise ConfigError("at least one parameter is needed", path=path)
    params = tuple(parse_param(name, entry, f"{path}.{name}") for name, entry in mapping.items())
    check_conditions(params, path)
    return params


def parse_param(name: str, data: object, path: str) -> Param:
    """The parameter ``name`` described by ``data``.

    Args:
        name: its name.
        data: its description, see the module's text.
        path: where it stands; goes into messages.

    Raises:
        ConfigError: the description is wrong.
    """
    if not isinstance(name, str) or not name:
        raise ConfigError(f"a parameter's name is text (got {name!r})", path=path)
    mapping = _mapping(data, path, "a mapping such as {real: [0, 1]}")
    kind = _kind(mapping, path)
    _known_keys(mapping, (kind, *_KINDS[kind], *_COMMON), path)
    return Param(
        name,
        _domain(kind, mapping, path),
        unit=_text(mapping.get("unit", ""), f"{path}.unit"),
        when=_when(mapping.get("when", {}), f"{path}.when"),
        doc=_text(mapping.get("doc", ""), f"{path}.doc"),
    )


def param_to_data(param: Param) -> dict[str, Any]:
    """The YAML form of ``param``; ``parse_param`` gives the same parameter back."""
    data = _domain_to_data(param.domain)
    if param.unit:
        data["unit"] = param.unit
    if param.when:
        data["when"] = {name: list(options) for name, options in param.when.items()}
    if param.doc:
        data["doc"] = param.doc
    return data


def check_conditions(params: Sequence[Param], path: str) -> None:
    """That names are unique and every condition can be decided, and can be met.

    Raises:
        ConfigError: a name stands twice, or a condition names a later or unknown parameter, a
            vector, or a value its parameter cannot have.
    """
    earlier: dict[str, Param] = {}
    for param in params:
        if param.name in earlier:
            raise ConfigError(f"parameter {param.name!r} stands twice", path=path)
        for name, options in param.when.items():
            where = f"{path}.{param.name}.when.{name}"
            if name not in earlier:
                raise ConfigError(
                    f"unknown parameter {name!r} (earlier ones: {', '.join(earlier) or 'none'})."
                    f"{_near(name, earlier)} A condition may name earlier parameters only.",
                    path=where,
                )
            domain = earlier[name].domain
            if isinstance(domain, Vector):
                raise ConfigError("a condition on a vector is not possible", path=where)
            for option in options:
                if not domain.contains(option):
                    raise ConfigError(
                        f"{name} never has the value {option!r} (expected {domain.describe()})",
                        path=where,
                    )
        earlier[param.name] = param


def _domain(kind: str, mapping: Mapping[str, Any], path: str) -> Domain:
    try:
        if kind == "vector":
            return _vector(mapping, path)
        return _scalar_domain(kind, mapping, path)
    except ValueError as error:  # the domain's own rules: low > high, log with low <= 0, ...
        raise ConfigError(str(error), path=f"{path}.{kind}") from error


def _vector(mapping: Mapping[str, Any], path: str) -> Vector:
    where = f"{path}.vector"
    inner = _mapping(mapping["vector"], where, "a mapping such as {choice: [0, 1]}")
    kind = _kind(inner, where)
    if kind == "vector":
        raise ConfigError("entries are scalars (got a vector of vectors)", path=where)
    _known_keys(inner, (kind, *_KINDS[kind]), where)
    if "length" not in mapping:
        raise ConfigError("key 'length' is missing", path=path)
    return Vector(_scalar_domain(kind, inner, where), _int(mapping["length"], f"{path}.length"))


def _scalar_domain(kind: str, mapping: Mapping[str, Any], path: str) -> ScalarDomain:
    where = f"{path}.{kind}"
    if kind == "real":
        low, high = _pair(mapping[kind], where)
        return Real(_float(low, where), _float(high, where), _bool(mapping, "log", path))
    if kind == "integer":
        low, high = _pair(mapping[kind], where)
        step = _int(mapping.get("step", 1), f"{path}.step")
        return Integer(_int(low, where), _int(high, where), step, _bool(mapping, "log", path))
    options = _scalars(mapping[kind], where)
    return Ordinal(options) if kind == "ordinal" else Choice(options)


def _domain_to_data(domain: Domain) -> dict[str, Any]:
    if isinstance(domain, Vector):
        return {"vector": _domain_to_data(domain.element), "length": domain.length}
    if isinstance(domain, Real):
        return {"real": [domain.low, domain.high], **({"log": True} if domain.log else {})}
    if isinstance(domain, Integer):
        step = {"step": domain.step} if domain.step != 1 else {}
        return {
            "integer": [domain.low, domain.high],
            **step,
            **({"log": True} if domain.log else {}),
        }
    return {"ordinal" if isinstance(domain, Ordinal) else "choice": list(domain.options)}


def _kind(mapping: Mapping[str, Any], path: str) -> str:
    kinds = [key for key in mapping if key in _KINDS]
    if len(kinds) == 1:
        return kinds[0]
    if kinds:
        raise ConfigError(f"one kind of domain only (got {', '.join(kinds)})", path=path)
    hints = [_near(str(key), _KINDS) for key in mapping]
    raise ConfigError(
        f"no domain (got keys {', '.join(map(str, mapping)) or 'none'}; expected one of "
        f"{', '.join(_KINDS)}).{next(filter(None, hints), '')}",
        path=path,
    )


def _known_keys(mapping: Mapping[str, Any], known: Sequence[str], path: str) -> None:
    for key in mapping:
        if key not in known:
            raise ConfigError(
                f"unknown key {key!r} (known: {', '.join(known)}).{_near(str(key), known)}",
                path=path,
            )


def _when(data: object, path: str) -> dict[str, tuple[Scalar, ...]]:
    mapping = _mapping(data, path, "a mapping such as {act: [x2act]}")
    found = {}
    for name, options in mapping.items():
        listed = options if isinstance(options, (list, tuple)) else [options]
        found[name] = _scalars(listed, f"{path}.{name}")
    return found


def _mapping(data: object, path: str, expected: str) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise ConfigError(f"expected {expected} (got {data!r})", path=path)
    return data


def _pair(value: object, path: str) -> tuple[Any, Any]:
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise ConfigError(f"expected [low, high] (got {value!r})", path=path)
    return value[0], value[1]


def _scalars(value: object, path: str) -> tuple[Scalar, ...]:
    if not isinstance(value, (list, tuple)) or not value:
        raise ConfigError(f"expected a list of options (got {value!r})", path=path)
    for i, entry in enumerate(value):
        if not isinstance(entry, (bool, int, float, str)):
            raise ConfigError(
                f"expected a number, text or bool (got {entry!r})", path=f"{path}[{i}]"
            )
    return tuple(value)


def _float(value: object, path: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        # YAML 1.1 reads 1e-4 as text: say so, since the number looks right.
        hint = ". Write 1.0e-4, not 1e-4." if isinstance(value, str) and _is_number(value) else ""
        raise ConfigError(f"expected a number (got {value!r}){hint}", path=path)
    return float(value)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _int(value: object, path: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError(f"expected an integer (got {value!r})", path=path)
    return value


def _bool(mapping: Mapping[str, Any], key: str, path: str) -> bool:
    value = mapping.get(key, False)
    if not isinstance(value, bool):
        raise ConfigError(f"expected true or false (got {value!r})", path=f"{path}.{key}")
    return value


def _text(value: object, path: str) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"expected text (got {value!r})", path=path)
    return value


def _near(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""
