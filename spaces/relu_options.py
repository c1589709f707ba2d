"""Options of ReLU placement, and what they mean for the sites of a network."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from pydantic import BaseModel, ConfigDict, Field

from search.api.errors import ConfigError
from search.api.network import Site

ACTIVATIONS = ("relu", "x2act", "identity", "poly1", "poly2", "poly3", "poly4")
POOLS = ("max", "avg")


class ReluPlacementConfig(BaseModel):
    """Options of ``space: {name: relu_placement}``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    granularity: str = Field(
        "layer",
        description="unit of choice: layer, channel or pixel; the last two need a method that "
        "finds masks",
    )
    activations: tuple[str, ...] = Field(
        ("x2act", "relu"),
        description="operators an activation may become: relu, x2act, identity, poly1 to poly4",
    )
    pools: tuple[str, ...] = Field(
        ("avg", "max"), description="operators a max pool may become: avg, max"
    )
    fixed: dict[str, str] = Field(
        default_factory=dict,
        description="site name or glob -> operator; these sites are not searched",
    )
    max_relus: int | None = Field(
        None, description="upper bound of ReLU elements per sample, fixed ones included"
    )
    relu_bits: tuple[int, ...] | None = Field(
        None,
        description="widths in bits that the comparison of a ReLU may have, chosen per site: such "
        "as [8, 10, 12, 64]; absent: the whole ring. Granularity layer only",
    )


def operators_of(names: Sequence[str], known: tuple[str, ...], path: str) -> tuple[str, ...]:
    """``names`` as a tuple of different known operators.

    Raises:
        ConfigError: an unknown name, a name twice, or none.
    """
    chosen = tuple(names)
    for i, name in enumerate(chosen):
        if name not in known:
            raise ConfigError(
                f"unknown operator {name!r} (known: {', '.join(known)}).{_near(name, known)}",
                path=f"{path}[{i}]",
            )
    if not chosen or len(set(chosen)) != len(chosen):
        raise ConfigError(f"expected one or more different operators (got {chosen!r})", path=path)
    return chosen


def fixed_sites(
    patterns: Mapping[str, str], sites: Sequence[Site], options: Mapping[str, tuple[str, ...]]
) -> dict[str, str]:
    """Fixed site -> operator, in execution order. Any known operator of the kind is allowed.

    Args:
        patterns: site name or glob -> operator.
        sites: the network's sites.
        options: sites that may be fixed.

    Raises:
        ConfigError: a pattern fits no site, or two of them disagree.
    """
    kinds = {s.name: s.kind for s in sites}
    found: dict[str, str] = {}
    for pattern, operator in patterns.items():
        path = f"space.fixed[{pattern!r}]"
        matches = [n for n in options if n == pattern or fnmatchcase(n, pattern)]
        if not matches:
            near = _near(pattern, tuple(options))
            raise ConfigError(
                f"no activation or max pool is called so (known: {', '.join(options)}).{near}",
                path=path,
            )
        for name in matches:
            known = ACTIVATIONS if kinds[name] == "activation" else POOLS
            if operator not in known:
                raise ConfigError(
                    f"{operator!r} cannot stand at {name!r} (known: {', '.join(known)})", path=path
                )
            if found.get(name, operator) != operator:
                raise ConfigError(
                    f"{name!r} is fixed twice, to {found[name]!r} and to {operator!r}", path=path
                )
            found[name] = operator
    return {s.name: found[s.name] for s in sites if s.name in found}


def _near(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f" Did you mean {near[0]!r}?" if near else ""
