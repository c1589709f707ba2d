from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn

from search.api.errors import ConfigError, EvaluationError
from search.api.network import Site
from search.workloads.canonical import canonicalise, trace_sites
from search.workloads.masked import mask_digest
from search.workloads.networks.mobilenet import mobilenet_v2
from search.workloads.networks.resnet import resnet_mini
from search.workloads.operators import X2Act, operator_of
from search.workloads.plan import apply_plan, load_weights, network_of, save_weights
from search.workloads.polynomial import C_DEFAULT

SHAPE = (1, 14, 14)


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return canonicalise(resnet_mini(SHAPE, 10, width=4), SHAPE)


@pytest.fixture
def sites(network: nn.Module) -> tuple[Site, ...]:
    return trace_sites(network, SHAPE)  # type: ignore[arg-type]


def everywhere(sites: tuple[Site, ...], activation: str, pool: str) -> dict[str, str]:
    by_kind = {"activation": activation, "pool": pool}
    return {s.name: by_kind[s.kind] for s in sites if s.kind in by_kind}


def test_chosen_operators_stand_at_their_sites(network: nn.Module, sites: tuple[Site, ...]) -> None:
    choices = everywhere(sites, "x2act", "avg") | {"stem.relu": "relu"}
    assert apply_plan(network, choices, sites) is network
    for name, choice in choices.items():
        assert operator_of(network.get_submodule(name)) == choice
    scale = network.get_submodule("stage2.0.relu2").scale
    assert scale == pytest.approx(C_DEFAULT / 392**0.5)
    assert network(torch.randn(2, *SHAPE)).shape == (2, 10)


def test_the_original_plan_changes_nothing(network: nn.Module, sites: tuple[Site, ...]) -> None:
    before = dict(network.named_modules())
    x = torch.randn(2, *SHAPE)
    network.eval()
    expected = network(x)
    apply_plan(network, everywhere(sites, "relu", "max"), sites)
    assert dict(network.named_modules()) == before
    torch.testing.assert_close(network(x), expected, rtol=0, atol=0)


def test_other_weights_stay(network: nn.Module, sites: tuple[Site, ...]) -> None:
    before = {id(p) for p in network.parameters()}
    apply_plan(network, everywhere(sites, "x2act", "avg"), sites)
    assert before < {id(p) for p in network.parameters()}


def test_trained_polynomials_survive_a_second_plan(
    network: nn.Module, sites: tuple[Site, ...]
) -> None:
    apply_plan(network, {"stem.relu": "x2act"}, sites)
    trained = network.get_submodule("stem.relu")
    apply_plan(network, {"stem.relu": "x2act", "stage1.0.relu1": "x2act"}, sites)
    assert network.get_submodule("stem.relu") is trained
    apply_plan(network, {"stem.relu": "relu"}, sites)
    assert operator_of(network.get_submodule("stem.relu")) == "relu"


def test_x2act_starts_as_a_straight_through(network: nn.Module, sites: tuple[Site, ...]) -> None:
    x = 0.1 * torch.randn(2, *SHAPE)
    network.eval()
    linear = apply_plan(canonicalise(network, SHAPE), everywhere(sites, "identity", "max"), sites)
    linear.eval()
    expected = linear(x).detach()
    polynomial = apply_plan(network, everywhere(sites, "x2act", "max"), sites)
    torch.testing.assert_close(polynomial(x), expected, atol=0.2, rtol=0.05)


def test_relu_on_relu6_keeps_the_original() -> None:
    shape = (3, 32, 32)
    network = canonicalise(mobilenet_v2(shape, 10, width=0.1), shape)
    sites = trace_sites(network, shape)
    apply_plan(network, everywhere(sites, "relu", "max"), sites)
    assert isinstance(network.get_submodule("stem.relu"), nn.ReLU6)
    apply_plan(network, {"stem.relu": "x2act"}, sites)
    apply_plan(network, {"stem.relu": "relu"}, sites)
    assert isinstance(network.get_submodule("stem.relu"), nn.ReLU6)


def test_a_module_called_twice_can_differ_in_its_calls() -> None:
    relu = nn.ReLU()
    shared = nn.Sequential(nn.Flatten(), nn.Linear(4, 4), relu, nn.Linear(4, 4), relu)
    network = canonicalise(shared, (1, 2, 2))
    apply_plan(network, {"2#1": "x2act"}, trace_sites(network, (1, 2, 2)))
    assert isinstance(network.get_submodule("2"), nn.ReLU)
    assert isinstance(network.get_submodule("2#1"), X2Act)
    assert network(torch.randn(3, 1, 2, 2)).shape == (3, 4)


def test_new_modules_follow_type_and_mode(network: nn.Module, sites: tuple[Site, ...]) -> None:
    network.double().eval()
    apply_plan(network, {"stem.relu": "x2act"}, sites)
    act = network.get_submodule("stem.relu")
    assert act.w1.dtype == torch.float64
    assert not act.training


def test_options_of_operators(network: nn.Module, sites: tuple[Site, ...]) -> None:
    apply_plan(network, {"stem.relu": "x2act"}, sites, {"x2act": {"scale": 1.0}})
    assert network.get_submodule("stem.relu").scale == 1.0


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"stem.rely": "relu"}, "site 'stem.rely': the network has no such site. "
                                "Did you mean 'stem.relu'?"),
        ({"stem.relu": "gelu"}, "no operator 'gelu'"),
        ({"stem.conv": "relu"}, "this site is fixed"),
    ],
)  # fmt: skip
def test_wrong_plans_change_nothing(
    network: nn.Module, sites: tuple[Site, ...], choices: dict[str, str], words: str
) -> None:
    before = dict(network.named_modules())
    with pytest.raises(ConfigError) as error:
        apply_plan(network, {"stage1.0.relu1": "x2act"} | choices, sites)
    assert words in str(error.value)
    assert dict(network.named_modules()) == before


