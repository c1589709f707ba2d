"""Layers mean what the network means; what cannot be passed on is named."""

import numpy as np
import pytest
import torch
from torch import nn

from evaluators.fhe.failures import BackendFailure
from evaluators.fhe.orion.export import Layers, layers_of
from search.workloads.networks.encrypted import ckks_lenet, ckks_lola, ckks_mlp
from search.workloads.operators import X2Act
from search.workloads.square import Square
from spaces.ckks.params import ActivationChoice


def evaluated(found: Layers, x: torch.Tensor) -> torch.Tensor:
    for layer in found.layers:
        name = layer["name"]
        if layer["kind"] == "square":
            x = x * x
        elif layer["kind"] == "flatten":
            x = x.flatten(1)
        else:
            weight, bias = (
                torch.from_numpy(found.weights[f"{name}.{role}"]) for role in ("weight", "bias")
            )
            if layer["kind"] == "linear":
                x = nn.functional.linear(x, weight, bias)
            else:
                rest = (layer[key] for key in ("stride", "padding", "dilation", "groups"))
                x = nn.functional.conv2d(x, weight, bias, *rest)
    return x


def settled(network: nn.Module, shape: tuple[int, ...]) -> nn.Module:
    torch.manual_seed(0)
    for _ in range(3):
        network(torch.rand(16, *shape))
    return network.double().eval()


@pytest.mark.parametrize("make", [ckks_mlp, ckks_lola, ckks_lenet])
def test_layers_compute_what_the_network_computes(make) -> None:
    shape = (1, 12, 12)
    network = settled(make(shape, 4), shape)
    found = layers_of(network, shape)
    x = torch.rand(5, *shape, dtype=torch.float64)
    assert torch.allclose(evaluated(found, x), network(x), atol=1e-9)
    kinds = [layer["kind"] for layer in found.layers]
    assert "square" in kinds
    assert kinds[-1] == "linear"
    assert found.layers[-1]["site"] == "classifier"


def test_quadratics_are_completed_to_squares() -> None:
    torch.manual_seed(1)
    act = X2Act(8, per="channel", channels=8)
    with torch.no_grad():
        for parameter in act.parameters():
            parameter.copy_(torch.rand_like(parameter) + 0.3)
    network = nn.Sequential(nn.Flatten(), nn.Linear(8, 8), act, nn.Linear(8, 2)).double().eval()
    found = layers_of(network, (1, 2, 4))
    x = torch.rand(3, 1, 2, 4, dtype=torch.float64)
    assert torch.allclose(evaluated(found, x), network(x), atol=1e-9)


def test_constants_of_a_quadratic_do_not_pass_a_padded_convolution() -> None:
    act = X2Act(8)
    network = nn.Sequential(nn.Conv2d(1, 2, 1), act, nn.Conv2d(2, 2, 3), nn.Flatten()).double()
    found = layers_of(network.eval(), (1, 4, 4))
    x = torch.rand(3, 1, 4, 4, dtype=torch.float64)
    assert torch.allclose(evaluated(found, x), network(x), atol=1e-9)
    padded = nn.Sequential(nn.Conv2d(1, 2, 1), act, nn.Conv2d(2, 2, 3, padding=1), nn.Flatten())
    with pytest.raises(BackendFailure, match="2: Orion is not given a padded convolution"):
        layers_of(padded.eval(), (1, 4, 4))


def test_a_square_may_stand_for_another_activation() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)).eval()
    found = layers_of(network, (1, 2, 2), lambda site: ActivationChoice(site, "square"))
    assert [layer["kind"] for layer in found.layers] == ["flatten", "linear", "square", "linear"]
    with pytest.raises(BackendFailure, match=r"unsupported: 2: Orion is not given relu here"):
        layers_of(network, (1, 2, 2))


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.flatten(1)
        return self.second(x) + self.first(x)


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (Residual(), "a branch"),
        (nn.Sequential(nn.Conv2d(1, 2, 1), nn.MaxPool2d(2)), "maxpool"),
        (nn.Sequential(nn.Flatten(), nn.Linear(4, 2), Square(), Square(), nn.Linear(2, 2)), None),
        (nn.Sequential(nn.Flatten(), nn.Linear(4, 2), Square()), None),
    ],
)
def test_what_orion_is_not_given(network: nn.Module, words: str | None) -> None:
    if words is None:
        assert [la["kind"] for la in layers_of(network.eval(), (1, 2, 2)).layers].count("square")
        return
    with pytest.raises(BackendFailure, match=words) as caught:
        layers_of(network.eval(), (1, 2, 2))
    assert caught.value.kind == "unsupported"


def test_weights_are_arrays_of_float64() -> None:
    found = layers_of(ckks_mlp((1, 4, 4), 3, hidden=(5,)).eval(), (1, 4, 4))
    assert {a.dtype for a in found.weights.values()} == {np.dtype(np.float64)}
    assert found.weights["layer1.weight"].shape == (5, 16)
