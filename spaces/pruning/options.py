"""Options of the space of pruning ratios, as they stand in a configuration file."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from search.api.domain import Domain, Real
from search.api.errors import ConfigError
from search.api.param_syntax import parse_param
from spaces.pruning.plan import Schedule
from spaces.pruning.units import combined

V = TypeVar("V")
Keep = Annotated[float, Field(gt=0, le=1)]
Bits = Annotated[int, Field(ge=1, le=16)]
LevelType = Literal["equal", "power_of_two", "ternary", "binary"]
Alternatives = tuple[tuple[str, ...], ...]
"""What a layer may be pruned by: each alternative is a structure or several at once."""


class PruningRatioConfig(BaseModel):
    """Options of ``space: {name: pruning_ratio}``. What has one value is no parameter."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    structure: Any = Field(
        "element",
        description="what is dropped at once: element, filter, column, channel, pattern or nm; a "
        "list of several for each layer, such as [filter, column]; {search: [...]} to choose for "
        "each layer (filter+column is both); or a mapping of site names or globs to one of these. "
        "Layers without one, and those that have no such units, stay whole.",
    )
    low: float = Field(0.002, gt=0, lt=1, description="smallest share that a layer keeps")
    ratio: float | None = Field(
        None,
        ge=1,
        description="all weights over those kept, at least; any if absent. Proposals below it are "
        "scaled down to it",
    )
    spend: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of the weights that `ratio` allows which must be kept; 1 gives all "
        "proposals the same ratio, up to a unit",
    )
    fixed: dict[str, Keep | dict[str, Keep]] = Field(
        default_factory=dict,
        description="site name or glob -> share kept, such as 1.0 for the first layer; with "
        "several structures a mapping structure -> share",
    )
    skip: tuple[str, ...] = Field(
        (), description="site names or globs of layers to leave alone: whole and not quantised"
    )
    granularity: Literal["layer", "network"] = Field(
        "layer", description="`network`: all layers keep the same share"
    )
    m: int = Field(4, ge=2, le=64, description="weights in a group of structure nm")
    bits: Bits | tuple[Bits, ...] | None = Field(
        None,
        description="of each kept weight; a list to choose from for each layer; not quantised if "
        "absent",
    )
    levels: LevelType | tuple[LevelType, ...] | None = Field(
        None,
        description="equal (default), power_of_two, ternary or binary, or a list to choose from "
        "for each layer; the last two need no `bits`",
    )
    rounds: int | tuple[int, int] = Field(
        1, description="rounds of progressive pruning, or [least, most]"
    )
    rho_first: Any = Field(
        Schedule.rho_first,
        description="ADMM's penalty at the start of a round: a number, [least, most] on a log "
        "scale, or a domain",
    )
    rho_last: Any = Field(Schedule.rho_last, description="the same at the end of a round")


def alternatives(data: Any, names: Sequence[str]) -> tuple[dict[str, Alternatives], set[str]]:
    """Layer -> its alternatives, none for a layer that stays whole.

    Args:
        data: the option ``structure``.
        names: of the layers, in execution order.

    Returns:
        The alternatives, and the layers that were named in full: what cannot be done there is an
        error, while elsewhere it is left out.

    Raises:
        ConfigError: an unknown structure or layer, or structures that do not go together.
    """
    path = "space.structure"
    if not isinstance(data, Mapping) or "search" in data:
        given = _alternatives(data, path)
        return dict.fromkeys(names, given), set()
    parsed = {key: _alternatives(entry, f"{path}.{key}") for key, entry in data.items()}
    matched = by_site(parsed, names, path)
    return {n: matched.get(n, ()) for n in names}, {n for n in names if n in data}


def _alternatives(data: Any, path: str) -> Alternatives:
    if isinstance(data, Mapping):
        if set(data) != {"search"} or not isinstance(data["search"], (list, tuple)):
            raise ConfigError(f"expected {{search: [...]}} (got {dict(data)!r})", path=path)
        if not data["search"]:
            raise ConfigError("at least one alternative is needed", path=f"{path}.search")
        found = [_together(entry, f"{path}.search") for entry in data["search"]]
        if len(set(found)) < len(found):
            raise ConfigError("alternatives must differ", path=f"{path}.search")
        return tuple(found)
    return (_together(data, path),)


