from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from evaluators.fhe.reference import run, values
from evaluators.fhe.trace import graph_of
from search.api.errors import ConfigError, EvaluationError
from search.workloads.square import Square
from spaces.ckks.params import ActivationChoice

SAMPLES = np.random.default_rng(0).random((64, 2 * 6 * 6))
SHAPE = (2, 6, 6)


class Residual(nn.Module):
    def __init__(self, activation: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.c0, self.a0 = nn.Conv2d(2, 3, 3, padding=1), activation()
        self.c1, self.a1 = nn.Conv2d(3, 3, 3, padding=1), activation()
        self.c2, self.a2 = nn.Conv2d(3, 3, 3, padding=1), activation()
        self.flatten, self.fc = nn.Flatten(), nn.Linear(3 * 36, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.a0(self.c0(x))
        x = self.a2(self.c2(self.a1(self.c1(x))) + x)
        logits: torch.Tensor = self.fc(self.flatten(x))
        return logits


def network(activation: Callable[[], nn.Module] = nn.ReLU) -> nn.Module:
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(3)
        return Residual(activation).double().eval()


def choose(kind: str, degree: int, margin: float = 1.3) -> Callable[[str], ActivationChoice]:
    return partial(ActivationChoice, kind=kind, degree=degree, margin=margin)  # type: ignore[arg-type]


def error(net: nn.Module, graph: object) -> float:
    with torch.no_grad():
        expected = net(torch.from_numpy(SAMPLES).view(-1, *SHAPE)).numpy()
    return float(np.abs(run(graph, SAMPLES) - expected).max())  # type: ignore[arg-type]


def test_polynomials_come_near_their_function() -> None:
    net = network(nn.SiLU)
    errors = [
        error(net, graph_of(net, SHAPE, choose("polynomial", d), SAMPLES)) for d in (3, 7, 15, 31)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-8


def test_shortcuts_of_series_cost_no_level_for_their_factor() -> None:
    graph = graph_of(network(nn.SiLU), SHAPE, choose("polynomial", 15), SAMPLES)
    assert [n.name for n in graph.nodes] == [
        "input", "c0", "a0", "c1", "a1", "c2", "add", "a2", "fc",
    ]  # fmt: skip


def test_inputs_of_polynomials_are_in_their_interval() -> None:
    graph = graph_of(network(), SHAPE, choose("polynomial", 15, margin=1.25), SAMPLES)
    for name in ("c0", "c1", "add"):
        assert graph.ranges[name] == pytest.approx(1 / 1.25)
    wider = values(graph, 3 * SAMPLES)
    assert np.abs(wider["c0"]).max() > 1.0  # and it shows where they are not


def test_degree_two_is_a_square_of_one_level() -> None:
    net = network(nn.SiLU)
    graph = graph_of(net, SHAPE, choose("polynomial", 2), SAMPLES)
    assert [n.kind for n in graph.nodes if n.name.startswith("a") and n.name != "add"] == [
        "square", "square", "square",
    ]  # fmt: skip
    assert error(net, graph) < 0.01


def test_relu_by_its_sign() -> None:
    net = network()
    graph = graph_of(net, SHAPE, choose("sign_relu", 15 * 15), SAMPLES)
    gates = [n.polynomial for n in graph.nodes if n.polynomial is not None]
    assert len(gates) == 3
    assert all(gate.gate for gate in gates)
    assert error(net, graph) < 0.05
    # A gate gives relu(x / high) and nothing else: the factor of the shortcut takes its own map.
    assert [n.name for n in graph.nodes if "scaled" in n.name] == ["a2.scaled"]


def test_squares_in_place_of_a_function() -> None:
    squared = network(Square)
    graph = graph_of(network(), SHAPE, choose("square", 2))
    assert error(squared, graph) < 1e-12


@pytest.mark.parametrize(
    ("choice", "samples", "message"),
    [
        (choose("own", 2), SAMPLES, "a0: silu is no polynomial .*Choose square or polynomial for"),
        (choose("polynomial", 7), None, "a0: a polynomial for silu .*calibration data"),
        (choose("sign_relu", 15), SAMPLES, r"a0: sign_relu stands for relu \(got silu\)"),
        (choose("polynomial", 7, margin=0.5), SAMPLES, "a0: margin must be at least 1"),
    ],
)
def test_choices_that_do_not_fit(
    choice: Callable[[str], ActivationChoice], samples: np.ndarray | None, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        graph_of(network(nn.SiLU), SHAPE, choice, samples)


def test_a_polynomial_is_not_fitted_again() -> None:
    with pytest.raises(ConfigError, match="a0: is a polynomial of degree 2 already"):
        graph_of(network(Square), SHAPE, choose("polynomial", 7), SAMPLES)


def test_values_without_bound_are_told() -> None:
    with pytest.raises(EvaluationError, match="a0: NaN or infinite on calibration data"):
        graph_of(network(Square), SHAPE, calibration=1e200 * SAMPLES)


def test_a_shortcut_whose_square_has_its_own_factor_takes_a_map() -> None:
    class Both(nn.Module):
        """Two polynomials with other coefficients in one sum: one must be brought to the other."""

        def __init__(self) -> None:
            from search.workloads.operators import X2Act

            super().__init__()
            self.fc, self.a, self.b = nn.Linear(4, 4), X2Act(4, scale=1.0), X2Act(4, scale=0.5)
            self.a.w1.data.fill_(0.3)
            self.b.w1.data.fill_(0.7)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.fc(x)
            out: torch.Tensor = self.a(y) + self.b(y)
            return out

    net = Both().double().eval()
    graph = graph_of(net, (4,))
    assert len([n for n in graph.nodes if n.kind == "linear"]) == 5
    x = np.random.default_rng(1).normal(size=(5, 4))
    with torch.no_grad():
        np.testing.assert_allclose(run(graph, x), net(torch.from_numpy(x)).numpy(), atol=1e-12)
