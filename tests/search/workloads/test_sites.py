from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search.api.errors import ConfigError
from search.api.network import Site
from search.workloads.canonical import canonicalise
from search.workloads.operators import X2Act
from search.workloads.sites import output_shape, structure, trace_sites


def sites_of(network: nn.Module, shape: tuple[int, ...]) -> tuple[Site, ...]:
    return trace_sites(canonicalise(network, shape), shape)


def only(network: nn.Module, shape: tuple[int, ...]) -> Site:
    (site,) = sites_of(network, shape)
    return site


def test_convolution() -> None:
    site = only(nn.Conv2d(4, 6, (3, 5), stride=2, padding=1, groups=2), (4, 9, 9))
    assert (site.kind, site.operator) == ("conv", "conv")
    assert (site.input_shape, site.output_shape) == ((4, 9, 9), (6, 5, 4))
    assert site.weights == 6 * 2 * 15
    assert site.macs == 6 * 5 * 4 * 2 * 15
    assert site.attributes == {
        "kernel_h": 3, "kernel_w": 5, "stride": 2, "padding": 1, "groups": 2,
    }  # fmt: skip


def test_padding_given_in_words() -> None:
    assert only(nn.Conv2d(1, 1, 5, padding="same"), (1, 9, 9)).attributes["padding"] == 2
    assert only(nn.Conv2d(1, 1, 5, padding="valid"), (1, 9, 9)).attributes["padding"] == 0


def test_transposed_convolution_counts_input_pixels() -> None:
    site = only(nn.ConvTranspose2d(2, 3, 2, stride=2), (2, 4, 4))
    assert site.macs == 4 * 4 * 2 * 3 * 4


def test_linear_and_norm() -> None:
    linear, norm = sites_of(nn.Sequential(nn.Linear(8, 5), nn.BatchNorm1d(5)), (8,))
    assert (linear.kind, linear.macs, linear.weights) == ("linear", 40, 40)
    assert (norm.kind, norm.operator) == ("norm", "batchnorm")


@pytest.mark.parametrize(
    ("module", "word", "attributes"),
    [
        (nn.MaxPool2d(3, 2, 1), "maxpool", {"kernel": 3, "stride": 2, "padding": 1}),
        (nn.AvgPool2d(2), "avgpool", {"kernel": 2, "stride": 2, "padding": 0}),
        (nn.MaxPool2d((2, 4)), "maxpool",
         {"kernel_h": 2, "kernel_w": 4, "stride_h": 2, "stride_w": 4, "padding": 0}),
        (nn.MaxPool2d(3, ceil_mode=True), "maxpool",
         {"kernel": 3, "stride": 3, "padding": 0, "ceil": 1}),
        (nn.AdaptiveMaxPool2d(2), "maxpool", {"kernel": 4, "stride": 4, "padding": 0}),
        (nn.AdaptiveAvgPool2d(3), "avgpool",
         {"kernel": 2, "stride": 2, "padding": 0, "adaptive": 1}),
        (nn.AdaptiveMaxPool2d(1), "maxpool", {"kernel": 8, "stride": 8, "padding": 0}),
    ],
)  # fmt: skip
def test_pools_to_choose(module: nn.Module, word: str, attributes: dict[str, int]) -> None:
    site = only(module, (2, 8, 8))
    assert (site.kind, site.operator, site.attributes) == ("pool", word, attributes)


@pytest.mark.parametrize("module", [nn.AdaptiveAvgPool2d(1), nn.AvgPool2d(8)])
def test_an_average_over_the_whole_map_is_no_choice(module: nn.Module) -> None:
    site = only(module, (2, 8, 8))
    assert (site.kind, site.operator, site.output_shape) == ("other", "globalavgpool", (2, 1, 1))


def test_an_adaptive_pool_that_does_nothing_is_no_site() -> None:
    assert sites_of(nn.AdaptiveAvgPool2d(7), (2, 7, 7)) == ()


