"""Payload of pruning: what each layer keeps, its levels, and the schedule that gets there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from search.api.errors import ConfigError, EvaluationError
from search.api.network import Site, Usage, fixed_work

STRUCTURES = ("element", "filter", "column", "channel", "pattern", "nm")
"""What is kept or dropped at once, see :class:`LayerPruning`."""

LEVELS = ("equal", "power_of_two", "ternary", "binary")
"""Which values quantised weights may take, see :class:`LayerLevels`."""


@dataclass(frozen=True)
class LayerPruning:
    """How much of one layer stays.

    A layer's weights are seen as the matrix of its product: a row for each filter (output), a
    column for each kernel position of each input channel. The units of a structure are

    - ``element``: single weights;
    - ``filter``: rows;
    - ``column``: columns;
    - ``channel``: input channels (all kernel positions of one);
    - ``pattern``: positions of a kernel; each kernel keeps ``kept`` of ``units`` positions, as one
      of a few patterns that the layer's kernels share;
    - ``nm``: of each ``units`` weights in a row, ``kept`` stay.

    Args:
        site: name of the layer's site.
        structure: one of :data:`STRUCTURES`.
        kept: units that stay, at least 1.
        units: units there are.
    """

    site: str
    structure: str
    kept: int
    units: int

    @property
    def keep(self) -> float:
        """Share of the units that stays, in (0, 1]."""
        return self.kept / self.units


@dataclass(frozen=True)
class LayerLevels:
    """The values that one layer's kept weights may take, besides zero.

    With M = 2^bits: ``equal`` has +-q, +-2q, ..., +-(M/2)q; ``power_of_two`` +-q, +-2q, +-4q, ...,
    M in all; ``ternary`` and ``binary`` +-q (binary without zero: nothing else may be dropped).

    Args:
        site: name of the layer's site.
        bits: of each kept weight, at least 1.
        levels: one of :data:`LEVELS`.

    Source: Ye et al., Progressive DNN Compression (arXiv:1903.09769): zero is no level, since
        pruned weights hold it already.
    """

    site: str
    bits: int
    levels: str = "equal"


@dataclass(frozen=True)
class Schedule:
    """How ADMM gets there.

    Args:
        rounds: progressive rounds; each starts from the network that the one before pruned.
        rho_first: weight of the penalty at the start of a round.
        rho_last: at its end; between, it rises geometrically.
    """

    rounds: int = 1
    rho_first: float = 1e-3
    rho_last: float = 1e-1


@dataclass(frozen=True)
class PruningPlan:
    """What each layer keeps.

    Args:
        layers: in execution order; a layer that is pruned in several structures has an entry for
            each, a layer without an entry stays whole.
        levels: of the quantised layers, in execution order.
        schedule: of methods that have one.
        ties: layers that drop the very same filters, since their results are added or multiplied:
            only then can those filters really be taken out. All have an entry ``filter`` that keeps
            equally many.
    """

    layers: tuple[LayerPruning, ...]
    levels: tuple[LayerLevels, ...] = ()
    schedule: Schedule = Schedule()
    ties: tuple[tuple[str, ...], ...] = ()

    def as_mapping(self) -> dict[str, str]:
        """Site -> operator: none, since the network's operators stay as they are."""
        return {}

    def masks(self) -> dict[str, str]:
        """Site -> digest of its mask: none; dropped weights are zeros in the weights file."""
        return {}

    def of(self, site: str) -> tuple[LayerPruning, ...]:
        """The entries of one layer."""
        return tuple(layer for layer in self.layers if layer.site == site)

    def nonzeros(self, sites: Sequence[Site]) -> dict[str, int]:
        """Layer -> weights that stay at most, for every convolution and linear layer.

        Raises:
            EvaluationError: a layer is not in the network.
        """
        known = {s.name: s for s in sites if s.kind in ("conv", "linear")}
        for layer in self.layers:
            if layer.site not in known:
                raise EvaluationError(
                    f"plan: {layer.site!r} is no layer of the network. "
                    "Was the plan made for another one?"
                )
        left = {name: float(site.weights) for name, site in known.items()}
        for layer in self.layers:
            left[layer.site] *= layer.keep
        return {name: round(value) for name, value in left.items()}

    def usage(self, sites: Sequence[Site]) -> Usage[float]:
        """The work of the whole network if zeros cost nothing.

        Raises:
            EvaluationError: a layer is not in the network.
        """
        left = self.nonzeros(sites)
        works = []
        for site in sites:
            work, kept = fixed_work(site), left.get(site.name)
            if kept is not None and site.weights:
                work = replace(work, macs=work.macs * kept / site.weights, weights=kept)
            works.append(work)
        return works

    @classmethod
    def decode(cls, data: Any) -> PruningPlan:
        """The plan from its JSON form.

        Raises:
            ConfigError: the data has another form.
        """
        try:
            layers = tuple(
                LayerPruning(str(e["site"]), _one_of(e["structure"], STRUCTURES),
                             int(e["kept"]), int(e["units"]))
                for e in data["layers"]
            )  # fmt: skip
            levels = tuple(
                LayerLevels(str(e["site"]), int(e["bits"]), _one_of(e["levels"], LEVELS))
                for e in data["levels"]
            )
            given: Mapping[str, Any] = data["schedule"]
            schedule = Schedule(
                int(given["rounds"]), float(given["rho_first"]), float(given["rho_last"])
            )
            ties = tuple(tuple(map(str, tie)) for tie in data.get("ties", ()))
            return cls(layers, levels, schedule, ties)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ConfigError(
                "not a pruning plan (expected layers, levels and schedule; "
                f"{type(error).__name__}: {error})"
            ) from error


def _one_of(value: Any, known: Sequence[str]) -> str:
    if value not in known:
        raise ValueError(f"unknown value {value!r} (known: {', '.join(known)})")
    return str(value)
