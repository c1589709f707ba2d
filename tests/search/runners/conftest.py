import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest


@dataclass
class TwoNodes:
    """A head node and an edge node (resource ``edge``, a GPU by name only), one CPU each."""

    cluster: Any
    edge: Any

    def lose_edge(self) -> None:
        """Kill the edge node without a word to anybody."""
        self.cluster.remove_node(self.edge, allow_graceful=False)

    def add_edge(self) -> None:
        """Start an edge node."""
        self.edge = self.cluster.add_node(num_cpus=1, num_gpus=1, resources={"edge": 8})


@pytest.fixture(scope="session")
def two_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoNodes]:
    """A Ray cluster of two nodes on this machine, joined by this process.

    Nodes listen on the network, so they want a token: one of their own, made for these tests.
    """
    token = tmp_path_factory.mktemp("ray") / "token"
    token.write_text(secrets.token_hex(32))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN_PATH", str(token))
        from ray._private.authentication_test_utils import reset_auth_token_state

        reset_auth_token_state()  # another test may have imported ray before
        yield from _start()


def _start() -> Iterator[TwoNodes]:
    from search.runners.ray_cluster import load_ray

    ray = load_ray()
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 1, "_system_config": {"metrics_report_interval_ms": 500}}
    nodes = TwoNodes(Cluster(initialize_head=True, head_node_args=head), None)
    nodes.add_edge()
    ray.init(address=nodes.cluster.address, log_to_driver=False, logging_level="ERROR")
    try:
        yield nodes
    finally:
        ray.shutdown()
        nodes.cluster.shutdown()
