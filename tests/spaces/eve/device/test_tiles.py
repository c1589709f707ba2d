from __future__ import annotations

from dataclasses import replace

import pytest

from search.api.network import Site
from spaces.eve.device.geometry import geometry_of
from spaces.eve.device.table import load_profile
from spaces.eve.device.tiles import LayerCost, layer_cost
from spaces.eve.family import ORDERS, Execution, LayerMode

PROFILE = load_profile("external_fram")
# The second convolution of LeNet-5 with 20 and 50 filters.
CONV2 = Site("conv2", "conv", "conv", (20, 12, 12), (50, 8, 8), 1_600_000, 25_000,
             {"kernel": 5, "stride": 1, "padding": 0, "groups": 1})  # fmt: skip
CONV3X3 = Site("conv", "conv", "conv", (16, 8, 8), (32, 8, 8), 294_912, 4608,
               {"kernel": 3, "stride": 1, "padding": 1, "groups": 1})  # fmt: skip


def cost(
    site: Site, execution: Execution, unit: str = "pattern", kept: int | None = None,
    inputs: float = 1.0, bits: int = 16,
) -> LayerCost:  # fmt: skip
    shape = geometry_of(site)
    layer = LayerMode(site.name, unit, 1, 1, execution)
    units = shape.units(layer)
    layer = replace(layer, kept=units if kept is None else kept, units=units)
    return layer_cost(site.name, shape, layer, inputs, bits, PROFILE)


def test_worked_check_of_lenet5() -> None:
    found = cost(CONV2, Execution(8, 8, 2, 20))
    assert found.calls == 80_000
    assert found.compute.cycles == pytest.approx(90e6, rel=0.01)
    assert PROFILE.seconds(found.compute.cycles) == pytest.approx(5.7, abs=0.06)
    assert found.compute.energy_j == pytest.approx(33e-3, rel=0.01)
    assert 11.9 < found.compute.energy_j / 2.75e-3 < 13


def test_four_of_nine_positions_spare_five_ninths_of_the_calls() -> None:
    whole = cost(CONV3X3, Execution(8, 8, 2, 16))
    pruned = cost(CONV3X3, Execution(8, 8, 2, 16), kept=4)
    assert whole.calls / pruned.calls == pytest.approx(9 / 4)
    assert whole.compute.energy_j / pruned.compute.energy_j == pytest.approx(9 / 4)
    assert pruned.fetch.energy_j < whole.fetch.energy_j


@pytest.mark.parametrize("order", ORDERS)
def test_one_tile_is_the_formula(order: str) -> None:
    """With one tile all orders fetch inputs and weights once and write outputs once."""
    found = cost(CONV3X3, Execution(8, 8, 32, 16, order))
    address = PROFILE.operation
    inputs = (PROFILE.read(16, 1) + address("input")) * 64  # padding is not fetched
    weights = (PROFILE.read(16, 1) + address("weight")) * (9 * 32)
    outputs = (PROFILE.write(32, 1) + address(order)) * 64 + PROFILE.write(4, 1)
    assert found.fetch.energy_j == pytest.approx((inputs + weights).energy_j)
    assert found.fetch.cycles == pytest.approx((inputs + weights).cycles)
    assert found.backup.cycles == pytest.approx(outputs.cycles)
    assert found.batches == 1
    # All of the layer is one batch, whatever of it counts as staying in fast memory.
    assert found.worst.energy_j + found.resume.energy_j == pytest.approx(
        found.total.energy_j + PROFILE.read(4, 1).energy_j
    )


