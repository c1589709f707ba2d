"""What a private inference between servers costs: latency, bytes, rounds, energy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from evaluators.cost_table import CostTable, find_table
from evaluators.linear import LinearCost
from evaluators.mpc import fpga, protocol_2pc
from evaluators.mpc.cpu_times import find_cpu_times
from evaluators.mpc.networks import Network, NetworkConfig, find_network, network_of
from evaluators.usage import sites_of, usage_of
from search.api.candidate import Candidate
from search.api.errors import ConfigError
from search.api.metric import Fidelity, Measurement, Metric
from search.api.network import Site
from search.api.protocols import Context

TABLES = Path(__file__).parent / "tables"

DEFAULT_TABLE = "pasnet_fpga"
DEFAULT_NETWORK = "lan"

_FAMILIES = (fpga.FAMILY, protocol_2pc.FAMILY)


class Cost2PCConfig(BaseModel):
    """Options of ``{name: cost_2pc}``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    table: str | None = Field(
        None,
        description="name of a shipped table of constants, or a path to a .toml; "
        "pasnet_fpga if neither table nor protocol is given",
    )
    protocol: str | None = Field(
        None,
        description="the same for a shipped table alone: crypten, semi2k, cheetah_fm64, "
        "cheetah_fm32, aby3, securenn, cryptflow2_ring, cryptflow2_field, gc_ring, gc_field, "
        "delphi, pasnet_fpga",
    )
    network: str | NetworkConfig | None = Field(
        None,
        description="lan, wan, fast_lan, loopback, or {bandwidth: 100 Mbit/s, round_trip: 20 ms}; "
        "if absent lan, and the table's own for pasnet_fpga",
    )
    overrides: dict[str, float | str] = Field(
        default_factory=dict,
        description="constants to change, with units: {startup: 1 ms, bandwidth: 400 Mbit/s}",
    )
    calibration: str = Field(
        "auto",
        description="CPU times: auto (those measured on this host, else the table's), none (the "
        "table's), or a path to a .json",
    )
    maxpool: Literal["own", "tree"] = Field(
        "own", description="max pool: the protocol's own, or a tree of its ReLUs"
    )
    layers: Literal["all", "nonlinear"] = Field(
        "all",
        description="nonlinear: leave out linear layers, for protocols that have no cost for them",
    )


