import pytest

from evaluators.mpc.calibration import explained, fit
from evaluators.mpc.crypten.samples import measure


@pytest.mark.crypten
def test_every_operator_of_small_networks_is_timed() -> None:
    told: list[tuple[int, int]] = []
    samples = measure(
        sizes=((2, 8), (3, 8)), repeats=2, progress=lambda done, total: told.append((done, total))
    )
    assert told[-1] == (2, 2)
    operators = {s.operator for s in samples}
    assert {
        "conv", "linear", "relu", "x2act", "poly1", "poly2", "poly3", "maxpool", "avgpool", "add",
        "affine",
    } <= operators  # fmt: skip
    assert all(s.seconds > 0 for s in samples)
    relu = next(s for s in samples if s.operator == "relu")
    assert relu.amounts["element"] == 2 * 8 * 8
    rates = fit(samples)
    assert set(rates) == operators
    assert explained(relu, rates) > 0
