"""Bytes and hops of every protocol, per element, and a whole network that was run and counted.

Bytes are online and count all directions; hops are sequential one-way messages.

Rows marked *counted* were read off a real run (CrypTen 0.4.1's own statistics; SPU 0.9.5 through
interface counters and a delay proxy); rows marked *recalled* are formulas from papers that could
not be re-read. The small ResNet of the last tests has 7 activation sites and 73,728 activations: a
stem of 16 channels and three blocks of 16, 32 and 64 channels with shortcuts that send nothing.
"""

import math

import pytest

from evaluators.cost_table import CostTable, find_table
from evaluators.mpc.cost_2pc import TABLES, Cost2PC
from evaluators.mpc.protocol_2pc import Protocol2PC
from search.api.network import Site, Work, fixed_work, part_work
from search.workloads.canonical import canonicalise
from search.workloads.networks.resnet import resnet18
from search.workloads.sites import trace_sites

N = 16_384
ACT = Site("act", "activation", "relu", (16, 32, 32), (16, 32, 32))
POOL = Site("pool", "pool", "maxpool", (16, 32, 32), (16, 16, 16), attributes={"kernel": 2})
CONV = Site(
    "conv", "conv", "conv", (16, 32, 32), (16, 32, 32), macs=1024 * 2304, weights=2304,
    attributes={"kernel": 3, "stride": 1, "padding": 1, "groups": 1},
)  # fmt: skip

# protocol, bits -> ReLU bytes, hops, x^2 bytes, hops, 2 x 2 max pool bytes per output, hops
ROWS = {
    "crypten": (464, 9, 16, 1, 5920, 46),  # counted
    "semi2k": (144.3, 8.5, 40.1, 2.2, 434, 17.5),  # counted
    "cheetah_fm64": (99, 21.5, 222, 2, 300, 42),  # counted
    "cheetah_fm32": (49, 18, 165.5, 2, 148, 34.5),  # counted
    "aby3": (172.5, 10.75, 52.2, 1.1, 520, 22),  # counted
    "securenn": (8597, 10, 161, 2, 25_800, 20),  # bytes counted, hops recalled
    "delphi": (2050, 2, 16, 1, 6150, 2),  # recalled
    "pasnet_fpga": (2561 / 8, 4, 8, 2, 4 * 2561 / 8, 7),  # from the paper's formulas
}


def cost(protocol: str, site: Site, operator: str, **options: object) -> tuple[float, float]:
    """Bytes and hops of ``operator`` on the whole of ``site``."""
    model = Cost2PC((site,), protocol=protocol, **options).cost_models()  # type: ignore[arg-type]
    work = [fixed_work(site, operator)]
    return model["bytes_2pc"].cost(work) * 1e6, model["rounds_2pc"].cost(work)


@pytest.mark.parametrize("protocol", ROWS)
def test_one_element_as_in_the_table_of_protocols(protocol: str) -> None:
    relu, relu_hops, square, square_hops, pool, pool_hops = ROWS[protocol]
    found, hops = cost(protocol, ACT, "relu")
    # PASNet's first message is one mask of 32 bits per layer.
    assert (found / N, hops) == (pytest.approx(relu, rel=1e-5), pytest.approx(relu_hops))
    for operator in ("x2act", "poly2"):
        found, hops = cost(protocol, ACT, operator)
        assert (found / N, hops) == (pytest.approx(square), pytest.approx(square_hops))
    found, hops = cost(protocol, POOL, "maxpool")
    assert (found / 4096, hops) == (pytest.approx(pool, rel=1e-5), pytest.approx(pool_hops))


@pytest.mark.parametrize(
    ("protocol", "bits", "relu", "hops"),
    [
        ("cryptflow2_ring", 32, 584, 7),
        ("cryptflow2_ring", 64, 1168, 8),
        ("cryptflow2_field", 41, (192 * 42 + 31 * 41) / 8, 10),
        ("gc_ring", 32, 4032, 2),
        ("gc_field", 41, 11_712, 2),
    ],
)
def test_recalled_closed_forms(protocol: str, bits: int, relu: float, hops: int) -> None:
    options = {"layers": "nonlinear", "overrides": {"ring_bits": bits}}
    found, rounds = cost(protocol, ACT, "relu", **options)
    assert (found / N, rounds) == (pytest.approx(relu), hops)
    pool, _ = cost(protocol, POOL, "maxpool", **options)
    assert pool / 4096 == pytest.approx(3 * relu)


