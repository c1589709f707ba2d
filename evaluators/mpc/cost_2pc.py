"""What a private inference between two servers costs: latency, bytes, rounds, energy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field

from evaluators.cost_table import CostTable, find_table
from evaluators.linear import LinearCost, no_rate
from evaluators.mpc import fpga
from evaluators.usage import sites_of, usage_of
from search.api.candidate import Candidate
from search.api.errors import ConfigError
from search.api.metric import Fidelity, Measurement, Metric
from search.api.network import Site
from search.api.protocols import Context

TABLES = Path(__file__).parent / "tables"

# Family of a table -> its formulas. A new protocol adds a module, a table and a line here.
_FAMILIES = {fpga.FAMILY: fpga.cost_models}

# Their operator is the plan's to choose, so the table need not know the original one.
_CHOSEN = ("activation", "pool")


class Cost2PCConfig(BaseModel):
    """Options of ``{name: cost_2pc}``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    table: str = Field(
        "pasnet_fpga", description="name of a shipped table of constants, or a path to a .toml"
    )
    overrides: dict[str, float | str] = Field(
        default_factory=dict,
        description="constants to change, with units: {startup: 1 ms, bandwidth: 400 Mbit/s}",
    )


class Cost2PC:
    """Modelled latency, traffic, rounds and energy of two-party private inference.

    The same cost models score candidates and enter the loss of gradient methods.

    Args:
        sites: the network's sites.
        table: name of a shipped table, or a path to a TOML file.
        overrides: constants to change, see ``CostTable.overridden``.

    Raises:
        ConfigError: the table is unknown or wrong, or has no cost for a fixed operator of the
            network; names the site.
    """

    Config: ClassVar[type[Cost2PCConfig]] = Cost2PCConfig
    needs: frozenset[str] = frozenset()

    def __init__(
        self,
        sites: Sequence[Site],
        table: str = "pasnet_fpga",
        overrides: Mapping[str, float | str] | None = None,
    ) -> None:
        self._sites = tuple(sites)
        self._table = CostTable.load(find_table(table, TABLES)).overridden(overrides or {})
        family = _FAMILIES.get(self._table.family)
        if family is None:
            raise ConfigError(
                f"unknown family {self._table.family!r} (known: {', '.join(_FAMILIES)})",
                path="family",
                source=self._table.path,
            )
        self._models = family(self._table)
        rates = next(iter(self._models.values())).rates
        for site in self._sites:
            if site.kind not in _CHOSEN and site.operator not in rates:
                raise ConfigError(no_rate(site.name, site.operator, self._table.name, rates))

    @classmethod
    def from_config(cls, config: Cost2PCConfig, workload: Any) -> Self:
        """The evaluator for ``workload``'s network.

        Raises:
            ConfigError: see the class; or there is no workload.
        """
        return cls(sites_of(workload, "cost_2pc"), config.table, config.overrides)

    @property
    def metrics(self) -> Sequence[Metric]:
        """latency_2pc [ms], bytes_2pc [MB], rounds_2pc [1], energy_2pc [J]."""
        return tuple(model.metric for model in self._models.values())

    @property
    def table(self) -> CostTable:
        """The constants in use, with their sources."""
        return self._table

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
