"""Network profiles: bandwidth and round trip between the parties of a protocol.

Latency of a protocol is ``T = CPU + hops * round_trip / 2 + bytes / bandwidth``.
"""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from evaluators.cost_table import in_unit, quantity
from search.api.errors import ConfigError

PROFILES = Path(__file__).parent / "networks.toml"


class NetworkConfig(BaseModel):
    """A network of one's own: ``{bandwidth: 100 Mbit/s, round_trip: 20 ms}``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bandwidth: str = Field(description="shared by all messages, such as 100 Mbit/s; or unlimited")
    round_trip: str = Field(description="time there and back, such as 20 ms")


@dataclass(frozen=True)
class Network:
    """A link between parties.

    Args:
        name: name of the profile, or ``custom``.
        bandwidth: bytes per second; ``inf`` if unlimited.
        round_trip: seconds there and back.
        source: where the numbers come from.
    """

    name: str
    bandwidth: float
    round_trip: float
    source: str = "set by the user"

    def __post_init__(self) -> None:
        """Refuse what is no network.

        Raises:
            ConfigError: the bandwidth is not positive, or the round trip negative or infinite.
        """
        if not self.bandwidth > 0:
            raise ConfigError(
                f"must be greater than 0 (got {self.bandwidth:g} B/s)", path="network.bandwidth"
            )
        if not 0 <= self.round_trip < math.inf:
            raise ConfigError(
                f"must be finite, 0 or more (got {self.round_trip:g} s)", path="network.round_trip"
            )

    @property
    def one_way(self) -> float:
        """Seconds of one one-way message."""
        return self.round_trip / 2

    def describe(self) -> str:
        """Name, bandwidth and round trip for people."""
        link = "unlimited" if math.isinf(self.bandwidth) else f"{self.bandwidth * 8e-6:g} Mbit/s"
        return f"{self.name} ({link}, {self.round_trip * 1e3:g} ms round trip)"


def profiles(path: Path = PROFILES) -> dict[str, Network]:
    """Name -> shipped profile."""
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    return {
        name: network(
            NetworkConfig(bandwidth=entry["bandwidth"], round_trip=entry["round_trip"]),
            name,
            f"{entry['source']} ({entry['date'].isoformat()})",
        )
        for name, entry in data.items()
    }


def find_network(wanted: str | NetworkConfig) -> Network:
    """The shipped profile of that name, or the network that ``wanted`` describes.

    Raises:
        ConfigError: no such profile, a unit is missing or wrong, or a number makes no sense.
    """
    if isinstance(wanted, NetworkConfig):
        return network(wanted)
    known = profiles()
    if wanted not in known:
        near = difflib.get_close_matches(wanted, known, n=1)
        raise ConfigError(
            f"unknown network {wanted!r} (known: {', '.join(known)}; or "
            "{bandwidth: 100 Mbit/s, round_trip: 20 ms})."
            + (f" Did you mean {near[0]!r}?" if near else ""),
            path="network",
        )
    return known[wanted]


def network(
    config: NetworkConfig, name: str = "custom", source: str = "set by the user"
) -> Network:
    """The network that ``config`` describes.

    Raises:
        ConfigError: a unit is missing or wrong, or a number makes no sense.
    """
    bandwidth = math.inf
    if config.bandwidth != "unlimited":
        bandwidth = _in(config.bandwidth, "B/s", "network.bandwidth")
    return Network(name, bandwidth, _in(config.round_trip, "s", "network.round_trip"), source)


def network_of(values: Mapping[str, str] | str | NetworkConfig | Network | None) -> Network | None:
    """A network from any form a notebook may use: a name, a mapping, an object, or None.

    Raises:
        ConfigError: as for :func:`find_network`; or a key is missing or unknown.
    """
    if values is None or isinstance(values, Network):
        return values
    if isinstance(values, Mapping):
        if set(values) != {"bandwidth", "round_trip"}:
            raise ConfigError(
                f"expected the keys bandwidth and round_trip (got {', '.join(values) or 'none'})",
                path="network",
            )
        return network(NetworkConfig(**values))
    return find_network(values)


def _in(text: str, unit: str, where: str) -> float:
    value, given = quantity(text, unit, where)
    return in_unit(value, given, unit)