@pytest.mark.parametrize(
    ("module", "word"),
    [(nn.ReLU(), "relu"), (nn.ReLU6(), "relu"), (nn.GELU(), "gelu"), (nn.SiLU(), "silu"),
     (X2Act(18), "x2act"), (nn.PReLU(), "prelu"), (nn.Tanh(), "tanh")],
)  # fmt: skip
def test_activations(module: nn.Module, word: str) -> None:
    site = only(module, (2, 3, 3))
    assert (site.kind, site.operator, site.elements) == ("activation", word, 18)
    assert site.attributes == ({"cap": 6} if isinstance(module, nn.ReLU6) else {})


class Mixed(nn.Module):
    """Sum, gate, product of matrices, functional layers, and moves of data."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 2, 3, 3))
        self.projection = nn.Parameter(torch.randn(5, 16))

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv2d(x, self.weight, padding=1)
        x = x + x.transpose(2, 3)
        x = torch.cat([x, x * 2 + 1], 1)[:, :4]
        x = x * torch.sigmoid(x)
        x = x.flatten(2) @ x.flatten(2).transpose(1, 2)
        return F.linear(x.flatten(1), self.projection)


def test_functional_operators() -> None:
    sites = sites_of(Mixed(), (2, 6, 6))
    assert [(s.kind, s.operator) for s in sites] == [
        ("conv", "conv"), ("add", "add"), ("other", "sigmoid"), ("other", "mul"),
        ("other", "matmul"), ("linear", "linear"),
    ]  # fmt: skip
    macs = {s.operator: s.macs for s in sites}
    assert macs["conv"] == 36 * 4 * 18
    assert macs["matmul"] == 4 * 4 * 36
    assert macs["linear"] == 5 * 16


def test_norms_and_unknown_modules_are_sites_with_their_names() -> None:
    norm = only(nn.LayerNorm(8), (3, 8))
    assert (norm.kind, norm.operator, norm.weights) == ("norm", "layernorm", 16)
    softmax = only(nn.Softmax(1), (8,))
    assert (softmax.kind, softmax.operator) == ("other", "softmax")


def test_names_are_unique_and_in_execution_order() -> None:
    class Backwards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.z = nn.Linear(4, 4)
            self.a = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.z(self.a(self.z(x)))

    assert [s.name for s in sites_of(Backwards(), (4,))] == ["z", "a", "z#1"]


def test_tracing_changes_neither_mode_nor_statistics() -> None:
    network = canonicalise(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)), (1, 5, 5))
    before = {k: v.clone() for k, v in network.state_dict().items()}
    trace_sites(network, (1, 5, 5))
    assert network.training
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())


def test_output_shape() -> None:
    assert output_shape(canonicalise(nn.Linear(4, 3), (4,)), (4,)) == (3,)

    class Pair(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x, x

    assert output_shape(canonicalise(Pair(), (4,)), (4,)) == ()


def test_wrong_input_shape_is_named() -> None:
    network = canonicalise(nn.Linear(4, 3), (4,))
    with pytest.raises(ConfigError, match=r"does not run on inputs of shape \(5,\)"):
        trace_sites(network, (5,))


def test_structure_tells_networks_apart_but_not_their_weights() -> None:
    def made(slope: float, *, skip: bool) -> list[str]:
        class Net(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.layer = nn.Linear(4, 4)
                self.act = nn.LeakyReLU(slope)

            def forward(self, x: Tensor) -> Tensor:
                y = self.act(self.layer(x))
                return x + y if skip else y

        return structure(canonicalise(Net(), (4,)))

    assert made(0.1, skip=False) == made(0.1, skip=False)
    assert made(0.1, skip=False) != made(0.2, skip=False)
    assert made(0.1, skip=False) != made(0.1, skip=True)


def test_counts_of_a_whole_network() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())
    assert Counter(s.kind for s in sites_of(network, (1, 6, 6))) == {
        "conv": 1, "activation": 1, "pool": 1,
    }  # fmt: skip
