import pytest

from evaluators.cost_table import Constant, CostTable
from evaluators.linear import Rate
from evaluators.mpc import rows
from evaluators.mpc.flows import Flow
from search.api.errors import ConfigError


def table(**constants: tuple[float, str]) -> CostTable:
    general = {"ring_bits": (64, "bit"), "parties": (2, "1"), "party_power": (10, "W")}
    found = {
        n: Constant(v, u, "test", "2026-01-31") for n, (v, u) in {**general, **constants}.items()
    }
    return CostTable("mine", "protocol_2pc", "a test", found, formulas="rows")


RELU = {
    "rows_at_bits": (64, "bit"),
    "relu_hops": (9.0, "1"),
    "relu_bytes_element": (144.0, "B"),
    "relu_full_ring_bytes": (48.0, "B"),
    "relu_hops_per_doubling": (1.0, "1"),
    "maxpool_hops": (18.0, "1"),
    "maxpool_bytes_output": (432.0, "B"),
    "conv_hops": (2.0, "1"),
    "conv_bytes_patch": (16.0, "B"),
    "conv_bytes_weight": (0.016, "kB"),
    "conv_cpu_mac": (2.0, "ns"),
}


def test_rows_become_flows() -> None:
    found = rows.rows(table(**RELU))
    assert set(found.operators) == {"relu", "conv"}
    assert found.operators["relu"] == Flow(Rate(element=144), 9)
    assert found.operators["conv"] == Flow(Rate(weight=16), 2, patch=16)
    assert rows.rate(table(**RELU), "conv", "cpu") == Rate(mac=pytest.approx(2e-9))
    assert rows.rate(table(**RELU), "relu", "cpu") is None


def test_max_pools_grow_with_the_window() -> None:
    pool = rows.rows(table(**RELU)).maxpool
    assert pool is not None
    assert pool(4) == Flow(Rate(output=432), 18)
    assert pool(9) == Flow(Rate(output=432 * 8 / 3), 36)
    assert rows.rows(table()).maxpool is None


def test_another_ring_scales_bytes_and_depth() -> None:
    found = rows.rows(table(**{**RELU, "ring_bits": (32, "bit")}))
    assert found.operators["relu"] == Flow(Rate(element=72), 8)
    assert found.operators["conv"] == Flow(Rate(weight=8), 2, patch=8)
    assert found.maxpool is not None
    assert found.maxpool(4) == Flow(Rate(output=216), 16)


def test_a_narrow_comparison_keeps_its_full_ring_part() -> None:
    found = rows.rows(table(**RELU))
    assert found.narrow is not None
    assert found.narrow(64) == found.operators["relu"]
    assert found.narrow(16) == Flow(Rate(element=48 + 96 / 4), 7)
    assert rows.rows(table(relu_hops=(1, "1"))).narrow is None


def test_quantities_a_table_has() -> None:
    offline = table(relu_offline_bytes_element=(17.5, "kB"))
    assert rows.has(offline, "offline_bytes")
    assert not rows.has(offline, "offline_cpu")
    assert not rows.has(table(**RELU), "offline_bytes")
    assert rows.rate(offline, "relu", "offline_bytes") == Rate(element=17_500)


@pytest.mark.parametrize(
    ("name", "value", "unit", "message"),
    [
        ("relu_bits", 1.0, "B", r"mine\.constants\.relu_bits: unknown constant"),
        ("softmax_hops", 1.0, "1", "unknown constant"),
        ("relu_bytes_row", 1.0, "B", "unknown constant"),
        ("relu_bytes_element", 1.0, "ms", "wrong unit"),
        ("relu_cpu_call", 1.0, "B", "wrong unit"),
        ("relu_hops", 1.0, "B", "wrong unit"),
        ("ring_bits", 1.0, "bit", "must be a whole number, 2 or more"),
        ("ring_bits", 32.5, "bit", "must be a whole number"),
        ("rows_at_bits", 0.0, "bit", "must be a whole number"),
        ("parties", 1.0, "1", "must be a whole number, 2 or more"),
    ],
)
def test_what_is_no_table_of_a_protocol(name: str, value: float, unit: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        rows.check(table(**{**RELU, name: (value, unit)}))


def test_what_a_table_must_have() -> None:
    lacking = table()
    kept = {n: c for n, c in lacking.constants.items() if n != "party_power"}
    with pytest.raises(ConfigError, match="'party_power' is missing"):
        rows.check(CostTable("mine", "protocol_2pc", "", kept))
    rows.check(table(**RELU))
