import pytest
import torch
from torch import nn

from search.api.errors import ConfigError
from search.api.network import Site
from search.workloads.canonical import canonicalise, trace_sites
from search.workloads.networks import resnet

CIFAR = (3, 32, 32)
IMAGENET = (3, 224, 224)


def sites_of(network: nn.Module, shape: tuple[int, int, int]) -> tuple[Site, ...]:
    return trace_sites(canonicalise(network, shape), shape)


def relus(sites: tuple[Site, ...]) -> int:
    return sum(s.elements for s in sites if s.operator == "relu")


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_resnet_mini_has_nine_activations_and_one_pool() -> None:
    sites = sites_of(resnet.resnet_mini((1, 14, 14), 10), (1, 14, 14))
    chosen = [(s.name, s.elements) for s in sites if s.kind in ("activation", "pool")]
    assert chosen == [
        ("stem.relu", 3136),
        ("stage1.0.relu1", 3136), ("stage1.0.relu2", 3136),
        ("stage1.1.relu1", 3136), ("stage1.1.relu2", 3136),
        ("stage1.2.relu1", 3136), ("stage1.2.relu2", 3136),
        ("stage1.pool", 3136),
        ("stage2.0.relu1", 1568), ("stage2.0.relu2", 1568),
    ]  # fmt: skip


def test_resnet_tiny_has_six_activations() -> None:
    sites = sites_of(resnet.resnet_tiny((1, 14, 14), 10), (1, 14, 14))
    chosen = [(s.name, s.elements) for s in sites if s.kind in ("activation", "pool")]
    assert chosen == [
        ("stage1.0.relu1", 1568), ("stage1.0.relu2", 1568),
        ("stage2.0.relu1", 784), ("stage2.0.relu2", 784),
        ("stage3.0.relu1", 512), ("stage3.0.relu2", 512),
    ]  # fmt: skip
    assert relus(sites) == 5728
    assert sum(s.kind == "conv" for s in sites) == 6


@pytest.mark.parametrize(
    ("options", "count"),
    [({}, 28_672), ({"first_stride": 2}, 7168), ({"first_stride": 2, "width": 16}, 14_336)],
)
def test_resnet_tiny_on_larger_images(options: dict[str, int], count: int) -> None:
    assert relus(sites_of(resnet.resnet_tiny((1, 32, 32), 12, **options), (1, 32, 32))) == count


def test_resnet_tiny_refuses_no_stride() -> None:
    with pytest.raises(ConfigError, match="resnet_tiny: must be at least 1"):
        resnet.resnet_tiny((1, 32, 32), 12, first_stride=0)


def test_resnet18_on_cifar_has_the_known_number_of_relus() -> None:
    # Source: baseline of the ReLU-reduction papers: 64-channel stem at 32x32, every activation.
    network = resnet.resnet18(CIFAR, 10)
    assert relus(sites_of(network, CIFAR)) == 557_056
    assert parameters(network) == 11_173_962


def test_resnet18_on_imagenet_moves_the_known_data() -> None:
    # 8 B * (2.183M conv inputs + 2.308M activations) = 35.9 MB; 1.82 GMAC.
    # Source: PASNet (DAC 2023), communication of the all-polynomial ResNet-18.
    network = resnet.resnet18(IMAGENET, 1000)
    sites = sites_of(network, IMAGENET)
    inputs = sum(s.elements for s in sites if s.kind == "conv")
    assert (inputs, relus(sites)) == (2_182_656, 2_308_096)
    assert 8 * (inputs + relus(sites)) / 1e6 == pytest.approx(35.9, abs=0.05)
    assert sum(s.macs for s in sites) / 1e9 == pytest.approx(1.82, rel=0.005)
    assert parameters(network) == 11_689_512
    assert [s.name for s in sites if s.operator == "maxpool"] == ["stem.pool"]


