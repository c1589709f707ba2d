import pytest
import torch
from torch import nn

from evaluators.lowered.activations import Lowered, lower_activation, polynomial_of
from search.workloads.dapa import Polynomial
from search.workloads.masked import MaskedActivation
from search.workloads.operators import X2Act
from search.workloads.square import Square

SHAPE = (3, 2, 2)


def in_the_clear(lowered: Lowered, x: torch.Tensor) -> torch.Tensor:
    """What the coefficients say, reckoned in double precision."""
    c = lowered.public["c"]
    z = x.double()
    if "mean" in lowered.public:
        z = (z - lowered.public["mean"]) * lowered.public["scale"]
    return sum((c[k] * z**k for k in range(len(c))), torch.zeros_like(z))


@pytest.mark.parametrize("degree", [1, 2, 3, 4])
def test_fitted_polynomials_keep_their_basis(degree: int) -> None:
    module = Polynomial(degree, 3)
    module.fit(torch.tensor([-1.0, 0.0, 5.0]), torch.tensor([0.5, 1.0, 2.0]))
    lowered = lower_activation(module, SHAPE)
    assert lowered is not None
    assert lowered.operator == f"poly{degree}"
    x = 3 * torch.randn(4, *SHAPE)
    torch.testing.assert_close(in_the_clear(lowered, x).float(), module(x), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("per", ["layer", "channel"])
def test_x2act(per: str) -> None:
    module = X2Act(12, per=per, channels=3)  # type: ignore[arg-type]
    lowered = lower_activation(module, SHAPE)
    assert lowered is not None
    assert lowered.operator == "x2act"
    x = torch.randn(2, *SHAPE)
    torch.testing.assert_close(in_the_clear(lowered, x).float(), module(x))


def masked(replacement: nn.Module, kept: float = 0.5) -> MaskedActivation:
    module = MaskedActivation(nn.ReLU(), replacement, SHAPE)
    module.set_mask(torch.rand(SHAPE, generator=torch.Generator().manual_seed(3)) < kept)
    return module


def test_masked_parts_are_indices_that_give_back_the_order() -> None:
    module = masked(Polynomial(2, 3))
    lowered = lower_activation(module, SHAPE)
    assert lowered is not None
    assert lowered.attributes["replacement"] == "poly2"
    public = lowered.public
    assert len(public["keep"]) == module.count
    both = torch.cat([public["keep"], public["rest"]])
    assert torch.equal(both[public["order"]], torch.arange(12))
    x = torch.randn(2, *SHAPE)
    flat = x.flatten(1)
    rest = in_the_clear(lowered, flat[:, public["rest"]])
    mixed = torch.cat([flat[:, public["keep"]].relu().double(), rest], dim=1)[:, public["order"]]
    torch.testing.assert_close(mixed.view_as(x).float(), module(x), atol=1e-5, rtol=1e-5)


def test_masks_that_keep_all_or_nothing_are_plain_layers() -> None:
    assert lower_activation(masked(nn.Identity(), 2.0), SHAPE) == Lowered("relu")
    assert lower_activation(masked(nn.Identity(), -1.0), SHAPE) == Lowered("identity")
    nothing = lower_activation(masked(Polynomial(2, 3), -1.0), SHAPE)
    assert nothing is not None
    assert nothing.operator == "poly2"


def test_knows_no_others() -> None:
    assert lower_activation(nn.Tanh(), SHAPE) is None
    assert lower_activation(masked(nn.Tanh()), SHAPE) is None
    assert polynomial_of(nn.ReLU()) is None


def test_a_square_is_a_polynomial() -> None:
    lowered = lower_activation(Square(), SHAPE)
    assert lowered is not None
    x = torch.randn(2, *SHAPE)
    torch.testing.assert_close(in_the_clear(lowered, x).float(), x * x)


def test_functions_stay_only_where_they_are_asked_for() -> None:
    assert lower_activation(nn.SiLU(inplace=True), SHAPE, {"silu"}) == Lowered("silu")
    assert lower_activation(nn.SiLU(), SHAPE, {"tanh"}) is None


def test_a_function_with_options_of_its_own_has_no_name() -> None:
    assert lower_activation(nn.GELU(), SHAPE, {"gelu"}) == Lowered("gelu")
    assert lower_activation(nn.GELU(approximate="tanh"), SHAPE, {"gelu"}) is None
    assert lower_activation(nn.LeakyReLU(0.3), SHAPE, {"leaky_relu"}) is None
