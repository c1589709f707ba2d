import copy

import cloudpickle
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search.api.errors import ConfigError
from search.workloads.canonical import canonicalise, trace_sites
from search.workloads.networks.resnet import resnet_mini

SHAPE = (1, 8, 8)


class Functional(nn.Module):
    """Every functional form in one net."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.linear = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv(x))
        x = F.max_pool2d(x, 2, 1, 1)
        x = F.max_pool2d(x, 3, stride=2, ceil_mode=True)
        x = torch.relu(x - 0.1)
        x = F.avg_pool2d(x, 2)
        x = F.leaky_relu((x - 0.2).relu() - 0.1, 0.3)
        x = F.relu6(x * 9)
        x = x.clamp(min=0)
        x = F.dropout(x, 0.5, self.training)
        return self.linear(F.adaptive_avg_pool2d(x, 1).flatten(1))


class Reused(nn.Module):
    """One ReLU called three times, and one in a block."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(1, 4, 3, padding=1)
        self.b = nn.Conv2d(4, 4, 3, padding=1)
        self.act = nn.PReLU()
        self.tail = nn.Sequential(nn.Flatten(), nn.Linear(256, 3))

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.a(x))
        x = self.act(self.b(x))
        x = self.act(self.b(x))
        return self.tail(x)


