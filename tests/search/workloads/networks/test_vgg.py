import pytest
import torch
from torch import nn

from search.api.errors import ConfigError
from search.workloads.canonical import canonicalise, trace_sites
from search.workloads.networks.vgg import vgg11, vgg16


@pytest.mark.parametrize(("factory", "convs"), [(vgg11, 8), (vgg16, 13)])
def test_depth(factory: object, convs: int) -> None:
    shape = (3, 32, 32)
    network = factory(shape, 10, width=4)  # type: ignore[operator]
    sites = trace_sites(canonicalise(network, shape), shape)
    assert sum(s.kind == "conv" for s in sites) == convs
    assert sum(s.kind == "activation" for s in sites) == convs
    assert sum(s.operator == "maxpool" for s in sites) == 5
    assert network(torch.randn(2, *shape)).shape == (2, 10)


def test_relus_of_vgg16_on_cifar() -> None:
    # 2 * 64 * 1024 + 2 * 128 * 256 + 3 * 256 * 64 + 3 * 512 * 16 + 3 * 512 * 4
    shape = (3, 32, 32)
    sites = trace_sites(canonicalise(vgg16(shape, 10), shape), shape)
    assert sum(s.elements for s in sites if s.operator == "relu") == 276_480


@pytest.mark.slow
def test_vgg16_on_imagenet_has_the_known_size() -> None:
    # 138,357,544 weights and biases of the paper's network D, less 4,224 convolution biases, plus
    # 8,448 of batch normalisation.
    network = vgg16((3, 224, 224), 1000)
    assert sum(p.numel() for p in network.parameters()) == 138_357_544 - 4_224 + 8_448


def test_full_head_by_option() -> None:
    network = vgg11((1, 32, 32), 10, width=1, head="full")
    linear = [m.out_features for m in network if isinstance(m, nn.Linear)]
    assert linear == [4096, 4096, 10]
    assert network(torch.randn(2, 1, 32, 32)).shape == (2, 10)


def test_pools_stop_at_one_pixel() -> None:
    network = vgg11((1, 14, 14), 10, width=1)
    assert sum(isinstance(m, nn.MaxPool2d) for m in network) == 3
    assert network(torch.randn(2, 1, 14, 14)).shape == (2, 10)


def test_width_must_be_positive() -> None:
    with pytest.raises(ConfigError, match="network vgg16: must be at least 1"):
        vgg16((3, 32, 32), 10, width=0)
