import pytest
import torch

from search.api.errors import ConfigError
from search.workloads.canonical import canonicalise, trace_sites
from search.workloads.networks.mobilenet import mobilenet_v2


def test_imagenet_form_has_the_known_size() -> None:
    # Source: Sandler et al. 2018, table 4: 3.4M parameters (3,504,872 with batch normalisation
    # and classifier bias), 300M MACs.
    shape = (3, 224, 224)
    network = mobilenet_v2(shape, 1000)
    assert sum(p.numel() for p in network.parameters()) == 3_504_872
    sites = trace_sites(canonicalise(network, shape), shape)
    assert sum(s.macs for s in sites) / 1e6 == pytest.approx(300, rel=0.01)
    relus = [s for s in sites if s.kind == "activation"]
    assert {(s.operator, s.attributes["cap"]) for s in relus} == {("relu", 6)}
    assert len(relus) == 35


@pytest.mark.parametrize(("stem", "side"), [("cifar", 4), ("imagenet", 1)])
def test_small_images_are_halved_less_often(stem: str, side: int) -> None:
    network = mobilenet_v2((3, 32, 32), 10, width=0.1, stem=stem).eval()  # type: ignore[arg-type]
    shape = (3, 32, 32)
    pool = next(
        s
        for s in trace_sites(canonicalise(network, shape), shape)
        if s.operator in ("globalavgpool", "batchnorm") and s.name in ("pool", "head.bn")
    )
    assert pool.input_shape[-1] == side
    assert network(torch.randn(2, *shape)).shape == (2, 10)


def test_channels_are_multiples_of_eight() -> None:
    network = mobilenet_v2((3, 32, 32), 10, width=0.35)
    widths = {m.out_channels for m in network.modules() if isinstance(m, torch.nn.Conv2d)}
    assert all(w % 8 == 0 for w in widths)


def test_width_must_be_positive() -> None:
    with pytest.raises(ConfigError, match="network mobilenet_v2: must be at least"):
        mobilenet_v2((3, 32, 32), 10, width=0.0)
