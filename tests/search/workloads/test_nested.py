from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from search.api.errors import ConfigError, EvaluationError
from search.workloads.masked import MaskedActivation
from search.workloads.nested import (
    NestedWeights,
    levels_of,
    load_nested,
    private_state,
    save_nested,
    shared_weights,
)
from search.workloads.operators import X2Act
from search.workloads.plan import load_weights, save_weights


def network() -> nn.Module:
    net = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2),
        MaskedActivation(nn.ReLU(), X2Act(32), (2, 4, 4)),
        nn.Flatten(), nn.Linear(32, 3),
    )  # fmt: skip
    return net.eval()


def nested(net: nn.Module) -> NestedWeights:
    torch.manual_seed(1)
    shared = {n: torch.randn(w.shape) for n, w in shared_weights(net).items()}
    levels = {n: torch.randint(0, 3, v.shape, dtype=torch.uint8) for n, v in shared.items()}
    relus = torch.randint(0, 3, (2, 4, 4), dtype=torch.uint8)
    private = [
        {n: v + k if v.is_floating_point() else v for n, v in private_state(net).items()}
        for k in (1, 2)
    ]
    return NestedWeights((0.1, 0.5), shared, levels, {"2": relus}, tuple(private))


def test_layers_share_weights_and_keep_the_rest_for_themselves() -> None:
    net = network()
    assert set(shared_weights(net)) == {"0.weight", "4.weight"}
    own = private_state(net)
    assert {"0.bias", "1.running_mean", "1.weight", "2.replacement.w1", "4.bias"} <= own.keys()
    assert not own.keys() & {"0.weight", "2.mask"}
    assert len(own) + 3 == len(net.state_dict())


def test_private_state_is_a_copy() -> None:
    net = network()
    own = private_state(net)
    own["1.weight"].fill_(7)
    assert bool((net.get_parameter("1.weight") == 1).all())


def test_a_file_gives_back_every_member_bit_for_bit(tmp_path: Path) -> None:
    made = nested(network())
    read = load_nested(save_nested(made, tmp_path / "nested.safetensors"))
    assert read.densities == made.densities
    for level in (1, 2):
        ours, theirs = made.member(level), read.member(level)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[n], theirs[n]) for n in ours)
        assert read.nonzeros(level) == made.nonzeros(level)


def test_weights_of_no_member_are_not_stored(tmp_path: Path) -> None:
    made = nested(network())
    read = load_nested(save_nested(made, tmp_path / "n.safetensors"))
    for name, level in made.levels.items():
        assert not read.shared[name][level == 0].any()
        assert torch.equal(read.shared[name][level > 0], made.shared[name][level > 0])


def test_members_are_nested_and_load_into_an_ordinary_network(tmp_path: Path) -> None:
    made = nested(network())
    path = save_nested(made, tmp_path / "n.safetensors")
    first, second = made.member(1), made.member(2)
    for name in made.shared:
        inside = first[name] != 0
        assert torch.equal(first[name][inside], second[name][inside])
        assert int(inside.sum()) < int((second[name] != 0).sum())
    assert not (first["2.mask"] & ~second["2.mask"]).any()
    net = load_weights(network(), path, level=2)
    assert all(torch.equal(v, second[n]) for n, v in net.state_dict().items())


@pytest.mark.parametrize(("fill", "operator"), [(0, X2Act(32)), (1, nn.ReLU())])
def test_a_site_without_a_mix_is_a_plain_operator(fill: int, operator: nn.Module) -> None:
    made = nested(network())
    made.relu_levels["2"].fill_(fill)
    plain = network()
    plain[2] = operator
    assert made.member(1).keys() == plain.state_dict().keys()


def test_levels_follow_the_order() -> None:
    order = torch.tensor([3, 0, 2, 1])
    assert levels_of(order, [1, 3]).tolist() == [2, 0, 2, 1]
    assert levels_of(order, [0, 4]).tolist() == [2, 2, 2, 2]


@pytest.mark.parametrize("counts", [[2, 1], [5]])
def test_counts_that_are_not_nested_are_refused(counts: list[int]) -> None:
    with pytest.raises(ConfigError, match="not nested in 4"):
        levels_of(torch.arange(4), counts)


def test_wrong_parts_are_refused() -> None:
    made = nested(network())
    with pytest.raises(ConfigError, match="1 sets of private state for 2 members"):
        NestedWeights((0.1, 0.5), made.shared, made.levels, {}, made.private[:1])
    wrong = {**made.levels, "0.weight": torch.zeros(3, dtype=torch.uint8)}
    with pytest.raises(ConfigError, match="levels of 0.weight"):
        NestedWeights((0.1, 0.5), made.shared, wrong, {}, made.private)
    with pytest.raises(EvaluationError, match="no member of level 3"):
        made.member(3)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="no such file"):
        load_nested(tmp_path / "absent")
    one = save_weights(network(), tmp_path / "one.safetensors")
    with pytest.raises(EvaluationError, match="no nested networks"):
        load_nested(one)
    (tmp_path / "text").write_text("text")
    with pytest.raises(EvaluationError, match="not readable"):
        load_nested(tmp_path / "text")
    whole = save_nested(nested(network()), tmp_path / "n.safetensors")
    with pytest.raises(EvaluationError, match="do not fit the network"):
        load_weights(network(), whole)
