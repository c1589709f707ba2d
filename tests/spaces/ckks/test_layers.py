import pytest

from search.api.errors import ConfigError
from search.api.network import Site
from search.workloads.image import ImageClassification
from spaces.ckks.layers import Layers, is_sign_degree, levels_of
from spaces.ckks.params import ActivationChoice


def site(name: str, operator: str, shape: tuple[int, ...] = (4,)) -> Site:
    kinds = {"conv": "conv", "linear": "linear", "add": "add", "batchnorm": "norm",
             "maxpool": "pool", "avgpool": "pool"}  # fmt: skip
    macs = 10**6 if operator in ("conv", "linear") else 0
    other = "other" if operator in ("mul", "softmax", "globalavgpool", "polynomial") else ""
    kind = kinds.get(operator, other or "activation")
    return Site(name, kind, operator, shape, shape, macs)  # type: ignore[arg-type]


def net(*operators: str) -> Layers:
    return Layers(tuple(site(f"{op}{i}", op) for i, op in enumerate(operators)))


@pytest.mark.parametrize(
    ("operators", "depth"),
    [
        (("linear",), 1),
        (("linear", "square", "linear", "square", "linear"), 5),  # MLP of two hidden layers
        (("conv", "square", "linear", "x2act", "linear"), 5),
        (("conv", "square", "conv", "square", "linear", "square", "linear"), 7),  # LeNet
        (("conv", "batchnorm", "x2act", "avgpool", "linear"), 3),
        (("conv", "conv", "linear"), 1),
        (("batchnorm", "conv", "square", "globalavgpool", "linear"), 3),
        (("linear", "square", "square", "linear"), 4),
        (("linear", "x2act"), 3),
        (("linear", "square"), 2),
        ((), 0),
    ],
)
def test_depth_counts_neighbouring_linear_layers_once(
    operators: tuple[str, ...], depth: int
) -> None:
    assert net(*operators).depth({}) == depth


def residual(last: str) -> Layers:
    names = (("conv1", "conv"), ("act1", last), ("conv2", "conv"), ("add", "add"), ("fc", "linear"))
    links = {"conv1": (), "act1": ("conv1",), "conv2": ("act1",), "add": ("conv2", "act1"),
             "fc": ("add",)}  # fmt: skip
    return Layers(tuple(site(*pair) for pair in names), links)


def test_an_addition_joins_at_the_deeper_branch() -> None:
    assert residual("square").depth({}) == 4
    assert residual("x2act").depth({}) == 4


def test_a_factor_before_an_addition_takes_a_level_of_its_own_if_nothing_hides_it() -> None:
    sites = tuple(site(n, o) for n, o in (("a", "linear"), ("p", "x2act"), ("s", "add")))
    links = {"a": (), "p": ("a",), "s": ("p", "a")}
    assert Layers(sites, links).depth({}) == 3


@pytest.mark.parametrize(
    ("choice", "levels"),
    [
        (None, 1),
        (ActivationChoice("a"), 1),
        (ActivationChoice("a", "square"), 1),
        (ActivationChoice("a", "polynomial", 1), 1),
        (ActivationChoice("a", "polynomial", 3), 2),
        (ActivationChoice("a", "polynomial", 4), 3),
        (ActivationChoice("a", "polynomial", 7), 3),
        (ActivationChoice("a", "polynomial", 127), 7),
        (ActivationChoice("a", "sign_relu", 15), 5),
        (ActivationChoice("a", "sign_relu", 15 * 15), 9),
        (ActivationChoice("a", "sign_relu", 15 * 15 * 27), 14),
    ],
)
def test_levels_of_an_activation(choice: ActivationChoice | None, levels: int) -> None:
    assert levels_of(choice) == levels


def test_depth_follows_the_choices() -> None:
    layers = net("linear", "relu", "linear")
    assert layers.depth({"relu1": ActivationChoice("relu1", "polynomial", 7)}) == 5
    assert layers.depth({"relu1": ActivationChoice("relu1", "square")}) == 3