@pytest.mark.slow
def test_resnet50_on_imagenet() -> None:
    # 25.557M parameters and 4.09 GMAC are the sizes commonly published for it.
    network = resnet.resnet50(IMAGENET, 1000)
    sites = sites_of(network, IMAGENET)
    assert parameters(network) == 25_557_032
    assert sum(s.macs for s in sites) / 1e9 == pytest.approx(4.09, rel=0.005)
    assert relus(sites) == 9_608_704


@pytest.mark.parametrize(
    ("factory", "layers", "size"),
    [(resnet.resnet20, 20, 0.27e6), (resnet.resnet32, 32, 0.46e6)],
)
def test_cifar_resnets_have_the_depth_and_size_of_the_paper(
    factory: object, layers: int, size: float
) -> None:
    # Source: He et al. 2016, table 6: 0.27M and 0.46M parameters.
    network = factory(CIFAR, 10)  # type: ignore[operator]
    sites = sites_of(network, CIFAR)
    weighted = [s for s in sites if s.kind in ("conv", "linear")]
    assert len(weighted) == layers  # shortcuts have no weights
    assert parameters(network) == pytest.approx(size, rel=0.02)


def test_resnet32_has_the_known_number_of_relus() -> None:
    assert relus(sites_of(resnet.resnet32(CIFAR, 10), CIFAR)) == 303_104


def test_padded_shortcut_thins_and_pads() -> None:
    block = resnet._PaddedShortcut(2, 3)
    x = torch.randn(2, 4, 6, 6)
    y = block(x)
    assert y.shape == (2, 7, 3, 3)
    torch.testing.assert_close(y[:, 1:5], x[:, :, ::2, ::2])
    assert y[:, 0].abs().sum() + y[:, 5:].abs().sum() == 0


def test_projected_shortcuts_by_option() -> None:
    padded = resnet.resnet20(CIFAR, 10)
    projected = resnet.resnet20(CIFAR, 10, shortcut="projected")
    assert parameters(projected) - parameters(padded) == 16 * 32 + 32 * 64 + 2 * (32 + 64)
    assert projected(torch.randn(2, *CIFAR)).shape == (2, 10)


@pytest.mark.parametrize(
    ("shape", "stem", "pools"),
    [((3, 128, 128), None, 1), ((3, 64, 64), None, 0), ((3, 64, 64), "imagenet", 1),
     ((3, 128, 128), "cifar", 0)],
)  # fmt: skip
def test_the_stem_suits_the_image(
    shape: tuple[int, int, int], stem: resnet.Stem | None, pools: int
) -> None:
    network = resnet.resnet18(shape, 10, stem=stem, width=4)
    assert sum(isinstance(m, nn.MaxPool2d) for m in network.modules()) == pools


def test_wrn22_8_has_the_known_number_of_relus() -> None:
    # Source: 1.36M without and 1.39M with the final one, as the ReLU-reduction papers count.
    sites = sites_of(resnet.wrn22_8(CIFAR, 100), CIFAR)
    final = [s for s in sites if s.operator == "relu"][-1].elements
    assert (relus(sites), relus(sites) - final) == (1_392_640, 1_359_872)


@pytest.mark.parametrize("name", ["resnet_mini", "resnet18", "resnet50", "resnet20", "resnet32"])
def test_width_must_be_positive(name: str) -> None:
    with pytest.raises(ConfigError, match=r"workload.network.width.*at least 1 \(got 0\)"):
        getattr(resnet, name)(CIFAR, 10, width=0)


def test_resnet_mini_learns() -> None:
    from search.workloads.data.fashion import FashionMini

    data = FashionMini().load()
    torch.manual_seed(0)
    network = resnet.resnet_mini((1, 14, 14), 10, width=8)
    optimizer = torch.optim.SGD(network.parameters(), 0.05, momentum=0.9)
    for index in torch.randperm(12_000).split(50):
        loss = nn.functional.cross_entropy(network(data.train.x[index]), data.train.y[index])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    network.eval()
    with torch.no_grad():
        right = network(data.validation.x).argmax(1) == data.validation.y
    assert right.float().mean() > 0.65
