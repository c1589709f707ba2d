import pytest
import torch
import torch.nn.functional as F
from torch import nn

from evaluators.lowered.lower import lower
from search.api.errors import EvaluationError
from search.workloads.canonical import canonicalise
from search.workloads.networks.resnet import resnet20, resnet_mini


def operators(network: nn.Module, shape: tuple[int, ...]) -> list[tuple[str, str]]:
    return [(step.site, step.operator) for step in lower(network.eval(), shape).steps]


def test_norms_are_folded_into_the_layer_before() -> None:
    network = nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(),
        nn.Linear(12, 4, bias=False), nn.BatchNorm1d(4),
    ).eval()  # fmt: skip
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
                for value in (module.running_mean, module.weight, module.bias):
                    assert value is not None
                    value.copy_(torch.randn_like(value))
    program = lower(network, (2, 4, 4))
    assert [s.operator for s in program.steps] == ["conv", "relu", "flatten", "linear"]
    x = torch.randn(5, 2, 4, 4)
    first, last = program.steps[0].output, program.steps[3].output
    with torch.inference_mode():
        y = F.conv2d(x, program.private[f"{first}:weight"], program.private[f"{first}:bias"])
        y = (
            y.relu().flatten(1) @ program.private[f"{last}:weight"]
            + program.private[f"{last}:bias"]
        )
        torch.testing.assert_close(y, network(x), atol=1e-5, rtol=1e-5)


def test_a_norm_whose_convolution_has_two_readers_stands_alone() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.conv(x)
            return self.norm(y) + y

    assert operators(Two(), (2, 4, 4)) == [("conv", "conv"), ("norm", "affine"), ("add", "add")]


def test_sites_have_the_names_of_the_network() -> None:
    found = operators(resnet_mini((1, 14, 14), 10), (1, 14, 14))
    assert ("stage1.0.relu1", "relu") in found
    assert ("stage1.pool", "maxpool") in found
    assert ("pool", "globalavgpool") in found
    assert not {op for _, op in found} & {"affine", "batchnorm"}


def test_shortcuts_without_weights_move_data() -> None:
    words = {operator for _, operator in operators(resnet20((3, 16, 16), 10), (3, 16, 16))}
    assert {"slice", "pad"} <= words


def test_a_layer_called_twice_is_two_sites() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(F.relu(self.fc(x)))

    assert [site for site, _ in operators(Twice(), (3,))] == ["fc", "relu", "fc#1"]


def test_dropout_and_mode_are_left_alone() -> None:
    network = nn.Sequential(nn.Linear(3, 3), nn.Dropout(), nn.ReLU()).train()
    assert [op for _, op in operators(network.train(), (3,))] == ["linear", "relu"]
    assert not network.training  # as `operators` left it
    network.train()
    lower(network, (3,))
    assert all(module.training for module in network.modules())


@pytest.mark.parametrize(
    ("network", "shape", "message"),
    [
        (nn.Sequential(nn.Linear(3, 3), nn.Tanh()), (3,), "1: Tanh has no secure form"),
        (nn.Sequential(nn.LayerNorm(3)), (3,), "0: LayerNorm has no secure form"),
        (nn.Sequential(nn.ConvTranspose2d(1, 1, 2)), (1, 4, 4), "0: ConvTranspose2d has no"),
        (nn.Sequential(nn.Linear(4, 4)), (2, 4), "0: a linear layer on 2 axes"),
        (
            nn.Sequential(nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect")),
            (1, 4, 4),
            "0: padding mode 'reflect'",
        ),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_is_unknown_names_the_site(
    network: nn.Module, shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(EvaluationError, match=message):
        lower(network.eval(), shape)


def test_a_product_of_values_is_unknown() -> None:
    class Gate(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * x.sigmoid()

    with pytest.raises(EvaluationError, match="sigmoid has no secure form"):
        lower(canonicalise(Gate(), (3,)).eval(), (3,))


def test_a_diverged_network_is_said_to_be_one() -> None:
    network = nn.Sequential(nn.Linear(3, 3))
    with torch.no_grad():
        network[0].weight.fill_(float("nan"))  # type: ignore[operator, union-attr]
    with pytest.raises(EvaluationError, match="NaN or infinite"):
        lower(network, (3,))


def test_functions_and_double_weights_for_those_who_ask() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.act = nn.Linear(3, 3), nn.SiLU()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.sigmoid(self.act(self.fc(x)))

    program = lower(Own(), (3,), functions={"silu", "sigmoid"}, dtype=torch.float64)
    assert [s.operator for s in program.steps] == ["linear", "silu", "sigmoid"]
    assert {t.dtype for t in program.private.values()} == {torch.float64}
    with pytest.raises(EvaluationError, match="sigmoid has no secure form"):
        lower(Own(), (3,), functions={"silu"})
