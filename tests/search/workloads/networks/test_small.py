import pytest
import torch
from torch import nn

from search.api.errors import ConfigError
from search.workloads.networks.small import (
    lenet5,
    lenet5_caffe,
    lenet_300_100,
    mlp,
    tiny_cnn,
)


def test_mlp_has_the_hidden_widths() -> None:
    network = mlp((1, 14, 14), 10, hidden=(32, 8))
    assert network(torch.randn(2, 1, 14, 14)).shape == (2, 10)
    assert [m.out_features for m in network if isinstance(m, nn.Linear)] == [32, 8, 10]


def test_mlp_without_hidden_layers_is_linear() -> None:
    assert not any(isinstance(m, nn.ReLU) for m in mlp((1, 4, 4), 3, hidden=()).modules())


def test_mlp_refuses_empty_layers() -> None:
    with pytest.raises(ConfigError, match=r"workload.network.hidden.*at least 1 \(got 0\)"):
        mlp((1, 4, 4), 3, hidden=(8, 0))


def test_lenet5_has_the_sizes_of_the_paper() -> None:
    # Convolutions 156 and 2416, linear layers 48,120, 10,164 and 850 parameters.
    # Source: LeCun et al. 1998, section II.B; the second convolution is dense here (1516 there).
    network = lenet5((1, 32, 32), 10)
    counts = [sum(p.numel() for p in m.parameters()) for m in network if list(m.parameters())]
    assert counts == [156, 2416, 48_120, 10_164, 850]


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 14, 14), (1, 12, 16)])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_lenet5_takes_many_sizes(shape: tuple[int, int, int], batch_norm: bool) -> None:
    network = lenet5(shape, 10, batch_norm=batch_norm)
    assert network(torch.randn(2, *shape)).shape == (2, 10)


def test_lenet5_refuses_tiny_images() -> None:
    with pytest.raises(ConfigError, match=r"at least 12x12 \(got 11x20\)"):
        lenet5((1, 11, 20), 10)


def weights_of(network: nn.Module) -> int:
    return sum(m.weight.numel() for m in network if isinstance(m, (nn.Conv2d, nn.Linear)))


def test_networks_of_papers_on_pruning_have_their_sizes() -> None:
    # 430.5K and 266.2K weights. Source: Zhang et al. (ECCV 2018), released code.
    assert weights_of(lenet5_caffe((1, 28, 28), 10)) == 430_500
    assert weights_of(lenet_300_100((1, 28, 28), 10)) == 266_200
    assert lenet5_caffe((3, 32, 32), 10)(torch.randn(2, 3, 32, 32)).shape == (2, 10)


def test_tiny_cnn_halves_the_image_behind_each_convolution() -> None:
    network = tiny_cnn((1, 14, 14), 10, widths=(4, 8))
    assert network(torch.randn(2, 1, 14, 14)).shape == (2, 10)
    assert network.classifier.in_features == 8 * 3 * 3


def test_small_images_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"at least 16x16 \(got 12x12\)"):
        lenet5_caffe((1, 12, 12), 10)
    with pytest.raises(ConfigError, match="cannot be halved 4 times"):
        tiny_cnn((1, 14, 14), 10, widths=(4, 4, 4, 4))
    with pytest.raises(ConfigError, match="at least 1"):
        tiny_cnn((1, 14, 14), 10, widths=(4, 0))