def _together(data: Any, path: str) -> tuple[str, ...]:
    names = data.split("+") if isinstance(data, str) else data
    if not isinstance(names, (list, tuple)) or not all(isinstance(n, str) for n in names):
        raise ConfigError(f"expected a structure or a list of them (got {data!r})", path=path)
    return combined(names, path)


def by_site(given: Mapping[str, V], names: Sequence[str], path: str) -> dict[str, V]:
    """Layer -> its entry: that of its own name, else that of the first glob that fits.

    Raises:
        ConfigError: a key fits no layer.
    """
    found: dict[str, V] = {}
    for key, value in given.items():
        if key in names:
            continue
        fits = fnmatch.filter(names, key)
        if not fits:
            known = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
            raise ConfigError(f"no layer is called {key!r} (layers: {known})", path=path)
        for name in fits:
            found.setdefault(name, value)
    return found | {name: given[name] for name in names if name in given}


def matching(patterns: Iterable[str], names: Sequence[str], path: str) -> set[str]:
    """The layers that one of the names or globs fits.

    Raises:
        ConfigError: one fits no layer.
    """
    return set(by_site(dict.fromkeys(patterns, True), names, path))


def level_choices(
    bits: int | Sequence[int] | None, levels: str | Sequence[str] | None
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """What to choose bits and levels from; both empty if nothing is quantised.

    Raises:
        ConfigError: entries that do not differ, levels that need bits without them, or with none
            that they can have.
    """
    if bits is None and levels is None:
        return (), ()
    kinds = (levels,) if isinstance(levels, str) else tuple(levels or ("equal",))
    widths = (bits,) if isinstance(bits, int) else tuple(sorted(bits or ()))
    for path, entries in (("space.levels", kinds), ("space.bits", widths)):
        if len(set(entries)) < len(entries):
            raise ConfigError(f"entries must differ (got {list(entries)!r})", path=path)
    needing = [kind for kind in kinds if kind in ("equal", "power_of_two")]
    if needing and not widths:
        raise ConfigError(f"levels {needing[0]} need bits. Add `bits:`.", path="space.bits")
    if "power_of_two" in kinds and min(widths) > MOST_POWERS:
        raise ConfigError(
            f"power_of_two has at most {MOST_POWERS} bits (got {min(widths)})", path="space.bits"
        )
    return widths or (1,), kinds


MOST_POWERS = 6
"""Bits of ``power_of_two``: with more, the smallest level is 2^-32 of the largest or less."""


def rounds_of(given: int | tuple[int, int]) -> tuple[int, int]:
    """Least and most rounds.

    Raises:
        ConfigError: below 1, or in the wrong order.
    """
    least, most = (given, given) if isinstance(given, int) else given
    if not 1 <= least <= most:
        raise ConfigError(f"expected 1 or more, least first (got {given!r})", path="space.rounds")
    return least, most


def rho_of(given: Any, name: str) -> float | Domain:
    """A penalty as a number, or the domain it is chosen from.

    Raises:
        ConfigError: it is neither, or not greater than 0.
    """
    path = f"space.{name}"
    if isinstance(given, Mapping):
        domain = parse_param(name, given, path).domain
        if isinstance(domain, Real) and domain.low > 0:
            return domain
    elif isinstance(given, (list, tuple)) and len(given) == 2 and all(map(_positive, given)):
        if given[0] <= given[1]:
            return Real(float(given[0]), float(given[1]), log=True)
    elif _positive(given):
        return float(given)
    raise ConfigError(
        f"expected a number above 0, [least, most], or {{real: [least, most]}} (got {given!r})",
        path=path,
    )


def _positive(value: object) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and 0 < value < float("inf")  # type: ignore[operator]
