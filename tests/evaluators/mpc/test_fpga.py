import dataclasses

import pytest

from evaluators.cost_table import CostTable, find_table
from evaluators.linear import Rate
from evaluators.mpc import fpga
from evaluators.mpc.cost_2pc import TABLES
from search.api.errors import ConfigError, EvaluationError
from search.api.network import Site, fixed_work

TABLE = CostTable.load(find_table("pasnet_fpga", TABLES))


def models(**overrides: float | str) -> dict[str, fpga.LinearCost]:
    return fpga.cost_models(TABLE.overridden(overrides))


def one(operator: str, elements: int = 1000, macs: int = 0) -> list[object]:
    return [fixed_work(Site("s", "other", operator, (elements,), (elements,), macs=macs))]


def test_every_operator_has_all_four_costs_in_the_stated_units() -> None:
    found = models()
    assert {n: m.metric.unit for n, m in found.items()} == {
        "latency_2pc": "ms", "bytes_2pc": "MB", "rounds_2pc": "1", "energy_2pc": "J"
    }  # fmt: skip
    assert len({frozenset(m.rates) for m in found.values()}) == 1


@pytest.mark.parametrize(
    ("operator", "transfers"),
    [("conv", 2), ("linear", 2), ("x2act", 2), ("relu", 4), ("maxpool", 7), ("avgpool", 0),
     ("globalavgpool", 0), ("add", 0), ("batchnorm", 0), ("identity", 0)],
)  # fmt: skip
def test_rounds(operator: str, transfers: int) -> None:
    assert models()["rounds_2pc"].cost(one(operator)) == transfers


@pytest.mark.parametrize("operator", ["batchnorm", "identity", "flatten", "dropout"])
def test_free_operators(operator: str) -> None:
    assert all(m.cost(one(operator)) == 0 for m in models().values())


def test_convolution_by_hand() -> None:
    # 1000 elements of 32 bit both ways over 8 Gbit/s, 2 start-ups, 3 products of 4720 MAC.
    latency = models()["latency_2pc"].cost(one("conv", 1000, macs=4720))
    seconds = 2 * (50e-6 + 32_000 / 8e9) + 3 * 4720 / (1180 * 200e6)
    assert latency == pytest.approx(seconds * 1e3)
    assert models()["bytes_2pc"].cost(one("conv", 1000)) == pytest.approx(8e-3)


def test_a_max_pool_is_a_relu_and_three_start_ups() -> None:
    found = models()
    extra = found["latency_2pc"].cost(one("maxpool")) - found["latency_2pc"].cost(one("relu"))
    assert extra == pytest.approx(3 * 0.05)
    assert found["bytes_2pc"].cost(one("maxpool")) == found["bytes_2pc"].cost(one("relu"))


def test_every_constant_matters() -> None:
    usage = [w for op in (*fpga.protocol(32, 2),) for w in one(op, 1000, macs=1000)]
    base = {n: m.cost(usage) for n, m in models().items()}
    changes: dict[str, float | str] = {
        "ring_bits": "64 bit", "digit_bits": "4 bit", "startup": "1 ms", "bandwidth": "100 Mbit/s",
        "frequency": "100 MHz", "board_power": "8 W", "boards": 1,
    }  # fmt: skip
    changes |= {name: 7 for name in fpga.UNITS if name.startswith("parallelism")}
    assert set(changes) == set(fpga.UNITS)
    for name, value in changes.items():
        found = {n: m.cost(usage) for n, m in models(**{name: value}).items()}
        assert found["energy_2pc"] != base["energy_2pc"], name


def test_energy_is_power_of_all_boards_times_latency() -> None:
    found = models(boards=3, board_power="10 W")
    latency_s = found["latency_2pc"].cost(one("relu")) * 1e-3
    assert found["energy_2pc"].cost(one("relu")) == pytest.approx(30 * latency_s)


def test_no_start_up_is_allowed_and_no_bandwidth_is_not() -> None:
    assert models(startup="0 us")["latency_2pc"].cost(one("conv", 0)) == 0
    with pytest.raises(ConfigError, match=r"pasnet_fpga\.constants\.bandwidth: must be greater"):
        models(bandwidth="0 GB/s")


def test_digits_must_fit_the_ring() -> None:
    with pytest.raises(ConfigError, match="32 bits cannot be split in digits of 3 bits"):
        models(digit_bits="3 bit")


def test_a_table_without_a_constant_is_refused() -> None:
    rest = {n: c for n, c in TABLE.constants.items() if n != "startup"}
    with pytest.raises(ConfigError, match="constant 'startup' is missing"):
        fpga.cost_models(dataclasses.replace(TABLE, constants=rest))


def test_steps_scale_with_ring_and_digits() -> None:
    def bits(ring: float, digit: float) -> float:
        return sum((s.bits for s in fpga.relu_steps(ring, digit)), Rate()).element

    assert bits(64, 2) == 64 * 32 * 5 + 1
    assert bits(32, 4) == 32 * 8 * 17 + 1


def test_polynomials_cost_their_products() -> None:
    rounds, sent = models()["rounds_2pc"], models()["bytes_2pc"]
    assert [rounds.cost(one(f"poly{d}")) for d in (1, 2, 3, 4)] == [0, 2, 4, 4]
    found = [sent.cost(one(f"poly{d}")) * 1e6 / 1000 for d in (1, 2, 3, 4)]
    assert found == pytest.approx([0, 8, 24, 24])
    latency = models()["latency_2pc"]
    assert latency.cost(one("poly2")) == latency.cost(one("x2act"))
    assert 0 < latency.cost(one("poly1")) < latency.cost(one("poly2"))


def test_a_comparison_of_fewer_bits_has_fewer_digits() -> None:
    work = dataclasses.replace(one("relu")[0], bits=8)  # type: ignore[type-var]
    whole = dataclasses.replace(one("relu")[0], bits=32)  # type: ignore[type-var]
    for model in models().values():
        assert model.cost([whole]) == model.cost(one("relu"))  # type: ignore[list-item]
    bits = models()["bytes_2pc"].cost([work]) * 8e6  # type: ignore[list-item]
    assert bits == pytest.approx(1000 * (4 * 32 + 4 * 4 * 32 + 1) + 32)
    odd = dataclasses.replace(one("relu")[0], bits=7)  # type: ignore[type-var]
    with pytest.raises(EvaluationError, match="no comparison of 7 bits"):
        models()["bytes_2pc"].cost([odd])  # type: ignore[list-item]
