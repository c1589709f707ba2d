import json

import pytest
import torch
from torch import Tensor, nn

from search.workloads.canonical import canonicalise, trace_sites
from search.workloads.image import ImageClassification
from search.workloads.links import trace_links


def links_of(network: nn.Module, shape: tuple[int, ...]) -> dict[str, tuple[str, ...]]:
    canonical = canonicalise(network, shape)
    return dict(trace_links(canonical, trace_sites(canonical, shape)))


class Joined(nn.Module):
    """A skip, a join of two branches, a module called twice and steps that only move data."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)
        self.act = nn.ReLU()
        self.last = nn.Linear(4 * 16, 3)

    def forward(self, x: Tensor) -> Tensor:
        a = self.act(self.conv(x))
        b = self.conv(a).relu()
        return self.last(torch.cat([a + x, b], dim=1).flatten(1))


def test_links_follow_skips_and_joins_and_look_through_data_movement() -> None:
    links = links_of(Joined(), (2, 4, 4))
    assert links == {
        "conv": (),
        "act": ("conv",),
        "conv#1": ("act",),
        "relu": ("conv#1",),
        "add": ("act",),
        "last": ("add", "relu"),
    }


@pytest.mark.parametrize("name", ["mlp", "lenet5", "resnet_tiny", "mobilenet_v2"])
def test_every_site_of_a_shipped_network_has_its_links(name: str) -> None:
    workload = ImageClassification(network=name, data="fashion_mini")
    links, names = workload.links(), [s.name for s in workload.sites()]
    assert list(links) == names
    for name, read in links.items():
        assert all(names.index(other) < names.index(name) for other in read)
    assert [n for n in names if not links[n]] == names[:1]


def test_a_residual_network_adds_two_branches() -> None:
    workload = ImageClassification(network="resnet_tiny", data="fashion_mini")
    adds = [s.name for s in workload.sites() if s.kind == "add"]
    assert adds
    assert all(len(workload.links()[name]) == 2 for name in adds)


def test_links_come_back_from_the_cache(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIPHER_SEARCH_CACHE", str(tmp_path))
    first = ImageClassification(network="lenet5", data="fashion_mini").links()
    again = ImageClassification(network="lenet5", data="fashion_mini").links()
    assert first == again
    assert first["pool1"] == ("relu1",)
    assert json.loads(json.dumps(first)) is not None
