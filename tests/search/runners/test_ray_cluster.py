import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from search.api.errors import ConfigError, PluginError
from search.runners.ray_cluster import RayConfig, connected, load_ray, local_slots, request_of
from search.testing.jobs import ListedJobs


def test_a_request_is_in_rays_words() -> None:
    config = RayConfig(num_cpus=2, num_gpus=0.5, memory="1 GiB", resources={"edge": 1})
    assert request_of(config) == {
        "num_cpus": 2,
        "num_gpus": 0.5,
        "memory": 2**30,
        "resources": {"edge": 1},
    }
    assert request_of(RayConfig()) == {"num_cpus": 1.0, "num_gpus": 0.0}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"address": "ray://host:10001"}, r"runner\.address: Ray Client .* host:port"),
        ({"num_cpus": 0}, r"runner\.slots: give slots"),
        ({"memory": "many"}, r"runner\.memory: cannot read 'many'"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        request_of(RayConfig(**options))


@pytest.mark.parametrize(
    "options", [{"slots": 0}, {"num_cpus": -1}, {"auth": "open"}, {"adress": "auto"}]
)
def test_wrong_values_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        RayConfig(**options)


def test_slots_without_a_cluster_come_from_the_cores() -> None:
    assert local_slots(RayConfig(slots=7)) == 7
    assert local_slots(RayConfig()) == (os.cpu_count() or 1)
    assert local_slots(RayConfig(num_cpus=10_000)) == 1


def _not_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests of this process may be connected to their cluster; look as if not."""
    monkeypatch.setattr(load_ray(), "is_initialized", lambda: False)


@pytest.mark.ray
def test_an_address_where_nobody_listens_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    _not_joined(monkeypatch)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with (
        pytest.raises(PluginError, match=f"no Ray cluster answers at {address}.*ray start --head"),
        connected(RayConfig(address=address), ListedJobs([]), []),
    ):
        pass


@pytest.mark.ray
@pytest.mark.parametrize("address", ["nowhere", "host:port", "host:99999999"])
def test_an_address_that_cannot_be_read_is_refused(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _not_joined(monkeypatch)
    with (
        pytest.raises(ConfigError, match=r"runner\.address: cannot read"),
        connected(RayConfig(address=address), ListedJobs([]), []),
    ):
        pass


@pytest.mark.ray
@pytest.mark.usefixtures("two_nodes")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"num_gpus": 3},
            r"no node can hold a job \(needs CPU 1, GPU 3; nodes have CPU 1, GPU [01]; CPU",
        ),
        ({"num_cpus": 2}, "needs CPU 2"),  # two nodes of one CPU do not make a node of two
        ({"resources": {"lab": 1}}, "lab 1"),
        ({"memory": "900 GB"}, "memory 9e"),
    ],
)
def test_a_job_that_fits_nowhere_is_told_at_once(options: dict[str, Any], message: str) -> None:
    with (
        pytest.raises(PluginError, match=message),
        connected(RayConfig(**options), ListedJobs([]), []),
    ):
        pass


def _join(address: str, auth: str, **environment: str) -> str:
    """What a process of its own says that joins a cluster as users do, by its address."""
    code = (
        "from search.runners.ray_cluster import RayConfig, connected\n"
        "from search.testing.jobs import ListedJobs\n"
        "from search.api.errors import PluginError\n"
        "try:\n"
        f"    config = RayConfig(address={address!r}, auth={auth!r})\n"
        "    with connected(config, ListedJobs([]), []) as c:\n"
        "        print(c.slots, c.ours)\n"
        "except PluginError as error:\n"
        "    print(error)\n"
    )
    kept = {k: v for k, v in os.environ.items() if k != "RAY_AUTH_MODE"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.ray
@pytest.mark.slow
def test_a_cluster_is_joined_by_its_address_with_its_token(two_nodes: Any) -> None:
    assert _join(two_nodes.cluster.address, "auto") == "2 False"


@pytest.mark.ray
@pytest.mark.slow
def test_a_wrong_token_is_told(two_nodes: Any, tmp_path: Path) -> None:
    other = tmp_path / "token"
    other.write_text("0" * 64)
    said = _join(two_nodes.cluster.address, "auto", RAY_AUTH_TOKEN_PATH=str(other))
    assert "may refuse our token" in said
    assert "runner.auth" in said


@pytest.mark.ray
@pytest.mark.usefixtures("two_nodes")
def test_slots_are_counted_node_by_node() -> None:
    with connected(RayConfig(), ListedJobs([]), []) as cluster:
        assert (cluster.slots, cluster.ours) == (2, False)
    with connected(RayConfig(num_cpus=0.4), ListedJobs([]), []) as cluster:
        assert cluster.slots == 4
