from pathlib import Path

import pytest

from evaluators.mpc.calibration import Sample, calibrate, explained, fit, host, spread, write
from evaluators.mpc.cpu_times import find_cpu_times, read_cpu_times
from search.api.errors import ConfigError, EvaluationError


def sample(network: int, operator: str, seconds: float, **amounts: float) -> Sample:
    return Sample(network, operator, {"call": 1.0, **amounts}, seconds)


def relus_and_convs(factor: float = 1.0) -> list[Sample]:
    """Times that follow known rates exactly."""
    found = []
    for n, size in enumerate((100, 1000, 5000, 20000)):
        found.append(sample(n, "relu", factor * (4e-3 + 2e-6 * size), element=size))
        macs, weights, outputs = 30 * size, 200.0 * (n + 1), 2.0 * size + 100 * n * n
        seconds = factor * (1e-3 + 1e-9 * macs + 3e-8 * outputs)
        found.append(
            sample(n, "conv", seconds, element=size, output=outputs, mac=macs, weight=weights)
        )
    return found


def test_known_rates_come_back() -> None:
    samples = relus_and_convs()
    rates = fit(samples)
    assert rates["relu"] == pytest.approx({"call": 4e-3, "element": 2e-6})
    assert all(explained(s, rates) == pytest.approx(s.seconds, rel=1e-6) for s in samples)
    assert spread(samples, rates) < 1e-6


def test_rates_are_never_negative() -> None:
    falling = [sample(n, "relu", 1e-2 - 1e-6 * n * 1000, element=1000.0 * n) for n in range(5)]
    assert all(v >= 0 for v in fit(falling)["relu"].values())


def test_totals_are_made_right() -> None:
    """A step that is slow in most networks and fast in one bends the fit, not the totals."""
    samples = [sample(n, "relu", 1e-2, element=100.0) for n in range(4)]
    samples.append(sample(4, "relu", 1e-4, element=100.0))
    rates = fit(samples)
    assert explained(samples[0], rates) == pytest.approx(1e-2)


def test_nothing_measured_is_an_error() -> None:
    with pytest.raises(EvaluationError, match="nothing was measured"):
        fit([])


def test_the_file_is_what_cost_models_read(tmp_path: Path) -> None:
    samples = relus_and_convs()
    path = write("crypten", fit(samples), samples, tmp_path / "new" / "2pc.json")
    times = read_cpu_times(path, "crypten")
    assert times.seconds["relu"].element == pytest.approx(2e-6)
    assert times.host == host()["name"]
    assert host()["cores"] >= 1


def test_auto_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIPHER_SEARCH_CACHE", str(tmp_path))
    assert find_cpu_times("auto", "crypten") is None
    samples = relus_and_convs()
    write("crypten", fit(samples), samples)
    times = find_cpu_times("auto", "crypten")
    assert times is not None
    assert set(times.seconds) == {"relu", "conv"}


def test_unknown_backend() -> None:
    with pytest.raises(ConfigError, match=r"unknown backend 'spu' \(known: crypten\)"):
        calibrate("spu")