def test_sign_degrees_are_products_of_odd_degrees() -> None:
    assert [d for d in range(1, 20) if is_sign_degree(d)] == [3, 5, 7, 9, 11, 13, 15, 17, 19]
    assert not is_sign_degree(67)
    assert is_sign_degree(15 * 15 * 27)


def test_what_is_configured_has_the_names_of_the_graph() -> None:
    layers = net("conv", "batchnorm", "relu", "avgpool", "linear", "linear", "x2act", "linear")
    assert layers.linears == ("conv0", "linear5", "linear7")
    assert dict(layers.activations) == {"relu2": "relu", "x2act6": "x2act"}
    assert layers.foreign == ("relu2",)


def test_the_widest_tensor() -> None:
    sites = (site("a", "conv", (3, 8, 8)), site("b", "linear", (10,)))
    assert Layers(sites).widest == 192
    assert Layers(()).widest == 1


@pytest.mark.parametrize(
    ("network", "kind", "degree", "linears"),
    [
        ("ckks_mlp", "own", 2, True),
        ("ckks_lola", "own", 2, True),
        ("ckks_lenet", "own", 2, True),
        ("ckks_cnn6", "own", 2, True),
        ("ckks_resnet20", "own", 2, False),  # shortcuts that only pad are linear maps, too
        ("resnet_tiny", "square", 2, True),
        ("resnet_tiny", "polynomial", 7, True),
        ("mlp", "sign_relu", 27, True),
    ],
)
def test_levels_and_names_are_those_of_the_traced_graph(
    network: str, kind: str, degree: int, linears: bool
) -> None:
    import torch

    from evaluators.fhe.levels import depth
    from evaluators.fhe.trace import graph_of

    workload = ImageClassification(network=network, data="fashion_mini")
    layers = Layers(workload.sites(), workload.links())
    chosen = {n: ActivationChoice(n, kind, degree) for n in layers.activations}  # type: ignore[arg-type]
    samples = torch.rand(4, *workload.input_shape).reshape(4, -1).double().numpy()
    graph = graph_of(
        workload.build(0).eval(), workload.input_shape, lambda site: chosen[site], samples
    )
    assert layers.depth(chosen) == depth(graph)
    found = [node.name for node in graph.nodes if node.kind == "linear"]
    assert set(layers.linears) <= set(found)
    assert not linears or list(layers.linears) == found


def test_a_product_that_would_be_denser_is_not_taken() -> None:
    depthwise = Site("a", "conv", "conv", (8, 14, 14), (8, 14, 14), 8 * 196 * 9, 72,
                     {"kernel": 3, "stride": 1, "groups": 8})  # fmt: skip
    pointwise = Site("b", "conv", "conv", (8, 14, 14), (16, 14, 14), 16 * 196 * 8, 128,
                     {"kernel": 1, "stride": 1, "groups": 1})  # fmt: skip
    assert Layers((depthwise, pointwise)).depth({}) == 2
    assert Layers((depthwise, pointwise)).linears == ("a", "b")
    wide = Site("w", "linear", "linear", (8,), (100,), 800, 800)
    thin = Site("t", "linear", "linear", (100,), (8,), 800, 800)
    assert Layers((wide, thin)).depth({}) == 1
    assert Layers((thin, wide)).depth({}) == 2


@pytest.mark.parametrize("operator", ["maxpool", "mul", "softmax"])
def test_what_ckks_cannot_do_is_named_with_its_site(operator: str) -> None:
    with pytest.raises(ConfigError, match=rf"workload.network: site '{operator}1'"):
        net("conv", operator)


def test_a_traced_residual_network() -> None:
    workload = ImageClassification(network="resnet_tiny", data="fashion_mini")
    layers = Layers(workload.sites(), workload.links())
    square = {name: ActivationChoice(name, "square") for name in layers.activations}
    degree7 = {name: ActivationChoice(name, "polynomial", 7) for name in layers.activations}
    rises = layers.depth(degree7) - layers.depth(square)
    assert rises == 2 * len(layers.activations)