@pytest.mark.parametrize(
    ("protocol", "product", "hops"),
    [("crypten", 32, 1), ("semi2k", 40.2, 2.2), ("cheetah_fm64", 222, 2), ("aby3", 52.3, 1),
     ("securenn", 161, 2)],
)  # fmt: skip
def test_secret_products(protocol: str, product: float, hops: float) -> None:
    _, _, square, square_hops, *_ = ROWS[protocol]
    for operator in ("poly3", "poly4"):
        found, rounds = cost(protocol, ACT, operator)
        assert found / N == pytest.approx(square + product)
        assert rounds == pytest.approx(square_hops + hops)


@pytest.mark.parametrize("bits", [8, 16, 32, 64])
def test_crypten_relu_in_closed_form(bits: int) -> None:
    found, hops = cost("crypten", ACT, "relu", overrides={"ring_bits": bits})
    assert found / N == pytest.approx(bits / 2 * (2 * math.log2(bits) + 2) + bits / 4)
    assert hops == math.log2(bits) + 3


@pytest.mark.parametrize(
    ("side", "found", "hops"),
    [(2, 5920, 46), (3, 13_392, 57), (4, 24_064, 58), (6, 50_432, 68), (12, 196_992, 79)],
)
def test_crypten_max_pools_as_counted(side: int, found: float, hops: int) -> None:
    site = Site("p", "pool", "maxpool", (1, 12, 12), (1, 1, 1), attributes={"kernel": side})
    assert cost("crypten", site, "maxpool") == (pytest.approx(found), hops)


def test_crypten_max_pool_as_a_tree_of_relus() -> None:
    found, hops = cost("crypten", POOL, "maxpool", maxpool="tree")
    assert (found / 4096, hops) == (pytest.approx(1392), 18)


def test_convolutions_of_16_maps_of_32_x_32() -> None:
    # Counted: CrypTen 299 KB, SEMI2K 2.5 MB, Cheetah 1.8 MB, ABY3 858 KB.
    found, hops = cost("crypten", CONV, "conv")
    assert (found, hops) == (pytest.approx(16 * (N + 2304)), 1)
    assert found == pytest.approx(299e3, rel=0.002)
    found, hops = cost("semi2k", CONV, "conv")
    assert found == pytest.approx(16 * (1024 * 9 * 16 + 2304) + 8 * N)
    assert found == pytest.approx(2.5e6, rel=0.02)
    assert cost("cheetah_fm64", CONV, "conv")[0] == pytest.approx(1.8e6, rel=0.01)
    assert cost("aby3", CONV, "conv")[0] == pytest.approx(858e3, rel=0.002)
    assert cost("pasnet_fpga", CONV, "conv") == (pytest.approx(8 * N), 2)


@pytest.mark.parametrize("protocol", [p for p in ROWS if p not in ("pasnet_fpga", "delphi")])
def test_every_message_of_a_shipped_table_has_a_cpu_time(protocol: str) -> None:
    made = Protocol2PC(CostTable.load(find_table(protocol, TABLES)))
    lacking = [op for op, e in made.expenses.items() if e.flow.hops and not e.cpu.call + sum(
        (e.cpu.element, e.cpu.output, e.cpu.mac))]  # fmt: skip
    assert not lacking


def resnet() -> tuple[Site, ...]:
    """Sites of the small ResNet: 7 convolutions, 7 activations, a linear layer."""
    sites: list[Site] = []
    shape = (3, 32, 32)
    for i, (c, side) in enumerate(
        [(16, 32), (16, 32), (16, 32), (32, 16), (32, 16), (64, 8), (64, 8)]
    ):
        out, weights = (c, side, side), 9 * shape[0] * c
        macs = side * side * weights
        sites.append(Site(f"c{i}", "conv", "conv", shape, out, macs=macs, weights=weights))
        sites.append(Site(f"a{i}", "activation", "relu", out, out))
        shape = out
    sites.append(Site("pool", "other", "globalavgpool", shape, (64,)))
    sites.append(Site("fc", "linear", "linear", (64,), (10,), macs=640, weights=640))
    return tuple(sites)


