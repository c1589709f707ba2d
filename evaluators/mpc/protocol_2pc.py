"""Cost models of a protocol on a network, from its flows and CPU times.

For every operator::

    latency = CPU + hops * round_trip / 2 + bytes / bandwidth
    energy  = parties * party_power * latency

summed over sites: nothing overlaps, and a party draws the same power while it computes and while it
waits. Bytes of all parties share one bandwidth. All of it is linear in the work, so one formula
serves candidates, relaxed gates and arrays of plans.

Some rates depend on the shape of a site beyond its amounts: the window of a max pool, the unfolded
input of a convolution (``macs * groups / output channels`` entries), a ReLU with a cap (two
comparisons side by side, as in ReLU6), a batch norm with no convolution or linear layer right
before it to be folded into (a product with a secret factor per channel).

Offline metrics exist only for protocols whose table has offline rows. Triples from a dealer have no
known cost and are not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from evaluators.cost_table import CostTable
from evaluators.linear import LinearCost, Rate, no_rate
from evaluators.mpc import closed_forms, rows
from evaluators.mpc.cpu_times import CpuTimes
from evaluators.mpc.flows import Flow, Flows, polynomials, tree_of_relus
from evaluators.mpc.networks import Network
from search.api.errors import ConfigError
from search.api.metric import Metric
from search.api.network import Site

FAMILY = "protocol_2pc"

MaxPool = Literal["own", "tree"]
Layers = Literal["all", "nonlinear"]

_FREE = ("identity", "batchnorm", "flatten", "dropout")
_LINEAR = ("conv", "linear", "affine", "add", "globalavgpool", "batchnorm")


@dataclass(frozen=True)
class Expense:
    """All that one operator needs: traffic, CPU seconds, and what comes before the input is known.

    Args:
        flow: online traffic.
        cpu: CPU seconds of the slower party, online.
        offline_bytes, offline_cpu: bytes and seconds offline; None if not known.
    """

    flow: Flow = Flow()
    cpu: Rate = Rate()
    offline_bytes: Rate | None = None
    offline_cpu: Rate | None = None

    def __add__(self, other: Expense) -> Expense:
        """One after the other; unknown if either is."""
        return Expense(
            self.flow + other.flow,
            self.cpu + other.cpu,
            _sum(self.offline_bytes, other.offline_bytes),
            _sum(self.offline_cpu, other.offline_cpu),
        )


class Protocol2PC:
    """A protocol as a table describes it.

    Args:
        table: of this family; ``formulas`` names ``rows`` or a closed form.
        cpu_times: measured CPU times, in place of the table's where they have the operator.
        maxpool: ``own``: the protocol's; ``tree``: a tree of its ReLUs.
        layers: ``nonlinear``: convolutions, linear layers, additions, norms and the global average
            pool are left out, for protocols whose linear layers are not known.

    Raises:
        ConfigError: a constant or the name of the formulas is unknown or makes no sense.
    """

    def __init__(
        self,
        table: CostTable,
        cpu_times: CpuTimes | None = None,
        maxpool: MaxPool = "own",
        layers: Layers = "all",
    ) -> None:
        rows.check(table)
        self.table = table
        self.bits = int(rows.general(table, "ring_bits"))
        self._measured = dict(cpu_times.seconds) if cpu_times else {}
        self._maxpool = maxpool
        self._layers = layers
        self._flows = flows_of(table)
        self.expenses = self._expenses()

    def maxpool(self, window: int) -> Expense | None:
        """A max pool over windows of ``window`` elements; None if the protocol has none."""
        whole = window - 1
        if self._maxpool == "tree" and "relu" in self._flows.operators:
            relu = self.expenses["relu"]
            flow = tree_of_relus(relu.flow, window)
            depth = flow.hops / relu.flow.hops if relu.flow.hops else 0.0

            def tree(one: Rate) -> Rate:
                return Rate(call=one.call * depth, output=one.element * whole)

            offline = relu.offline_bytes, relu.offline_cpu
            return Expense(flow, tree(relu.cpu), *(r and tree(r) for r in offline))
        if self._flows.maxpool is None:
            return None

        def scaled(one: Rate | None) -> Rate | None:
            return one and replace(one, output=one.output * whole / (rows.WINDOW - 1))

        base = self._priced("maxpool", self._flows.maxpool(window))
        offline = base.offline_bytes, base.offline_cpu
        return Expense(base.flow, scaled(base.cpu) or Rate(), *map(scaled, offline))

    def sited(self, sites: Sequence[Site]) -> Iterator[tuple[Site, str, Expense]]:
        """Sites whose shape matters: the site, the operator and what it needs there.

        Raises:
            ConfigError: a batch norm stands alone, and the protocol has no product.
        """
        for before, site in zip((None, *sites), sites, strict=False):
            if site.operator == "maxpool":
                pool = self.maxpool(window_of(site))
                if pool is not None:
                    yield site, "maxpool", pool
            elif site.operator in ("conv", "linear"):
                expense = self.expenses.get(site.operator)
                if expense is not None and expense.flow.patch:
                    yield site, site.operator, _unfolded(expense, site)
            elif site.attributes.get("cap") and "relu" in self.expenses:
                relu = self.expenses["relu"]
                flow = relu.flow * 2
                twice = (r and r + replace(r, call=0.0)
                         for r in (relu.cpu, relu.offline_bytes, relu.offline_cpu))  # fmt: skip
                yield site, "relu", Expense(flow, *twice)  # type: ignore[arg-type]
            elif site.operator == "batchnorm" and self._layers == "all" and not folds(before, site):
                if "affine" not in self.expenses:
                    raise ConfigError(
                        f"{site.name}: a batch norm that no layer before it takes in needs a "
                        f"product, which table {self.table.name!r} does not have"
                    )
                yield site, "batchnorm", self.expenses["affine"]

    def narrow(self) -> Iterator[tuple[int, Expense]]:
        """Width in bits and what a ReLU needs whose comparison has that width; CPU unchanged."""
        if self._flows.narrow is not None:
            for bits in range(1, self.bits + 1):
                yield bits, replace(self.expenses["relu"], flow=self._flows.narrow(bits))

    def _expenses(self) -> dict[str, Expense]:
        found = {op: self._priced(op, flow) for op, flow in self._flows.operators.items()}
        if "affine" not in found and "product" in found:
            found["affine"] = found["product"]
        for operator, expense in polynomials(found).items():
            kin = "x2act" if operator == "poly2" and "poly2" not in self._measured else operator
            cpu = self._measured.get(kin, expense.cpu)
            found[operator] = replace(expense, cpu=cpu)
        self.expenses = found
        if (pool := self.maxpool(rows.WINDOW)) is not None:
            found["maxpool"] = pool
        found |= {op: Expense(Flow(), Rate(), Rate(), Rate()) for op in _FREE if op not in found}
        if self._layers == "nonlinear":
            found |= {op: Expense(Flow(), Rate(), Rate(), Rate()) for op in _LINEAR}
        return found

    def _priced(self, operator: str, flow: Flow) -> Expense:
        sent = rows.rate(self.table, operator, "offline_bytes")
        spent = rows.rate(self.table, operator, "offline_cpu")
        # Only what sends nothing at all is known to need nothing offline.
        if flow.local and sent is None and spent is None:
            sent = spent = Rate()
        return Expense(flow, self._cpu(operator), sent, spent)

    def _cpu(self, operator: str) -> Rate:
        if operator in self._measured:
            return self._measured[operator]
        return rows.rate(self.table, operator, "cpu") or Rate()


def flows_of(table: CostTable) -> Flows:
    """The flows of ``table``: its rows, or its closed form.

    Raises:
        ConfigError: the formulas are unknown.
    """
    bits = int(rows.general(table, "ring_bits"))
    security = int(rows.general(table, "security_bits", 128))
    forms: dict[str, Callable[[], Flows]] = {
        "rows": lambda: rows.rows(table),
        "crypten": lambda: closed_forms.crypten(
            bits, int(rows.general(table, "fraction_bits", 16))
        ),
        "cryptflow2_ring": lambda: closed_forms.cryptflow2_ring(bits, security),
        "cryptflow2_field": lambda: closed_forms.cryptflow2_field(bits, security),
        "gc_ring": lambda: closed_forms.gc_ring(bits, security),
        "gc_field": lambda: closed_forms.gc_field(bits, security),
    }
    if table.formulas not in forms:
        raise ConfigError(
            f"unknown formulas {table.formulas!r} (known: {', '.join(forms)})",
            path="formulas",
            source=table.path,
        )
    return forms[table.formulas]()


def window_of(site: Site) -> int:
    """Elements of one window of a pool."""
    side = site.attributes.get("kernel", 2)
    return site.attributes.get("kernel_h", side) * site.attributes.get("kernel_w", side)


def folds(before: Site | None, site: Site) -> bool:
    """Whether the batch norm ``site`` is folded into the site right before it."""
    return (
        before is not None
        and before.operator in ("conv", "linear")
        and before.output_shape == site.input_shape
    )


def cost_models(
    protocol: Protocol2PC,
    network: Network,
    sites: Sequence[Site],
    note: str = "",
    advice: Callable[[str], str] | None = None,
) -> dict[str, LinearCost]:
    """Metric name -> cost model of ``protocol`` on ``network`` for the network of ``sites``.

    Args:
        protocol: what operators need.
        network: link between the parties.
        sites: the neural network's sites.
        note: for the source of the metrics: whose CPU times these are.
        advice: see ``LinearCost``.

    Raises:
        ConfigError: a fixed operator of the neural network has no offline cost in a table that
            has offline costs, or see ``Protocol2PC.sited``.
    """
    table = protocol.table
    # The size of an unfolded input is not among the amounts of work: only sites know it.
    general = {op: e for op, e in protocol.expenses.items() if not e.flow.patch}
    sited = {(s.name, operator): e for s, operator, e in protocol.sited(sites)}
    narrow = {("relu", bits): e for bits, e in protocol.narrow()}
    watts = rows.general(table, "parties") * rows.general(table, "party_power")

    def seconds(e: Expense) -> Rate:
        return e.cpu + Rate(call=e.flow.hops * network.one_way) + _sent(e) * (1 / network.bandwidth)

    def offline_bytes(e: Expense) -> Rate | None:
        return e.offline_bytes

    def offline_seconds(e: Expense) -> Rate | None:
        if e.offline_bytes is None or e.offline_cpu is None:
            return None
        return e.offline_cpu + e.offline_bytes * (1 / network.bandwidth)

    def model(
        metric: Metric, value: Callable[[Expense], Rate | None], factor: float = 1.0
    ) -> LinearCost:
        def known(entries: Mapping[object, Expense]) -> dict[object, Rate]:
            return {k: r * factor for k, e in entries.items() if (r := value(e)) is not None}

        return LinearCost(
            metric, known(general), table.name, known(sited), known(narrow),  # type: ignore[arg-type]
            advice,
        )  # fmt: skip

    source = f"{table.title}; {network.describe()}; {note}".strip("; ")
    made = [
        model(Metric("latency_2pc", "ms", "min", "latency of one private inference", source),
              seconds, 1e3),
        model(Metric("bytes_2pc", "MB", "min", "bytes sent in all directions", source),
              _sent, 1e-6),
        model(Metric("rounds_2pc", "1", "min", "sequential one-way transfers", source),
              lambda e: Rate(call=e.flow.hops)),
        model(Metric("energy_2pc", "J", "min", "energy of all parties: power x latency", source),
              seconds, watts),
    ]  # fmt: skip
    if rows.has(table, "offline_bytes"):
        made.append(model(Metric("offline_bytes_2pc", "MB", "min",
                                 "bytes sent before the input is known", source),
                          offline_bytes, 1e-6))  # fmt: skip
    if rows.has(table, "offline_cpu"):
        made.append(model(Metric("offline_latency_2pc", "ms", "min",
                                 "time spent before the input is known", source),
                          offline_seconds, 1e3))  # fmt: skip
    return {m.metric.name: m for m in made}


def check_fixed(
    models: Mapping[str, LinearCost], sites: Sequence[Site], advice: Callable[[str], str] | None
) -> None:
    """That every model has a rate for every fixed operator of the network.

    Raises:
        ConfigError: one has none; names the site, the operator and tables that have it.
    """
    for model in models.values():
        for site in sites:
            fixed = site.kind not in ("activation", "pool")
            known = site.operator in model.rates or (site.name, site.operator) in model.sited
            if fixed and not known:
                message = no_rate(site.name, site.operator, model.table, model.rates, advice)
                if model.metric.name.startswith("offline"):
                    message = f"{model.metric.name}: {message}"
                raise ConfigError(message)


def _sent(e: Expense) -> Rate:
    return e.flow.bytes


def _unfolded(expense: Expense, site: Site) -> Expense:
    """Bytes per entry of the unfolded input as bytes per multiply-accumulate of ``site``.

    Each entry meets the output channels of its group once.
    """
    channels = site.output_shape[0] if site.operator == "conv" else site.output_shape[-1]
    share = site.attributes.get("groups", 1) / channels
    more = Rate(mac=expense.flow.patch * share)
    return replace(expense, flow=replace(expense.flow, bytes=expense.flow.bytes + more, patch=0.0))


def _sum(one: Rate | None, other: Rate | None) -> Rate | None:
    return None if one is None or other is None else one + other
