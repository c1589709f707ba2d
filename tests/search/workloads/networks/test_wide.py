import pytest
import torch
from torch import nn

from search.api.errors import ConfigError
from search.workloads.networks.wide import wrn22_8


def test_depth_and_width() -> None:
    network = wrn22_8((3, 32, 32), 10, width=2)
    convs = [m for m in network.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    assert len(convs) == 1 + 3 * 3 * 2  # 22 with the three projections
    assert convs[-1].out_channels == 128
    assert network(torch.randn(2, 3, 32, 32)).shape == (2, 10)


def test_blocks_activate_first_and_add_last() -> None:
    block = wrn22_8((3, 8, 8), 10, width=1).get_submodule("groups.group1.1").eval()
    with torch.no_grad():
        block.conv2.weight.zero_()
    x = torch.randn(2, 16, 8, 8)
    torch.testing.assert_close(block(x), x)


def test_dropout_by_option() -> None:
    network = wrn22_8((3, 8, 8), 10, width=1, dropout=0.3)
    assert {m.p for m in network.modules() if isinstance(m, nn.Dropout)} == {0.3}


def test_width_must_be_positive() -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        wrn22_8((3, 8, 8), 10, width=0)
