"""Two-party inference on a pair of FPGA boards: PASNet's performance model.

Two servers hold additive shares in a ring of ``l`` = ``ring_bits`` bits. Linear layers and X2act
open masked values (one exchange, a transfer in each direction); a ReLU compares shares by an
oblivious-transfer flow over digits of ``digit_bits`` bits in four sequential transfers.

Every operator is a list of steps. A step does local operations and then perhaps one transfer::

    seconds = operations / (PP * f) + startup + bits / bandwidth        (no startup: no transfer)

and the network's latency is the sum over steps and sites: no overlap, no pipelining across sites.

**What PP means.** ``parallelism_<operator>`` is the number of elementary operations of the
formulas below that one board finishes per clock cycle in that operator: for ``conv`` and
``linear`` the multiply-accumulates of the three ring products per multiplication of shares; for
``relu`` and ``maxpool`` the bit-level steps of digit encryption and comparison, 5185 per element
at 32 bits; for ``x2act``, the average pools and ``add`` one ring operation on one element. So PP
is comparable between networks for one operator, and not between operators.

**How PP was fitted** (``tables/pasnet_fpga.toml``). ``conv``: row PASNet-A, ResNet-18 at 224 px,
all polynomial, takes 63 ms; 35.9 ms are bytes, 3.8 ms are 76 start-ups of 50 us, and 1.81 G
products of shares in the rest need PP = 1180 (without start-ups: about 1010). ``relu``: row
PASNet-C costs 0.206 GB and 311 ms more than PASNet-B; at 2561 - 64 bits each that is 660 thousand
ReLU elements, and the 105 ms that are not bytes need PP = 163. The other rows and columns are
predictions, checked in ``tests/golden/test_pasnet.py``: row B's latency comes out 1.2 % low.
Absolute times rest on these two fits; ratios between placements rest mostly on the formulas.

Source: PASNet (DAC 2023; PolyMPCNet), section on the hardware latency model: formulas of 2PC-Conv,
X2act, average pooling, 2PC-ReLU and 2PC-MaxPool. ``add``, ``linear`` and global average pooling
are derived here by the same reading (local; a 1 x 1 convolution; an average pool), and so are the
polynomials ``poly1`` to ``poly4`` with public coefficients, on the X2act engine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from evaluators.cost_table import CostTable
from evaluators.linear import LinearCost, Rate
from search.api.errors import ConfigError
from search.api.metric import Metric

FAMILY = "fpga_2pc"

SOURCE = "PASNet (DAC 2023), hardware latency model; constants in the table"
LATENCY = Metric("latency_2pc", "ms", "min", "latency of one private inference", SOURCE)
BYTES = Metric("bytes_2pc", "MB", "min", "bytes sent in both directions", SOURCE)
ROUNDS = Metric("rounds_2pc", "1", "min", "sequential one-way transfers", SOURCE)
ENERGY = Metric("energy_2pc", "J", "min", "energy of all boards: power x latency", SOURCE)

_TIMED = ("conv", "linear", "relu", "x2act", "maxpool", "avgpool", "globalavgpool", "add")

UNITS: Mapping[str, str] = {
    "ring_bits": "bit",
    "digit_bits": "bit",
    "startup": "s",
    "bandwidth": "bit/s",
    "frequency": "Hz",
    "board_power": "W",
    "boards": "1",
    **{f"parallelism_{operator}": "op/cycle" for operator in _TIMED},
}
"""The constants a table of this family has, with the unit the formulas use."""

_FREE = ("batchnorm", "identity", "flatten", "dropout")


@dataclass(frozen=True)
class Step:
    """One step of a protocol: local work, then ``transfers`` messages.

    Args:
        what: what happens, for people.
        operations: elementary operations, by call, input element and multiply-accumulate.
        bits: bits sent, by call, input element and multiply-accumulate.
        transfers: sequential one-way messages per call.
    """

    what: str
    operations: Rate = Rate()
    bits: Rate = Rate()
    transfers: float = 0.0


def product_steps(ring_bits: float) -> tuple[Step, ...]:
    """2PC-Conv and 2PC-Linear: open the masked input both ways, then three products.

    CMP = 3 K^2 FO^2 IC OC = 3 * macs; COMM = startup + l * elements, twice. The masked weights
    are opened once at set-up and are not counted.
    """
    opening = Rate(element=ring_bits)
    return (
        Step("open the masked input to S1", bits=opening, transfers=1),
        Step("open the masked input to S0", bits=opening, transfers=1),
        Step("three products of the shares", operations=Rate(mac=3)),
    )


def x2act_steps(ring_bits: float) -> tuple[Step, ...]:
    """X2act, a x^2 + b x + c: open the masked input both ways, then 2 operations per element."""
    opening = Rate(element=ring_bits)
    return (
        Step("open the masked input to S1", bits=opening, transfers=1),
        Step("open the masked input to S0", bits=opening, transfers=1),
        Step("square and scale", operations=Rate(element=2)),
    )


def poly3_steps(ring_bits: float) -> tuple[Step, ...]:
    """A polynomial of degree 3 or 4 with public coefficients: x^2, then x^2 times the rest.

    The second product opens two masked values both ways. Derived from X2act by the same reading;
    the paper has no such operator.
    """
    opening = Rate(element=2 * ring_bits)
    return (
        *x2act_steps(ring_bits),
        Step("open both masked factors to S1", bits=opening, transfers=1),
        Step("open both masked factors to S0", bits=opening, transfers=1),
        Step("three products of the shares and a scale", operations=Rate(element=4)),
    )


def relu_steps(
    ring_bits: float, digit_bits: float, compared: float | None = None
) -> tuple[Step, ...]:
    """2PC-ReLU by oblivious transfer, in four transfers.

    A value is split in U = l / digit_bits digits with 2^digit_bits candidates each; a comparison
    of fewer bits (``compared``) has fewer digits.
    """
    digits = (compared or ring_bits) / digit_bits
    candidates = 2.0**digit_bits
    matrix = ring_bits * candidates * digits
    return (
        Step("S0 sends its mask", bits=Rate(call=ring_bits), transfers=1),
        Step(
            "S1 sends the list of its digits",
            operations=Rate(element=ring_bits * (digits + 1)),
            bits=Rate(element=ring_bits * digits),
            transfers=1,
        ),
        Step(
            "S0 sends the encrypted comparison matrix",
            operations=Rate(element=ring_bits * (digits + 1) + matrix),
            bits=Rate(element=matrix),
            transfers=1,
        ),
        Step(
            "S1 decrypts its entries and returns the result bit",
            operations=Rate(element=matrix + 1),
            bits=Rate(element=1),
            transfers=1,
        ),
    )


def maxpool_steps(ring_bits: float, digit_bits: float) -> tuple[Step, ...]:
    """2PC-MaxPool: the work of a ReLU on the input map and three further start-ups."""
    return (
        *relu_steps(ring_bits, digit_bits),
        Step("synchronise the tree of comparisons", transfers=3),
    )


def protocol(ring_bits: float, digit_bits: float) -> Mapping[str, tuple[Step, ...]]:
    """Operator -> its steps, for every operator of the family.

    Average pools are local with 2 operations per element, additions with 1. Batch norms are
    folded into the convolution before them and cost nothing.
    """
    average = (Step("add up and scale", operations=Rate(element=2)),)
    poly3 = poly3_steps(ring_bits)
    return {
        "conv": product_steps(ring_bits),
        "linear": product_steps(ring_bits),
        "relu": relu_steps(ring_bits, digit_bits),
        "x2act": x2act_steps(ring_bits),
        "poly1": (Step("scale and shift", operations=Rate(element=2)),),
        "poly2": x2act_steps(ring_bits),
        "poly3": poly3,
        "poly4": poly3,
        "maxpool": maxpool_steps(ring_bits, digit_bits),
        "avgpool": average,
        "globalavgpool": average,
        "add": (Step("add the shares", operations=Rate(element=1)),),
        **{operator: () for operator in _FREE},
    }


def cost_models(table: CostTable) -> dict[str, LinearCost]:
    """Metric name -> cost model, with the constants of ``table``.

    Raises:
        ConfigError: a constant is missing, unknown, in a wrong unit or without sense.
    """
    table.require(UNITS)
    constant = {name: table.value(name, unit) for name, unit in UNITS.items()}
    _check(constant, table)
    ring, digit = constant["ring_bits"], constant["digit_bits"]
    flows: dict[str | tuple[str, int], tuple[Step, ...]] = {}
    flows.update(protocol(ring, digit).items())
    # A comparison of fewer bits has whole digits.
    for digits in range(1, int(ring / digit) + 1):
        bits = int(digits * digit)
        flows["relu", bits] = relu_steps(ring, digit, bits)
    needs = {key: _needs(key, flow, constant) for key, flow in flows.items()}
    power = constant["board_power"] * constant["boards"]
    values: dict[Metric, Callable[[_Needs], Rate]] = {
        LATENCY: lambda n: n.seconds * 1e3,
        BYTES: lambda n: n.bits * (1 / 8e6),
        ROUNDS: lambda n: Rate(call=n.transfers),
        ENERGY: lambda n: n.seconds * power,
    }
    return {
        metric.name: LinearCost(
            metric,
            {key: value(n) for key, n in needs.items() if isinstance(key, str)},
            table.name,
            narrow={key: value(n) for key, n in needs.items() if isinstance(key, tuple)},
        )
        for metric, value in values.items()
    }


@dataclass(frozen=True)
class _Needs:
    """An operator's steps added up."""

    seconds: Rate
    bits: Rate
    transfers: float


