"""Times of operations, and what a circuit made of them takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evaluators.fhe.circuit import Circuit, Count, Stage
from evaluators.fhe.costs import OperationTimes, Template, fit, latency, shipped_times
from search.api.errors import ConfigError


def circuit() -> Circuit:
    """A linear layer and a square between a client's encryption and decryption."""
    stages = (
        Stage("input", "input", 3, 3, 26, 26, (Count("encrypt", 3, 1, "client"),)),
        Stage("fc", "linear", 3, 2, 26, 26, (
            Count("rotate", 3, 10), Count("multiply_plain", 3, 30), Count("add", 3, 29),
            Count("rescale", 3, 1), Count("rotate", 2, 4),
        )),
        Stage("square", "square", 2, 1, 26, 26, (
            Count("square", 2, 1), Count("relinearise", 2, 1), Count("rescale", 2, 1),
        )),
        Stage("output", "output", 1, 1, 26, 26, (Count("decrypt", 1, 1, "client"),)),
    )  # fmt: skip
    return Circuit(stages, (1, 2), True, {"fc": (3, 30)})


@pytest.mark.parametrize(
    ("operation", "log_n", "limbs", "expected"),
    [
        ("rotate", 12, 2, 0.47),
        ("rotate", 13, 6, 6.1),
        ("rotate", 14, 10, 32.0),
        ("rotate", 15, 12, 96.0),
        ("relinearise", 14, 7, 16.7),
        ("multiply_plain", 14, 7, 0.68),
        ("multiply", 14, 7, 1.6),
        ("rescale", 13, 6, 1.01),
        ("add", 14, 7, 0.39),
    ],
)
def test_shipped_times_are_near_those_of_another_binding(
    operation: str, log_n: int, limbs: int, expected: float
) -> None:
    """Numbers taken through seal-python on the same kind of machine."""
    found = shipped_times("ckks_seal").milliseconds(operation, log_n, limbs)  # type: ignore[arg-type]
    assert float(found) == pytest.approx(expected, rel=0.5)


@pytest.mark.parametrize(("log_n", "limbs", "special", "expected"), [
    (13, 6, 2, 8.2), (14, 8, 2, 23.1), (15, 13, 3, 92.0), (15, 3, 3, 15.0),
])  # fmt: skip
def test_lattigo_groups_limbs_by_its_special_primes(
    log_n: int, limbs: int, special: int, expected: float
) -> None:
    found = shipped_times("ckks_lattigo").milliseconds("rotate", log_n, limbs, special)
    assert float(found) == pytest.approx(expected, rel=0.16)


def test_times_grow_with_limbs_and_ring_dimension() -> None:
    times = shipped_times()
    limbs = np.arange(2, 20)
    for operation in ("rotate", "multiply_plain", "rescale", "encode", "encrypt", "decrypt"):
        at = times.milliseconds(operation, np.arange(10, 18)[:, None], limbs)
        assert at.shape == (8, 18)
        assert (np.diff(at, axis=0) > 0).all()
        assert (np.diff(at, axis=1) > 0).all()


def test_an_unmeasured_ring_dimension_is_scaled_from_the_nearest() -> None:
    times = OperationTimes("x", "here", {"rotate": {13: (0.0, 1.0, 0.0), 14: (0.0, 2.0, 0.0)}})
    assert times.milliseconds("rotate", 15, 3) == pytest.approx(8.0 * 2 * 15 / 14)
    assert times.milliseconds("rotate", 12, 3) == pytest.approx(4.0 / 2 * 12 / 13)


def test_missing_times_are_named() -> None:
    times = OperationTimes("x", "here", {"rotate": {13: (0.0, 1.0, 0.0)}})
    with pytest.raises(ConfigError, match="no time for operation 'add' \\(known: rotate\\)"):
        times.milliseconds("add", 13, 2)
    with pytest.raises(ConfigError, match="log_n"):
        times.milliseconds("rotate", 40, 2)


def test_latency_is_the_sum_of_operations_by_stage_and_place() -> None:
    times = shipped_times()
    found = latency(circuit(), 13, times)

    def t(operation: str, limbs: int) -> float:
        return float(times.milliseconds(operation, 13, limbs)) * times.factor  # type: ignore[arg-type]

    linear = 10 * t("rotate", 3) + 30 * t("multiply_plain", 3) + 29 * t("add", 3)
    linear += t("rescale", 3) + 4 * t("rotate", 2)
    by_node = {s.node: s for s in found.stages}
    assert by_node["fc"].milliseconds == pytest.approx(linear)
    assert by_node["input"].place == "client"
    assert found.client == pytest.approx(t("encrypt", 3) + t("decrypt", 1))
    assert found.total == pytest.approx(found.client + found.server)
    assert found.server == pytest.approx(
        linear + t("square", 2) + t("relinearise", 2) + t("rescale", 2)
    )


def test_many_parameter_sets_agree_with_one() -> None:
    times, template = shipped_times(), Template.of(circuit())
    sets = 200
    log_n = np.random.default_rng(0).integers(12, 16, sets)
    server, client = template.latencies(log_n, times, extra_limbs=np.arange(sets) % 3)
    assert server.shape == client.shape == (sets,)
    one = latency(circuit(), int(log_n[3]), times)
    assert server[3] == pytest.approx(one.server)
    assert client[3] == pytest.approx(one.client)
    assert server[1] > template.latencies(log_n[1:2], times)[0][0]


def test_fit_finds_coefficients_and_none_is_negative() -> None:
    rotate = [(limbs, 0.1 * limbs * (limbs + 1) + 0.3 * (limbs + 1)) for limbs in (1, 2, 4, 8)]
    assert fit("rotate", rotate) == pytest.approx((0.1, 0.3, 0.0), abs=1e-9)
    add = [(limbs, 0.2 * limbs + 0.05) for limbs in (1, 2, 4, 8)]
    assert fit("add", add) == pytest.approx((0.0, 0.2, 0.05), abs=1e-9)
    falling = fit("add", [(1, 3.0), (2, 2.0), (4, 1.0)])
    assert min(falling) >= 0


def test_tables_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    entry = '[constants.{}]\nvalue = {}\nunit = "{}"\nsource = "me"\ndate = 2026-01-01\n'
    head = 'family = "ckks"\ntitle = "t"\n'
    body = entry.format("rotate_elements", 2000, "us") + entry.format("factor", 2, "1")
    file.write_text(head + body)
    times = shipped_times(str(file))
    assert times.milliseconds("rotate", 11, 3) == pytest.approx(2 * 2 * (3 + 1))
    assert times.factor == 2
    assert "mine" in times.describe()
    file.write_text(head + body + entry.format("rotat_elements", 2, "ms"))
    with pytest.raises(ConfigError, match="unknown constant"):
        shipped_times(str(file))
    file.write_text(head.replace("ckks", "fpga") + body)
    with pytest.raises(ConfigError, match="not a table of CKKS operations"):
        shipped_times(str(file))