class Cost2PC:
    """Modelled latency, traffic, rounds and energy of private inference between two servers.

    The same cost models score candidates and enter the loss of gradient methods. Protocols with
    three servers are counted alike: all bytes, all parties.

    Args:
        sites: the network's sites.
        table: name of a shipped table, or a path to a TOML file.
        overrides: constants to change, see ``CostTable.overridden``.
        protocol: name of a shipped table; give it or ``table``.
        network: link between the parties: a name, ``{"bandwidth": ..., "round_trip": ...}`` or a
            ``Network``; None for ``lan``, or for the table's own if it has one.
        calibration: ``auto``, ``none`` or a path, see ``find_cpu_times``.
        maxpool: ``own`` or ``tree``, see ``Protocol2PC``.
        layers: ``all`` or ``nonlinear``, see ``Protocol2PC``.

    Raises:
        ConfigError: the table, the network or the calibration is unknown or wrong, or the table
            has no cost for a fixed operator of the network; names the site and the tables that
            have it.
    """

    Config: ClassVar[type[Cost2PCConfig]] = Cost2PCConfig
    needs: frozenset[str] = frozenset()

    def __init__(
        self,
        sites: Sequence[Site],
        table: str | None = None,
        overrides: Mapping[str, float | str] | None = None,
        *,
        protocol: str | None = None,
        network: str | Mapping[str, str] | NetworkConfig | Network | None = None,
        calibration: str = "auto",
        maxpool: protocol_2pc.MaxPool = "own",
        layers: protocol_2pc.Layers = "all",
    ) -> None:
        self._sites = tuple(sites)
        self._table = _table(table, protocol).overridden(overrides or {})
        self._network = network_of(network)
        self._calibration = "none: the table has no CPU times"
        if self._table.family == fpga.FAMILY:
            if calibration not in ("auto", "none") or (maxpool, layers) != ("own", "all"):
                raise ConfigError(
                    f"table {self._table.name!r} models an FPGA: calibration, maxpool and layers "
                    "do not apply",
                    path="table",
                )
            self._table = _on_network(self._table, self._network, overrides or {})
            self._models = fpga.cost_models(self._table)
        elif self._table.family == protocol_2pc.FAMILY:
            times = find_cpu_times(calibration, self._table.name)
            self._calibration = times.describe() if times else "shipped with the table"
            self._network = self._network or find_network(DEFAULT_NETWORK)
            note = f"CPU times {self._calibration}"
            if layers == "nonlinear":
                note += "; linear layers left out"
            self._models = protocol_2pc.cost_models(
                protocol_2pc.Protocol2PC(self._table, times, maxpool, layers),
                self._network,
                self._sites,
                note,
                tables_with,
            )
        else:
            raise ConfigError(
                f"unknown family {self._table.family!r} (known: {', '.join(_FAMILIES)})",
                path="family",
                source=self._table.path,
            )
        protocol_2pc.check_fixed(self._models, self._sites, tables_with)

    @classmethod
    def from_config(cls, config: Cost2PCConfig, workload: Any) -> Self:
        """The evaluator for ``workload``'s network.

        Raises:
            ConfigError: see the class; or there is no workload.
        """
        return cls(
            sites_of(workload, "cost_2pc"),
            config.table,
            config.overrides,
            protocol=config.protocol,
            network=config.network,
            calibration=config.calibration,
            maxpool=config.maxpool,
            layers=config.layers,
        )

    @property
    def metrics(self) -> Sequence[Metric]:
        """latency_2pc [ms], bytes_2pc [MB], rounds_2pc [1], energy_2pc [J]; and where the table
        has offline costs offline_bytes_2pc [MB], offline_latency_2pc [ms].
        """
        return tuple(model.metric for model in self._models.values())

    @property
    def table(self) -> CostTable:
        """The constants in use, with their sources."""
        return self._table

    @property
    def network(self) -> Network | None:
        """The link between the parties; None if the table's own constants describe it."""
        return self._network

    @property
    def calibration(self) -> str:
        """Whose CPU times are used: measured (host, date, operators) or shipped with the table."""
        return self._calibration

    def cost_models(self) -> Mapping[str, LinearCost]:
        """Metric name -> the model that ``evaluate`` scores with."""
        return dict(self._models)

    def evaluate(
        self, candidate: Candidate[Any], fidelity: Fidelity, ctx: Context
    ) -> Sequence[Measurement]:
        """One measurement per metric, evidence ``model``.

        Raises:
            EvaluationError: the payload does not fit the network, or an operator has no cost.
        """
        usage = usage_of(candidate, self._sites)
        return tuple(
            Measurement(name, float(model.cost(usage)), model.metric.unit, fidelity.name, "model")
            for name, model in self._models.items()
        )


def tables_with(operator: str) -> str:
    """A sentence that names the shipped tables with a cost for ``operator``."""
    found = []
    for path in sorted(TABLES.glob("*.toml")):
        table = CostTable.load(path)
        if table.family == fpga.FAMILY:
            known = operator in next(iter(fpga.cost_models(table).values())).rates
        else:
            known = operator in protocol_2pc.Protocol2PC(table).expenses
        if known:
            found.append(table.name)
    return f"Tables that have it: {', '.join(found) or 'none'}."


def _table(table: str | None, protocol: str | None) -> CostTable:
    if table is not None and protocol is not None:
        raise ConfigError(
            f"give table or protocol, not both (got table {table!r} and protocol {protocol!r})",
            path="protocol",
        )
    if protocol is None:
        return CostTable.load(find_table(table or DEFAULT_TABLE, TABLES))
    if protocol.endswith(".toml"):
        raise ConfigError("a table of one's own is given as `table`", path="protocol")
    try:
        return CostTable.load(find_table(protocol, TABLES))
    except ConfigError as error:
        raise ConfigError(
            error.message.replace("unknown table", "unknown protocol"), path="protocol"
        ) from error


def _on_network(
    table: CostTable, network: Network | None, overrides: Mapping[str, float | str]
) -> CostTable:
    """The FPGA table with the profile's bandwidth, and its one-way delay as start-up."""
    if network is None:
        return table
    if both := sorted({"bandwidth", "startup"} & overrides.keys()):
        raise ConfigError(
            f"{both[0]} is set by the network, too; give one of them", path=f"overrides.{both[0]}"
        )
    if network.bandwidth == float("inf"):
        raise ConfigError(
            f"table {table.name!r} needs a finite bandwidth (got {network.describe()})",
            path="network",
        )
    return table.overridden(
        {"bandwidth": f"{network.bandwidth!r} B/s", "startup": f"{network.one_way!r} s"}
    )