def works(share: float) -> list[Work[float]]:
    """The work with ``share`` of each site's activations kept, the others squared."""
    found = []
    for site in resnet():
        if site.kind != "activation" or share == 1.0:
            found.append(fixed_work(site))
        elif share == 0.0:
            found.append(fixed_work(site, "poly2"))
        else:
            kept = round(site.elements * share)
            found += [part_work(site, "relu", float(kept)),
                      part_work(site, "poly2", float(site.elements - kept))]  # fmt: skip
    return found


# share of ReLUs kept -> rounds, MB, seconds on loopback, on the LAN, on the WAN
MEASURED = {
    1.0: (71, 36.6, 0.365, 0.47, 2.52),
    0.5: (78, 20.1, 0.321, 0.39, 2.28),
    0.25: (78, 11.8, 0.276, 0.32, 2.07),
    0.05: (78, 5.2, 0.265, 0.29, 1.93),
    0.0: (15, 3.5, 0.095, 0.11, 0.47),
}


@pytest.mark.parametrize("share", MEASURED)
def test_a_small_resnet_that_was_run_with_crypten(share: float) -> None:
    rounds, megabytes, loopback, lan, wan = MEASURED[share]
    sites, work = resnet(), works(share)
    assert sum(s.elements for s in sites if s.kind == "activation") == 73_728
    found = {
        name: Cost2PC(sites, protocol="crypten", network=name, calibration="none").cost_models()
        for name in ("loopback", "lan", "wan")
    }
    assert found["lan"]["rounds_2pc"].cost(work) == rounds
    assert round(found["lan"]["bytes_2pc"].cost(work), 1) == megabytes
    cpu = found["loopback"]["latency_2pc"].cost(work) / 1e3
    for name, total in (("lan", lan), ("wan", wan)):
        added = found[name]["latency_2pc"].cost(work) / 1e3 - cpu
        assert added == pytest.approx(total - loopback, abs=0.0101)  # two rounded numbers
    # CPU times of the table were taken on a busy host: the right size, no more.
    assert 0.5 < cpu / loopback < 2


def test_pixels_save_bytes_and_only_whole_layers_save_rounds() -> None:
    models = Cost2PC(resnet(), protocol="crypten").cost_models()
    costs = {n: {s: m.cost(works(s)) for s in MEASURED} for n, m in models.items()}
    assert costs["rounds_2pc"][0.05] == costs["rounds_2pc"][0.5] > costs["rounds_2pc"][1.0]
    assert costs["bytes_2pc"][0.05] < costs["bytes_2pc"][0.25] < costs["bytes_2pc"][1.0]
    assert costs["rounds_2pc"][0.0] == costs["rounds_2pc"][1.0] - 7 * 8


def test_a_square_costs_more_bytes_than_a_relu_without_a_dealer() -> None:
    ratios = {p: ROWS[p][0] / ROWS[p][2] for p in ("crypten", "semi2k", "cheetah_fm64")}
    assert ratios["crypten"] == 29
    assert ratios["semi2k"] == pytest.approx(3.6, rel=0.01)
    for protocol, ratio in ratios.items():
        relu, square = (cost(protocol, ACT, op)[0] for op in ("relu", "x2act"))
        assert relu / square == pytest.approx(ratio)
    assert ratios["cheetah_fm64"] == pytest.approx(0.45, abs=0.01)


@pytest.mark.parametrize("protocol", ["crypten", "semi2k", "cheetah_fm64", "cheetah_fm32", "aby3",
                                      "securenn", "delphi"])  # fmt: skip
def test_whole_networks_can_be_costed(protocol: str) -> None:
    shape = (3, 32, 32)
    sites = trace_sites(canonicalise(resnet18(shape, 10, width=8), shape), shape)
    models = Cost2PC(sites, protocol=protocol, network="wan").cost_models()
    dear = [fixed_work(s) for s in sites]
    cheap = [fixed_work(s, "poly2" if s.kind == "activation" else None) for s in sites]
    assert models["latency_2pc"].cost(cheap) < models["latency_2pc"].cost(dear)
    assert models["rounds_2pc"].cost(cheap) < models["rounds_2pc"].cost(dear)