def test_fetches_by_order() -> None:
    """2 x 1 spatial tiles, 4 of filters, 2 of channels; nothing else in the way."""
    e = Execution(4, 8, 8, 8)
    found = {o: cost(CONV3X3, replace(e, order=o)) for o in ORDERS}
    address = PROFILE.operation
    # Two tiles of 5 rows: neighbours overlap, padding is not fetched. Two transfers for a pixel.
    inputs = (PROFILE.read(8, 1) + address("input")) * (2 * 2 * 5 * 8)
    weights = (PROFILE.read(8, 1) + address("weight")) * (9 * 32 * 2)
    partial = (PROFILE.read(8, 1) + address("partial")) * (64 * 4)
    wanted = {
        "reuse_I": inputs + weights * 2 + partial,
        "reuse_W": inputs * 4 + weights + partial,
        "reuse_O": inputs * 4 + weights * 2,
    }
    for order, expected in wanted.items():
        assert found[order].fetch.cycles == pytest.approx(expected.cycles), order
        assert found[order].batches == 16
    assert found["reuse_O"].backup.cycles < 2 * found["reuse_I"].backup.cycles


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("tile", [(8, 8, 32, 16), (3, 5, 7, 5), (1, 1, 1, 1), (50, 50, 50, 50)])
def test_tiles_that_do_not_divide_a_layer_compute_the_same(
    order: str, tile: tuple[int, int, int, int]
) -> None:
    found = cost(CONV3X3, Execution(*tile, order))
    runs = -(-16 // min(16, tile[3]))
    assert found.calls == 64 * 32 * 9 * runs
    bare = PROFILE.mac(64 * 32 * 9 * 16, found.calls)
    own = sum(PROFILE.operation(n).cycles for n in ("add", "accumulate", "partial"))
    assert found.compute.cycles == pytest.approx(bare.cycles + own * found.calls)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("unit", ["pattern", "filter", "block"])
@pytest.mark.parametrize("bits", [8, 16])
def test_keeping_more_never_costs_less(order: str, unit: str, bits: int) -> None:
    execution = Execution(3, 4, 5, 6, order, 2)
    most = {"pattern": 9, "filter": 32, "block": 32 * 9 * 3}[unit]
    steps = sorted({max(1, most * k // 8) for k in range(9)})
    found = [cost(CONV3X3, execution, unit, kept, bits=bits) for kept in steps]
    for sparse, dense in zip(found, found[1:], strict=False):
        assert sparse.total.energy_j <= dense.total.energy_j * (1 + 1e-12)
        assert sparse.total.cycles <= dense.total.cycles * (1 + 1e-12)
        assert sparse.worst.energy_j <= dense.worst.energy_j * (1 + 1e-12)
        assert sparse.sram_bytes <= dense.sram_bytes
        assert sparse.calls < dense.calls


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("batch", [1, 2, 3])
def test_batches_hold_all_the_work(order: str, batch: int) -> None:
    """Batches of the worst kind cannot be less than the layer."""
    found = cost(CONV3X3, Execution(4, 4, 8, 8, order, batch))
    most = found.batches * (found.worst.energy_j + found.resume.energy_j)
    assert found.total.energy_j <= most
    assert found.total.energy_j > 0.5 * most


def test_memory_of_a_batch() -> None:
    one = cost(CONV3X3, Execution(4, 4, 8, 8, "reuse_W", 1)).sram_bytes
    assert one == 2 * (6 * 6 * 8 + 9 * 8 * 8 + 4 * 4 * 8)
    assert cost(CONV3X3, Execution(4, 4, 8, 8, "reuse_W", 3)).sram_bytes == one + 2 * 2 * 128
    assert cost(CONV3X3, Execution(4, 4, 8, 8, "reuse_O", 2)).sram_bytes == one


def test_fewer_bits_move_less_but_must_be_widened() -> None:
    wide, narrow = (cost(CONV3X3, Execution(4, 4, 8, 16), bits=b) for b in (16, 8))
    assert narrow.fetch.cycles < wide.fetch.cycles
    assert narrow.compute == wide.compute
    onchip = load_profile("onchip_fram")
    assert onchip.operation("add").cycles > onchip.read(0.5, 0).cycles  # no gain in time inside


def test_missing_inputs_and_groups() -> None:
    half = cost(CONV3X3, Execution(8, 8, 2, 8), inputs=0.5)
    assert half.calls == cost(CONV3X3, Execution(8, 8, 2, 8)).calls / 2
    depthwise = replace(CONV3X3, output_shape=(16, 8, 8), weights=144,
                        attributes={**CONV3X3.attributes, "groups": 16})  # fmt: skip
    assert cost(depthwise, Execution(8, 8, 1, 1)).calls == 64 * 16 * 9


def test_extraction_is_a_small_share() -> None:
    found = cost(CONV3X3, Execution(8, 8, 4, 16, "reuse_W"), kept=4)
    assert 0 < found.index.cycles < 0.01 * found.total.cycles