def _needs(
    key: str | tuple[str, int], flow: tuple[Step, ...], constant: Mapping[str, float]
) -> _Needs:
    operator = key if isinstance(key, str) else key[0]
    transfers = sum(step.transfers for step in flow)
    bits = sum((step.bits for step in flow), Rate())
    seconds = Rate(call=transfers) * constant["startup"] + bits * (1 / constant["bandwidth"])
    operations = sum((step.operations for step in flow), Rate())
    if operations != Rate():
        engine = "x2act" if operator.startswith("poly") else operator
        pace = constant[f"parallelism_{engine}"] * constant["frequency"]
        seconds += operations * (1 / pace)
    return _Needs(seconds, bits, transfers)


def _check(constant: Mapping[str, float], table: CostTable) -> None:
    for name, value in constant.items():
        if value <= 0 and name not in ("startup", "board_power"):
            raise ConfigError(f"must be greater than 0 (got {value:g})",
                              path=f"{table.name}.constants.{name}", source=table.path)  # fmt: skip
    if constant["ring_bits"] % constant["digit_bits"]:
        raise ConfigError(
            f"a value of {constant['ring_bits']:g} bits cannot be split in digits of "
            f"{constant['digit_bits']:g} bits",
            path=f"{table.name}.constants.digit_bits",
            source=table.path,
        )
