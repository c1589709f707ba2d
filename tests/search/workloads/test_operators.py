import math

import pytest
import torch
from torch import nn

from search.api.errors import ConfigError
from search.api.network import Site
from search.workloads.operators import OPERATORS, X2Act, make_operator, operator_of

ACT = Site("act", "activation", "relu", (3, 4, 4), (3, 4, 4))
POOL = Site(
    "pool", "pool", "maxpool", (3, 8, 8), (3, 4, 4),
    attributes={"kernel": 3, "stride": 2, "padding": 1},
)  # fmt: skip


def test_x2act_computes_its_formula() -> None:
    act = X2Act(48, c=2.0)
    with torch.no_grad():
        act.w1.fill_(0.5)
        act.w2.fill_(-0.25)
        act.b.fill_(0.1)
    x = torch.randn(2, 3, 4, 4)
    s = 2.0 / math.sqrt(48)
    torch.testing.assert_close(act(x), s * 0.5 * x**2 - 0.25 * x + 0.1)


def test_x2act_starts_near_the_identity_from_the_stpai_values() -> None:
    act = X2Act(4096)
    assert (float(act.w1.detach()), float(act.w2.detach()), float(act.b.detach())) == (
        pytest.approx(0.005),
        1.0,
        0.0,
    )
    x = torch.randn(5, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(act(x), x, atol=0.02, rtol=0)


def test_x2act_scale_of_the_released_code() -> None:
    act = X2Act(48, scale=1.0)
    x = torch.full((1, 3, 4, 4), 2.0)
    torch.testing.assert_close(act(x), torch.full_like(x, 0.005 * 4 + 2))


@pytest.mark.parametrize("shape", [(2, 3, 4, 4), (2, 3)])
def test_x2act_per_channel_works_on_maps_and_features(shape: tuple[int, ...]) -> None:
    act = X2Act(math.prod(shape[1:]), per="channel", channels=3)
    with torch.no_grad():
        act.w2.copy_(torch.tensor([1.0, 2.0, 3.0]))
        act.w1.zero_()
    y = act(torch.ones(shape))
    assert [float(y[0, i].detach().reshape(-1)[0]) for i in range(3)] == [1.0, 2.0, 3.0]


def test_x2act_trains_all_three_coefficients() -> None:
    act = X2Act(48)
    act(torch.randn(2, 3, 4, 4)).square().sum().backward()
    for parameter in act.parameters():
        assert parameter.shape == ()
        assert parameter.grad is not None
        assert float(parameter.grad) != 0


def test_x2act_coefficients_are_those_of_the_polynomial() -> None:
    act = X2Act(16, c=4.0)
    c2, c1, c0 = act.coefficients()
    x = torch.randn(3, 16)
    torch.testing.assert_close(act(x), c2 * x**2 + c1 * x + c0)
    assert not c2.requires_grad


def test_x2act_can_be_rescaled_without_a_change_of_function() -> None:
    act = X2Act(16, scale=0.5)
    x = torch.randn(2, 16)
    expected = act(x)
    with torch.no_grad():
        act.w1.mul_(act.scale / 2.0)
    act.scale = 2.0
    torch.testing.assert_close(act(x), expected)
    assert float(act.state_dict()["s"]) == 2.0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"elements": 0}, "must be positive"),
        ({"elements": 4, "c": -1.0}, "must be positive"),
        ({"elements": 4, "scale": 0.0}, "must be positive"),
        ({"elements": 4, "per": "pixel"}, "per must be 'layer' or 'channel' (got 'pixel')"),
        ({"elements": 4, "per": "channel"}, "needs the number of channels"),
    ],
)
def test_x2act_refuses_wrong_options(options: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError) as error:
        X2Act(**options)  # type: ignore[arg-type]
    assert words in str(error.value)


@pytest.mark.parametrize("name", OPERATORS["activation"])
def test_activations_keep_the_shape(name: str) -> None:
    module = make_operator(name, ACT)
    assert module(torch.randn(2, 3, 4, 4)).shape == (2, 3, 4, 4)
    assert operator_of(module) == name


@pytest.mark.parametrize("name", OPERATORS["pool"])
def test_pools_keep_the_window(name: str) -> None:
    module = make_operator(name, POOL)
    assert module(torch.randn(2, 3, 8, 8)).shape == (2, 3, 4, 4)
    assert operator_of(module) == name


def test_average_pool_does_not_average_the_padding() -> None:
    pooled = make_operator("avg", POOL)(torch.ones(1, 3, 8, 8))
    torch.testing.assert_close(pooled, torch.ones(1, 3, 4, 4))


def test_windows_that_are_not_square() -> None:
    window = {"kernel_h": 2, "kernel_w": 3, "stride_h": 2, "stride_w": 3, "padding": 0}
    site = Site("pool", "pool", "maxpool", (1, 4, 6), (1, 2, 2), attributes=window)
    for name in ("max", "avg"):
        assert make_operator(name, site)(torch.randn(1, 1, 4, 6)).shape == (1, 1, 2, 2)


def test_windows_of_unequal_size_become_adaptive_pools() -> None:
    site = Site("p", "pool", "maxpool", (1, 7, 7), (1, 3, 3), attributes={"adaptive": 1})
    assert isinstance(make_operator("max", site), nn.AdaptiveMaxPool2d)
    assert make_operator("avg", site)(torch.randn(1, 1, 7, 7)).shape == (1, 1, 3, 3)


def test_relu_keeps_the_cap_of_relu6() -> None:
    site = Site("act", "activation", "relu", (3,), (3,), attributes={"cap": 6})
    assert float(make_operator("relu", site)(torch.tensor([9.0]))) == 6.0
    assert float(make_operator("relu", ACT)(torch.tensor([9.0]))) == 9.0


def test_options_reach_x2act() -> None:
    module = make_operator("x2act", ACT, c=3.0, per="channel")
    assert isinstance(module, X2Act)
    assert module.scale == pytest.approx(3 / math.sqrt(48))
    assert module.w1.shape == (3,)


@pytest.mark.parametrize(
    ("name", "site", "options", "words"),
    [
        ("max", ACT, {}, "site act: no operator 'max' for a site of kind 'activation'"),
        ("relu", POOL, {}, "known: max, avg"),
        ("relu", Site("c", "conv", "conv", (1,), (1,)), {}, "this site is fixed"),
        ("relu", ACT, {"c": 1.0}, "operator 'relu' has no options (got c)"),
        ("x2act", ACT, {"k": 1.0}, "unknown option 'k' (known: c, per, scale)"),
    ],
)
def test_wrong_choices_are_named(
    name: str, site: Site, options: dict[str, object], words: str
) -> None:
    with pytest.raises(ConfigError) as error:
        make_operator(name, site, **options)
    assert words in str(error.value)


def test_operator_of_other_modules_is_none() -> None:
    assert operator_of(nn.GELU()) is None
