from __future__ import annotations

from pathlib import Path

import pytest

from evaluators.device.traces import Chain, Trace, chains, load_source
from search.api.errors import ConfigError


def test_energy_of_a_trace() -> None:
    trace = Trace((0.0, 10.0, 20.0), (1.0, 0.0, 2.0))
    assert trace.energy_j(5.0, 25.0) == pytest.approx(5.0 + 10.0)
    assert trace.energy_j(30.0, 40.0) == pytest.approx(20.0)
    assert trace.energy_j(3.0, 3.0) == 0.0


@pytest.mark.parametrize(
    ("starts", "powers"),
    [((), ()), ((0.0, 1.0), (1.0,)), ((1.0,), (1.0,)), ((0.0, 0.0), (1.0, 2.0)),
     ((0.0,), (-1.0,)), ((0.0,), (float("nan"),))],
)  # fmt: skip
def test_traces_that_cannot_be(starts: tuple[float, ...], powers: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match="trace"):
        Trace(starts, powers)


@pytest.mark.parametrize("name", chains())
def test_chains_keep_their_dwell_times(name: str) -> None:
    source = load_source(name)
    assert isinstance(source, Chain)
    trace = source.draw(200_000.0, 3)
    assert trace == source.draw(200_000.0, 3) != source.draw(200_000.0, 4)
    assert set(trace.power_w) == set(source.power_w)
    ends = (*trace.starts_s[1:], trace.starts_s[-1])
    for power, dwell in zip(source.power_w, source.dwell_s, strict=True):
        times = [b - a for a, b, p in zip(trace.starts_s, ends, trace.power_w, strict=True)
                 if p == power]  # fmt: skip
        assert sum(times) / len(times) == pytest.approx(dwell, rel=0.25)


def test_three_surroundings_come_along() -> None:
    assert chains() == ("steady_weak", "bursty_indoor", "solar")


@pytest.mark.parametrize(
    "chain",
    [
        ((1.0, 2.0), (1.0,), ((0.0, 1.0), (1.0, 0.0))),
        ((1.0, 2.0), (1.0, 0.0), ((0.0, 1.0), (1.0, 0.0))),
        ((1.0, 2.0), (1.0, 1.0), ((0.0, 0.9), (1.0, 0.0))),
        ((1.0, 2.0), (1.0, 1.0), ((0.5, 0.5), (1.0, 0.0))),
    ],
)
def test_chains_that_cannot_be(chain: tuple) -> None:  # type: ignore[type-arg]
    with pytest.raises(ConfigError, match="trace mine"):
        Chain("mine", *chain)


def test_recordings_are_replayed(tmp_path: Path) -> None:
    path = tmp_path / "roof.csv"
    path.write_text("time_s,power_mw\n100,1\n110,3\n120,0\n", encoding="utf-8")
    source = load_source(str(path))
    trace = source.draw(65.0, 0)
    assert trace.starts_s == (0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0)
    assert trace.power_w == pytest.approx((1e-3, 3e-3, 0.0) * 3)
    other = source.draw(300.0, 5)
    assert other.starts_s[0] == 0.0
    assert other != source.draw(300.0, 0)
    assert other.energy_j(0.0, 300.0) == pytest.approx(trace.energy_j(0.0, 30.0) * 10)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0,1\n1,x\n", r"roof.csv:2.*expected time"),
        ("0,1\n1,2,3\n", r"roof.csv:2.*expected time"),
        ("0,1\n0,2\n", r"roof.csv:2.*times must rise"),
        ("0,1\n1,-2\n", r"roof.csv:2.*no power below 0"),
        ("0,1\n1,nan\n", "finite"),
        ("time,power\n0,1\n", "at least 2 lines"),
    ],
)
def test_wrong_recordings_are_told(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "roof.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        load_source(str(path))


def test_unknown_sources_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="known: steady_weak, bursty_indoor, solar"):
        load_source("moon")
    with pytest.raises(ConfigError, match="cannot read"):
        load_source(str(tmp_path / "absent.csv"))