class InPlace(nn.Module):
    """The sum reads a tensor that an in-place ReLU has changed."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        y = self.relu(x)
        z = (y - 1).relu_()
        return (x + z).mean((2, 3))


def same_outputs(original: nn.Module, shape: tuple[int, ...] = SHAPE) -> None:
    canonical = canonicalise(original, shape)
    x = torch.randn(4, *shape)
    original.eval()
    canonical.eval()
    with torch.no_grad():
        torch.testing.assert_close(canonical(x), original(x), rtol=0, atol=0)


def names(module: nn.Module, shape: tuple[int, ...] = SHAPE) -> list[str]:
    sites = trace_sites(canonicalise(module, shape), shape)
    return [site.name for site in sites if site.kind in ("activation", "pool")]


@pytest.mark.parametrize("make", [Functional, Reused, InPlace])
def test_outputs_are_the_same_bit_by_bit(make: type[nn.Module]) -> None:
    torch.manual_seed(0)
    same_outputs(make())


def test_gradients_are_the_same() -> None:
    original = resnet_mini((1, 14, 14), 10, width=4)
    canonical = canonicalise(copy.deepcopy(original), (1, 14, 14))
    original.train()
    x = torch.randn(8, 1, 14, 14)
    original(x).square().sum().backward()
    canonical(x).square().sum().backward()
    theirs = dict(canonical.named_parameters())
    for name, parameter in original.named_parameters():
        torch.testing.assert_close(theirs[name].grad, parameter.grad)


def test_functional_calls_become_named_modules() -> None:
    assert names(Functional()) == [
        "relu", "max_pool2d", "max_pool2d_1", "relu_1", "avg_pool2d", "relu_2", "leaky_relu",
        "relu6", "relu_3",
    ]  # fmt: skip
    canonical = canonicalise(Functional(), SHAPE)
    assert isinstance(canonical.get_submodule("leaky_relu"), nn.LeakyReLU)
    assert canonical.get_submodule("leaky_relu").negative_slope == 0.3


def test_functional_calls_are_named_after_the_module_that_makes_them() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 1, 3, padding=1)
            self.relu = nn.Identity()  # takes the first name

        def forward(self, x: Tensor) -> Tensor:
            return F.relu(self.relu(self.conv(x)))

    network = nn.Sequential(Block(), Block(), nn.Flatten(), nn.Linear(64, 3))
    assert names(network) == ["0.relu_1", "1.relu_1"]


def test_a_module_called_three_times_becomes_three() -> None:
    network = Reused()
    canonical = canonicalise(network, SHAPE)
    assert names(network) == ["act", "act#1", "act#2"]
    modules = [canonical.get_submodule(n) for n in ("act", "act#1", "act#2")]
    assert len(set(map(id, modules))) == 3
    assert len({id(m.weight) for m in modules}) == 1  # PReLU's slope stays shared
    sites = [s.name for s in trace_sites(canonical, SHAPE) if s.kind == "conv"]
    assert sites == ["a", "b", "b#1"]


def test_functional_dropout_stays_active_in_training_only() -> None:
    canonical = canonicalise(Functional(), SHAPE)
    dropout = canonical.get_submodule("dropout")
    assert isinstance(dropout, nn.Dropout)
    assert dropout.p == 0.5
    x = torch.randn(4, *SHAPE)
    assert canonical.training
    assert not torch.equal(canonical(x), canonical(x))
    canonical.eval()
    torch.testing.assert_close(canonical(x), canonical(x))


def test_in_place_activations_become_out_of_place() -> None:
    canonical = canonicalise(InPlace(), SHAPE)
    assert not any(getattr(m, "inplace", False) for m in canonical.modules())


def test_the_original_keeps_its_mode_and_its_modules() -> None:
    network = InPlace()
    canonicalise(network, SHAPE)
    assert network.training
    assert network.relu.inplace


def test_parameters_are_shared_with_the_original() -> None:
    network = Functional()
    canonical = canonicalise(network, SHAPE)
    assert {id(p) for p in canonical.parameters()} == {id(p) for p in network.parameters()}


def test_canonical_form_is_a_fixed_point() -> None:
    once = canonicalise(Reused(), SHAPE)
    twice = canonicalise(once, SHAPE)
    assert trace_sites(once, SHAPE) == trace_sites(twice, SHAPE)
    same_outputs(once)


def test_it_can_be_pickled_and_copied() -> None:
    network = canonicalise(resnet_mini((1, 14, 14), 10, width=4), (1, 14, 14)).eval()
    x = torch.randn(2, 1, 14, 14)
    for other in (cloudpickle.loads(cloudpickle.dumps(network)), copy.deepcopy(network)):
        torch.testing.assert_close(other(x), network(x))
        assert trace_sites(other, (1, 14, 14)) == trace_sites(network, (1, 14, 14))


def test_double_precision_networks() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 3), nn.ReLU()).double()
    assert names(network) == ["2"]


def test_wrappers_for_several_devices_are_taken_off() -> None:
    assert names(nn.DataParallel(Reused())) == ["act", "act#1", "act#2"]


class Branches(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


def test_control_flow_on_data_is_refused_with_its_place() -> None:
    with pytest.raises(ConfigError) as error:
        canonicalise(nn.Sequential(nn.Flatten(), nn.Sequential(Branches())), SHAPE)
    assert "cannot trace module 1.0 (Branches)" in str(error.value)
    assert "torch.where" in str(error.value)
    with pytest.raises(ConfigError, match="cannot trace module Branches"):
        canonicalise(Branches(), SHAPE)


def test_two_inputs_are_refused() -> None:
    class Two(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return x + y

    with pytest.raises(ConfigError) as error:
        canonicalise(Two(), SHAPE)
    assert "forward must take one tensor (got 2 arguments: x, y)" in str(error.value)


def test_a_wrong_input_shape_is_refused() -> None:
    with pytest.raises(ConfigError) as error:
        canonicalise(nn.Conv2d(3, 4, 3), (1, 8, 8))
    assert "does not run on inputs of shape (1, 8, 8)" in str(error.value)


def test_functional_batch_norm_is_refused() -> None:
    class Norm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.BatchNorm2d(1)

        def forward(self, x: Tensor) -> Tensor:
            mean, var = self.inner.running_mean, self.inner.running_var
            return F.batch_norm(x, mean, var, training=self.training)

    with pytest.raises(ConfigError, match="Use nn.BatchNorm2d"):
        canonicalise(Norm(), SHAPE)
