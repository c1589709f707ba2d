import math

import pytest
from pydantic import ValidationError

from evaluators.mpc.networks import Network, NetworkConfig, find_network, network_of, profiles
from search.api.errors import ConfigError


def test_shipped_profiles() -> None:
    found = {n: (p.bandwidth, p.round_trip) for n, p in profiles().items()}
    assert found == {
        "lan": (pytest.approx(375e6), pytest.approx(0.3e-3)),
        "wan": (pytest.approx(50e6), pytest.approx(40e-3)),
        "fast_lan": (pytest.approx(1e9), pytest.approx(0.1e-3)),
        "loopback": (math.inf, 0.0),
    }
    assert all("(20" in p.source for p in profiles().values())  # source with its date


def test_one_way_is_half_a_round_trip() -> None:
    assert find_network("wan").one_way == pytest.approx(20e-3)


def test_a_network_of_ones_own() -> None:
    mine = find_network(NetworkConfig(bandwidth="100 Mbit/s", round_trip="20 ms"))
    assert (mine.name, mine.bandwidth, mine.round_trip) == ("custom", 12.5e6, 0.02)
    assert mine.describe() == "custom (100 Mbit/s, 20 ms round trip)"
    assert network_of({"bandwidth": "100 Mbit/s", "round_trip": "20 ms"}) == mine
    assert network_of(mine) is mine
    assert network_of("lan") == find_network("lan")
    assert network_of(None) is None


def test_unlimited() -> None:
    assert "unlimited" in find_network("loopback").describe()


def test_an_unknown_profile_lists_the_known() -> None:
    with pytest.raises(ConfigError, match=r"network: unknown network 'wam' \(known: lan, wan, "
                                          r"fast_lan, loopback.*Did you mean 'wan'"):  # fmt: skip
        find_network("wam")


@pytest.mark.parametrize(
    ("bandwidth", "round_trip", "message"),
    [
        ("100", "20 ms", r"network\.bandwidth: wrong unit \(got '1'; expected one like 'B/s'"),
        ("100 MB", "20 ms", r"network\.bandwidth: wrong unit"),
        ("100 MB/s", "20 MB", r"network\.round_trip: wrong unit"),
        ("fast", "20 ms", r"network\.bandwidth: expected a number and a unit"),
        ("0 MB/s", "20 ms", r"network\.bandwidth: must be greater than 0"),
        ("-1 MB/s", "20 ms", r"network\.bandwidth: must be greater than 0"),
        ("1 MB/s", "-20 ms", r"network\.round_trip: must be finite, 0 or more"),
    ],
)
def test_what_is_no_network(bandwidth: str, round_trip: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        network_of({"bandwidth": bandwidth, "round_trip": round_trip})


def test_what_is_no_number() -> None:
    with pytest.raises(ConfigError, match="bandwidth"):
        Network("n", math.nan, 0.0)
    with pytest.raises(ConfigError, match="round_trip"):
        Network("n", 1.0, math.inf)


def test_keys() -> None:
    with pytest.raises(ConfigError, match=r"expected the keys bandwidth and round_trip \(got band"):
        network_of({"bandwidth": "1 MB/s"})
    with pytest.raises(ValidationError):
        NetworkConfig(bandwidth="1 MB/s", round_trip="1 ms", jitter="1 ms")  # type: ignore[call-arg]
