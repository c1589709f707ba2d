import pytest
import torch

from search.api.errors import ConfigError
from search.workloads.pruning.levels import best_interval, multiples, nearest_level, quantise


def test_levels_leave_zero_out() -> None:
    assert multiples("equal", 3).tolist() == [1, 2, 3, 4]
    assert multiples("power_of_two", 3).tolist() == [1, 2, 4, 8]
    assert multiples("ternary", 1).tolist() == [1]


def test_the_nearest_level_of_the_sign_is_taken() -> None:
    weight = torch.tensor([0.0, 0.1, -0.26, 0.9, -5.0])
    found = nearest_level(weight, 0.25, multiples("equal", 3))
    assert found.tolist() == [0.0, 0.25, -0.25, 1.0, -1.0]


@pytest.mark.parametrize(("levels", "bits"), [("equal", 2), ("equal", 4), ("power_of_two", 3)])
def test_no_interval_of_a_fine_grid_is_better(levels: str, bits: int) -> None:
    weight = torch.randn(3000, generator=torch.Generator().manual_seed(1))
    steps = multiples(levels, bits)

    def error(q: float) -> float:
        return float((weight - nearest_level(weight, q, steps)).square().sum())

    found = error(best_interval(weight, steps))
    assert found <= min(error(0.002 * k) for k in range(1, 2000)) * 1.001


def test_binary_levels_are_the_mean_magnitude() -> None:
    weight = torch.tensor([1.0, -3.0, 0.0, 2.0])
    assert quantise(weight, "binary", 1).tolist() == [2.0, -2.0, 0.0, 2.0]


def test_quantised_weights_stay_as_they_are() -> None:
    weight = torch.randn(500, generator=torch.Generator().manual_seed(2))
    weight[::3] = 0
    once = quantise(weight, "equal", 3)
    assert len(torch.unique(once[once != 0].abs())) <= 4
    assert bool((once[::3] == 0).all())
    torch.testing.assert_close(quantise(once, "equal", 3), once, rtol=1e-4, atol=1e-5)


def test_nothing_to_quantise() -> None:
    assert bool((quantise(torch.zeros(4), "equal", 4) == 0).all())


def test_what_cannot_be() -> None:
    with pytest.raises(ConfigError, match="unknown levels 'log'"):
        multiples("log", 2)
    with pytest.raises(ConfigError, match=r"expected 1 to 6 bits \(got 7\)"):
        multiples("power_of_two", 7)
