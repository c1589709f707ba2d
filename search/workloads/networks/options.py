"""Options of network factories, checked against their signatures."""

from __future__ import annotations

import difflib
import inspect
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from search.api.errors import ConfigError

if TYPE_CHECKING:
    from torch import nn

PATH = "workload.network"


def check_options(
    factory: Callable[..., Any], name: str, options: Mapping[str, Any]
) -> dict[str, Any]:
    """``options`` with the types that ``factory`` declares, absent ones with their defaults.

    Options of a factory are its keyword-only parameters.

    Raises:
        ConfigError: an unknown option (the known ones are listed) or a value of the wrong type.
    """
    parameters = list(inspect.signature(factory).parameters.values())
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return dict(options)
    known = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    hints = _hints(factory)
    checked = {
        p.name: p.default for p in parameters if p.name in known and p.default is not p.empty
    }
    check_names(name, options, known)
    for key, value in options.items():
        checked[key] = _typed(hints.get(key, Any), value, f"{PATH}.{key}")
    return checked


def check_names(name: str, options: Iterable[str], known: Sequence[str]) -> None:
    """Refuse options that a network does not have.

    Raises:
        ConfigError: the first unknown one, with the nearest known one.
    """
    for key in options:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ConfigError(
                f"network {name}: unknown option (known: {', '.join(known) or 'none'}).{hint}",
                path=f"{PATH}.{key}",
            )


def of_factory(
    factory: Callable[..., Any],
    name: str,
    input_shape: tuple[int, int, int],
    classes: int,
    options: Mapping[str, Any],
) -> nn.Module:
    """The module that ``factory(input_shape, classes, **options)`` makes.

    A factory without required arguments is called without any, so that a module class with
    defaults can be given as it is.

    Raises:
        ConfigError: the factory refuses its arguments or makes something else.
    """
    from torch import nn

    parameters = inspect.signature(factory).parameters.values()
    positional = [
        p
        for p in parameters
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty
    ]
    arguments: tuple[Any, ...] = (input_shape, classes) if positional else ()
    try:
        inspect.signature(factory).bind(*arguments, **options)
    except TypeError as error:
        raise ConfigError(
            f"network {name}: cannot be called as factory(input_shape, classes): {error}",
            path=PATH,
        ) from error
    try:
        module = factory(*arguments, **options)
    except ValueError as error:
        raise ConfigError(f"network {name}: {error}", path=PATH) from error
    if not isinstance(module, nn.Module):
        raise ConfigError(
            f"network {name}: the factory gave {type(module).__name__} (expected torch.nn.Module)",
            path=PATH,
        )
    return module


def _hints(factory: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(factory)
    except (NameError, TypeError):  # annotations of foreign code need not resolve here
        return {}


def _typed(hint: Any, value: Any, path: str) -> Any:
    try:
        adapter = TypeAdapter(hint, config=ConfigDict(strict=False))
        return adapter.validate_python(value)
    except ValidationError as error:
        message = error.errors()[0]["msg"]
        raise ConfigError(
            f"{message[:1].lower()}{message[1:]} (got {value!r})", path=path
        ) from None


def at_least(network: str, option: str, value: float, low: float) -> None:
    """Refuse ``value`` below ``low``.

    Raises:
        ConfigError: it is below.
    """
    if value < low:
        raise ConfigError(
            f"network {network}: must be at least {low} (got {value})", path=f"{PATH}.{option}"
        )
