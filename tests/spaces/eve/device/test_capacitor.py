from __future__ import annotations

import math
from dataclasses import replace

import pytest

from spaces.eve.device.capacitor import Capacitor
from spaces.eve.device.table import load_profile

CAPACITOR = Capacitor.of(load_profile("external_fram"))


def test_published_energy_of_a_power_cycle() -> None:
    assert pytest.approx(2.75e-3, abs=1e-6) == CAPACITOR.usable_j
    assert CAPACITOR.full_j > CAPACITOR.usable_j
    assert replace(CAPACITOR, margin=0.55).usable_j == pytest.approx(0.55 * CAPACITOR.usable_j)


def test_recharging_through_the_resistance() -> None:
    # From off to on: -RC ln((2.99 - 3) / (2.8 - 3)).
    whole = CAPACITOR.recharge_s(CAPACITOR.usable_j)
    assert whole == pytest.approx(5.0 * math.log(0.2 / 0.01), rel=1e-6)
    half = CAPACITOR.recharge_s(CAPACITOR.usable_j / 2)
    assert 0 < half < whole
    assert CAPACITOR.recharge_s(0.0) == 0.0


def test_recharging_with_constant_power() -> None:
    assert CAPACITOR.recharge_s(2e-3, 1e-3) == pytest.approx(2.0)
    assert CAPACITOR.recharge_s(2e-3, 0.0) == math.inf
