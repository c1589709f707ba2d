from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn

from search.api.errors import ConfigError, EvaluationError
from search.workloads.canonical import canonicalise
from search.workloads.eve.integer_quantise import finest_fraction, quantise_family
from search.workloads.nested import NestedWeights, private_state, shared_weights

SHAPE = (2, 6, 6)


def chain(*modules: nn.Module, seed: int = 0) -> fx.GraphModule:
    torch.manual_seed(seed)
    return canonicalise(nn.Sequential(*modules), SHAPE)


def plain() -> fx.GraphModule:
    torch.manual_seed(0)
    return chain(
        nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(27, 4)
    )


def nested(network: nn.Module, modes: int = 2) -> NestedWeights:
    torch.manual_seed(1)
    shared = {n: w.detach().clone() for n, w in shared_weights(network).items()}
    levels = {n: torch.randint(0, modes + 1, w.shape, dtype=torch.uint8) for n, w in shared.items()}
    own = private_state(network)
    private = tuple({n: v + 0.1 * k for n, v in own.items()} for k in range(modes))
    return NestedWeights(tuple((k + 1) / modes for k in range(modes)), shared, levels, {}, private)


def images(n: int = 20) -> Tensor:
    return torch.randn(n, *SHAPE, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("largest", [1e-7, 0.1, 1.0, 127.0, 127.0001, 128.0, 1e6])
def test_fraction_is_the_finest_that_fits(largest: float) -> None:
    f = finest_fraction(largest, 127)
    assert largest * 2.0**f <= 127 < largest * 2.0 ** (f + 1)
    assert finest_fraction(0.0, 127) == 0


@pytest.mark.parametrize("bits", [8, 16])
def test_outputs_come_near_the_float_network_in_every_mode(bits: int) -> None:
    network, x = plain(), images()
    weights = nested(network)
    family = quantise_family(network, weights, x, bits=bits)
    for mode in (1, 2):
        network.load_state_dict(weights.member(mode))
        with torch.no_grad():
            expected = network.eval()(x)
        found = family.run(mode, family.quantise(x)) * 2.0**-family.output_fraction
        worst = float((found - expected).abs().max())
        assert 0 < worst < (0.2 if bits == 8 else 1e-3)


def test_scales_are_the_densest_modes_and_shared() -> None:
    network, weights = plain(), nested(plain())
    family = quantise_family(network, weights, images(), bits=8)
    layer = family.layers["0"]
    dense = weights.weight("0.weight", 2)
    assert layer.weight_fraction == finest_fraction(float(dense.abs().max()), 127)
    assert family.input_fraction == finest_fraction(float(images().abs().max()), 127)
    assert layer.bias.shape == (2, 3)
    step = 2.0 ** -(layer.weight_fraction + layer.input_fraction)
    for mode in (0, 1):
        assert torch.allclose(
            layer.bias[mode].double() * step,
            weights.private[mode]["0.bias"].double(),
            atol=step / 2,
        )
    assert torch.equal(layer.of(2), layer.weight)
    assert int((layer.of(1) != 0).sum()) <= int((layer.level == 1).sum())


def test_before_a_relu_only_positive_values_count() -> None:
    def fraction(*behind: nn.Module) -> int:
        network = chain(nn.Conv2d(2, 1, 1), *behind, nn.Flatten(), nn.Linear(9, 2))
        with torch.no_grad():
            network.get_submodule("0").weight.fill_(1.0)  # type: ignore[operator, union-attr]
            network.get_submodule("0").bias.fill_(-20.0)  # type: ignore[operator, union-attr]
        shared = {n: w.detach() for n, w in shared_weights(network).items()}
        levels = {n: torch.ones_like(w, dtype=torch.uint8) for n, w in shared.items()}
        weights = NestedWeights((1.0,), shared, levels, {}, (private_state(network),))
        x = images().clamp(-1, 1)
        x[0, :, 0, 0] = 11.0
        return quantise_family(network, weights, x, bits=8).layers["0"].output_fraction

    # Outputs run from -22 to 2.
    assert fraction(nn.MaxPool2d(2), nn.ReLU()) == 5
    assert fraction(nn.AvgPool2d(2), nn.ReLU()) == 2
    assert fraction(nn.MaxPool2d(2)) == 2


def gridded(network: fx.GraphModule, bits: int) -> NestedWeights:
    weights = nested(network)
    most = 2 ** (bits - 1) - 1
    g = torch.Generator().manual_seed(3)
    for name, value in weights.shared.items():
        integers = torch.randint(-most, most + 1, value.shape, generator=g)
        integers.flatten()[0] = most
        weights.levels[name].flatten()[0] = 1
        weights.shared[name] = integers.float() * 2.0**-9
    return weights


@pytest.mark.parametrize("bits", [8, 16])
def test_weights_on_a_grid_keep_their_integers(bits: int) -> None:
    weights = gridded(plain(), bits)
    family = quantise_family(plain(), weights, images(), bits=bits)
    for site, layer in family.layers.items():
        assert layer.weight_fraction == 9
        assert torch.equal(
            layer.weight.double() * 2.0**-9, weights.weight(f"{site}.weight", 2).double()
        )


def test_the_bound_holds_for_the_worst_input_in_any_order() -> None:
    weights = nested(plain())
    family = quantise_family(plain(), weights, images(), bits=8)
    layer = family.layers["4"]  # behind a ReLU: inputs from 0 to 127
    highest = max(
        int(sum(127 * max(0, w) for w in row) + max(0, *b))
        for row, b in zip(layer.weight.tolist(), layer.bias.T.tolist(), strict=True)
    )
    lowest = max(
        int(sum(127 * max(0, -w) for w in row) + max(0, *(-v for v in b)))
        for row, b in zip(layer.weight.tolist(), layer.bias.T.tolist(), strict=True)
    )
    assert layer.bound == max(highest, lowest)
    first = family.layers["0"]  # inputs from -128 to 127, and a shift that rounds
    sums = [
        sum(max(127 * w, -128 * w) for w in filter_.flatten().tolist())
        + max(0, *first.bias[:, m].tolist())
        for m, filter_ in enumerate(first.weight)
    ]
    assert first.bound >= max(sums) + 2 ** (first.shift - 1) > 0


def test_16_bits_take_wide_sums_or_coarser_weights() -> None:
    network = plain()
    with torch.no_grad():
        for weight in shared_weights(network).values():
            weight.uniform_(-0.12, 0.12)
    weights = nested(network)
    wide = quantise_family(network, weights, images(), bits=16)
    assert wide.sum_bits == 64
    assert any(layer.bound >= 2**31 for layer in wide.layers.values())
    narrow = quantise_family(network, weights, images(), bits=16, sum_bits=32)
    assert narrow.sum_bits == 32
    assert all(layer.bound < 2**31 for layer in narrow.layers.values())
    assert sum(a.weight_fraction for a in narrow.layers.values()) < sum(
        a.weight_fraction for a in wide.layers.values()
    )


def test_sums_that_overflow_are_refused_where_weights_lie_on_a_grid() -> None:
    with pytest.raises(EvaluationError, match=r"0: sums may need 3\d bits.*on their grid"):
        quantise_family(plain(), gridded(plain(), 16), images(), bits=16, sum_bits=32)


def test_a_dead_layer_never_saturates() -> None:
    weights = nested(plain())
    for private in weights.private:
        private["0.bias"] = private["0.bias"] * 0 - 100.0
    family = quantise_family(plain(), weights, images(), bits=8)
    layer = family.layers["0"]
    assert layer.bound * 2.0**-layer.shift <= 128


def test_a_layer_without_bias() -> None:
    network = chain(nn.Flatten(), nn.Linear(72, 3, bias=False))
    family = quantise_family(network, nested(network), images(), bits=8)
    assert not bool(family.layers["1"].bias.any())


def spoilt(change: str) -> tuple[fx.GraphModule, NestedWeights]:
    network = plain()
    weights = nested(network)
    if change == "private":
        weights.private[1]["4.scale"] = torch.ones(1)
    elif change == "weight":
        weights.shared["0.weight"][0, 0, 0, 0] = math.nan
    elif change == "bias":
        weights.private[0]["4.bias"][0] = math.inf
    elif change == "layer":
        del weights.levels["4.weight"], weights.shared["4.weight"]
    else:
        weights.shared["4.weight"] = weights.shared["4.weight"][:, :5]
        weights.levels["4.weight"] = weights.levels["4.weight"][:, :5]
    return network, weights


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("private", "4: mode 2 has 4.scale for itself"),
        ("weight", "weight is NaN"),
        ("bias", "bias is NaN"),
        ("layer", r"do not fit.*4\.weight"),
        ("shape", r"do not fit.*4\.weight"),
    ],
)
def test_weights_that_do_not_fit_are_refused(change: str, words: str) -> None:
    network, weights = spoilt(change)
    with pytest.raises(EvaluationError, match=words):
        quantise_family(network, weights, images(), bits=8)


@pytest.mark.parametrize(
    "options", [{"bits": 4}, {"bits": 8, "sum_bits": 16}, {"bits": 8, "images": 0}]
)
def test_wrong_options_are_told(options: dict[str, Any]) -> None:
    count = options.pop("images", 20)
    with pytest.raises(ConfigError, match="expected 8 or 16"):
        quantise_family(plain(), nested(plain()), images(20)[:count], **options)


def test_a_network_without_weights_is_refused() -> None:
    network = chain(nn.ReLU(), nn.Flatten())
    empty = NestedWeights((1.0,), {}, {}, {}, ({},))
    with pytest.raises(EvaluationError, match="no layer with weights"):
        quantise_family(network, empty, images(), bits=8)