def test_sites_of_another_network_are_refused(sites: tuple[Site, ...]) -> None:
    with pytest.raises(ConfigError, match="Bring it into canonical form first"):
        apply_plan(nn.Linear(2, 2), {"stem.relu": "relu"}, sites)


def test_weights_round_trip(network: nn.Module, sites: tuple[Site, ...], tmp_path: Path) -> None:
    plan = everywhere(sites, "x2act", "avg")
    apply_plan(network, plan, sites)
    network(torch.randn(16, *SHAPE))  # moves the statistics of batch norm
    path = save_weights(network, tmp_path / "deep" / "w.safetensors")
    assert [p.name for p in path.parent.iterdir()] == ["w.safetensors"]
    other = apply_plan(canonicalise(resnet_mini(SHAPE, 10, width=4), SHAPE), plan, sites)
    assert load_weights(other, path) is other
    x = torch.randn(4, *SHAPE)
    torch.testing.assert_close(other.eval()(x), network.eval()(x), rtol=0, atol=0)


def test_the_scale_of_a_polynomial_travels_with_its_weights(
    network: nn.Module, sites: tuple[Site, ...], tmp_path: Path
) -> None:
    apply_plan(network, {"stem.relu": "x2act"}, sites, {"x2act": {"scale": 0.5}})
    path = save_weights(network, tmp_path / "w.safetensors")
    other = canonicalise(resnet_mini(SHAPE, 10, width=4), SHAPE)
    load_weights(apply_plan(other, {"stem.relu": "x2act"}, sites), path)
    assert other.get_submodule("stem.relu").scale == 0.5


def test_shared_and_strided_weights_can_be_saved(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    network[1].weight = network[0].weight
    network[0].register_buffer("view", torch.arange(6.0).reshape(2, 3).t())
    path = save_weights(network, tmp_path / "w.safetensors")
    saved = {name: value.clone() for name, value in network.state_dict().items()}
    with torch.no_grad():
        network[0].weight.zero_()
    load_weights(network, path)
    assert all(torch.equal(saved[k], v) for k, v in network.state_dict().items())
    assert network[1].weight is network[0].weight


def test_weights_that_do_not_fit_are_named(
    network: nn.Module, sites: tuple[Site, ...], tmp_path: Path
) -> None:
    path = save_weights(network, tmp_path / "w.safetensors")
    apply_plan(network, {"stem.relu": "x2act"}, sites)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    with pytest.raises(EvaluationError) as error:
        load_weights(network, path)
    assert "missing stem.relu.b, stem.relu.s, stem.relu.w1 and 1 more" in str(error.value)
    assert "Apply the plan" in str(error.value)
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())


def test_weights_of_another_shape_are_named(tmp_path: Path) -> None:
    path = save_weights(nn.Linear(3, 2), tmp_path / "w.safetensors")
    with pytest.raises(EvaluationError, match=r"weight has shape \(2, 3\) \(expected \(2, 4\)\)"):
        load_weights(nn.Linear(4, 2), path)


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="no such file"):
        load_weights(nn.Linear(3, 2), tmp_path / "none.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"not a tensor at all")
    with pytest.raises(EvaluationError, match="not readable as safetensors"):
        load_weights(nn.Linear(3, 2), tmp_path / "bad.safetensors")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_weights_cross_devices(tmp_path: Path) -> None:
    network = nn.Linear(3, 2).cuda()
    path = save_weights(network, tmp_path / "w.safetensors")
    other = load_weights(nn.Linear(3, 2), path)
    torch.testing.assert_close(other.weight, network.weight.cpu())


@dataclass(frozen=True)
class Plan:
    operators: dict[str, str]
    digests: dict[str, str]

    def as_mapping(self) -> dict[str, str]:
        return self.operators

    def masks(self) -> dict[str, str]:
        return self.digests


@dataclass(frozen=True)
class Work:
    def build(self, seed: int) -> nn.Module:
        torch.manual_seed(seed)
        return canonicalise(resnet_mini(SHAPE, 10, width=4), SHAPE)

    def sites(self) -> tuple[Site, ...]:
        return trace_sites(self.build(0), SHAPE)  # type: ignore[arg-type]


def test_a_masked_network_comes_back_from_its_weights(tmp_path: Path) -> None:
    work, choices = Work(), {"stem.relu": "relu/poly2", "stage2.0.relu2": "poly3"}
    network = apply_plan(work.build(1), choices, work.sites())
    masked = network.get_submodule("stem.relu")
    masked.set_mask(torch.rand(masked.mask.shape) < 0.3)
    digest = mask_digest(masked.mask)
    path = save_weights(network, tmp_path / "weights.safetensors")
    found = network_of(work, Plan(choices, {"stem.relu": digest}), path)
    x = torch.randn(3, *SHAPE)
    torch.testing.assert_close(found(x), network.eval()(x), rtol=0, atol=0)
    with pytest.raises(EvaluationError, match="stem.relu: the mask in the weights is not the one"):
        network_of(work, Plan(choices, {"stem.relu": "00"}), path)
