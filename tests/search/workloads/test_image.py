import functools
import subprocess
import sys
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
import torch
from torch import Tensor, fx, nn

from search import registry
from search.api.errors import ConfigError
from search.api.protocols import Configurable, Workload
from search.workloads.data.splits import Split, Splits
from search.workloads.image import ImageClassification, TeacherConfig
from search.workloads.networks.resnet import resnet_mini


def splits(digest: str = "0123456789abcdef", classes: int = 3) -> Splits:
    part = Split(torch.zeros(4, 1, 8, 8), torch.zeros(4, dtype=torch.int64))
    return Splits(
        part, part, part, classes=classes, input_shape=(1, 8, 8), name="blank", digest=digest,
        mean=(0.0,), std=(1.0,),
    )  # fmt: skip


class Net(nn.Module):
    """A user's network with nothing to set."""

    def __init__(self, slope: float = 0.0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.act = nn.LeakyReLU(slope) if slope else nn.ReLU()
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.act(self.conv(x)).mean((2, 3)))
        return y


def config(**changes: Any) -> ImageClassification:
    data = {"network": "resnet_mini", "data": "fashion_mini"} | changes
    model = ImageClassification.Config.model_validate(data)
    return ImageClassification.from_config(model, None)


def test_it_is_a_configurable_workload() -> None:
    workload: Workload = config()
    assert isinstance(workload, Configurable)
    assert registry.load("workload", "image_classification") is ImageClassification


def test_names_in_a_configuration() -> None:
    workload = config(network={"name": "resnet_mini", "width": 4}, teacher={"epochs": 2})
    assert workload.name == "resnet_mini-fashion_mini"
    assert (workload.input_shape, workload.classes) == ((1, 14, 14), 10)
    assert workload.teacher_config == TeacherConfig(epochs=2)
    assert workload.build(0).get_submodule("stem.conv").out_channels == 4
    assert [s.kind for s in workload.sites()].count("activation") == 9
    assert len(workload.data.train) == 12_000


def test_a_configuration_survives_writing_out() -> None:
    first = ImageClassification.Config(
        network={"name": "resnet_mini", "width": 4}, data={"name": "fashion_mini", "train": 100}
    )
    again = ImageClassification.Config.model_validate(first.model_dump(mode="json"))
    assert again == first
    workload = ImageClassification.from_config(again, None)
    assert len(workload.data.train) == 100


def test_builds_are_canonical_and_repeatable() -> None:
    workload = config(network={"name": "resnet_mini", "width": 4})
    torch.manual_seed(5)
    expected_next = torch.rand(1)
    torch.manual_seed(5)
    first, same, other = workload.build(1), workload.build(1), workload.build(2)
    assert torch.equal(torch.rand(1), expected_next)  # the caller's random state is untouched
    assert isinstance(first, fx.GraphModule)
    weights = [n.get_submodule("stem.conv").weight for n in (first, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert weights[0] is not weights[1]
    assert not torch.equal(weights[0], weights[2])
    assert first.training


def test_a_users_module_keeps_its_weights_and_stays_as_it_is() -> None:
    network = Net()
    workload = ImageClassification(network=network, data=splits())
    built = workload.build(0)
    assert torch.equal(built.get_submodule("conv").weight, network.conv.weight)
    with torch.no_grad():
        built.get_submodule("conv").weight.zero_()
    assert network.conv.weight.abs().sum() > 0
    assert workload.name == "Net-blank"
    assert [s.name for s in workload.sites() if s.kind == "activation"] == ["act"]


@pytest.mark.parametrize(
    "factory",
    [
        Net,
        functools.partial(Net, slope=0.1),
        lambda: Net(),
        functools.partial(resnet_mini, width=2),
        lambda shape, classes: nn.Sequential(nn.Flatten(), nn.Linear(64, classes)),
    ],
)
def test_factories_give_fresh_weights(factory: Any) -> None:
    workload = ImageClassification(network=factory, data=splits())
    first, second = (list(workload.build(seed).parameters())[0] for seed in (0, 1))
    assert not torch.equal(first, second)


def test_a_registered_network_of_a_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_overlay", {})

    @registry.register("network", "mine")
    def mine(input_shape: tuple[int, int, int], classes: int, *, hidden: int = 5) -> nn.Module:
        """Mine."""
        return nn.Sequential(nn.Flatten(), nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, 3))

    workload = ImageClassification({"name": "mine", "hidden": 7}, splits())
    assert workload.sites()[1].elements == 7


def test_the_digest_covers_what_defines_the_workload() -> None:
    base = dict(network="resnet_mini", data=splits())
    digests = [
        ImageClassification(**(base | change)).digest
        for change in (
            {},
            {"network": {"name": "resnet_mini", "width": 4}},
            {"data": splits("fedcba9876543210")},
            {"teacher": {"epochs": 3}},
            {"network": "mlp"},
        )
    ]
    assert len(set(digests)) == 5
    assert all(len(d) == 16 and int(d, 16) >= 0 for d in digests)
    written_out = ImageClassification({"name": "resnet_mini", "width": 16}, splits())
    assert written_out.digest == digests[0]


def test_the_digest_of_a_users_network_covers_structure_and_weights() -> None:
    torch.manual_seed(0)
    network = Net()
    first = ImageClassification(network, splits()).digest
    assert ImageClassification(network, splits()).digest == first
    with torch.no_grad():
        network.conv.weight[0, 0, 0, 0] += 1e-3
    assert ImageClassification(network, splits()).digest != first
    slopes = {ImageClassification(functools.partial(Net, s), splits()).digest for s in (0.1, 0.2)}
    assert len(slopes) == 2


def test_the_digest_is_the_same_in_another_process() -> None:
    code = (
        "from search.workloads.image import ImageClassification as I;"
        "print(I({'name': 'resnet_mini', 'width': 2}, 'fashion_mini').digest)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    own = ImageClassification({"name": "resnet_mini", "width": 2}, "fashion_mini").digest
    assert done.stdout.strip() == own


def test_it_crosses_processes_without_pixels() -> None:
    workload = config(network={"name": "resnet_mini", "width": 2})
    assert len(workload.data.validation) == 3_000
    sites, digest = workload.sites(), workload.digest
    packed = cloudpickle.dumps(workload)
    assert len(packed) < 20_000
    other = cloudpickle.loads(packed)
    assert (other.sites(), other.digest) == (sites, digest)
    assert len(other.data.validation) == 3_000


def test_live_objects_cross_processes_whole() -> None:
    workload = ImageClassification(lambda: Net(), splits())
    other = cloudpickle.loads(cloudpickle.dumps(workload))
    assert other.digest == workload.digest
    assert len(other.data.train) == 4


def test_the_module_does_not_load_torch() -> None:
    code = "import sys, search.workloads.image; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"network": {"name": "resnet_mini", "widht": 4}},
         "workload.network.widht: network resnet_mini: unknown option (known: width, large_blocks, "
         "small_blocks). "
         "Did you mean 'width'?"),
        ({"network": {"name": "resnet_mini", "width": "wide"}},
         "workload.network.width: input should be a valid integer"),
        ({"network": {"name": "resnet_mini", "width": 0}},
         "workload.network.width: network resnet_mini: must be at least 1 (got 0)"),
        ({"network": {"name": "resnet18", "stem": "cifr"}},
         "workload.network.stem: input should be 'imagenet' or 'cifar' (got 'cifr')"),
        ({"network": "resnet_min"}, "Did you mean 'resnet_mini'?"),
        ({"network": {"name": "lenet5"}, "data": "digits"}, "must be at least 12x12 (got 8x8)"),
        ({"data": "fashion_maxi"}, "workload.data: unknown dataset 'fashion_maxi'"),
        ({"data": {"name": "fashion_mini", "trian": 5}},
         "workload.data.trian: unknown key (known: seed, test, train, validation). "
         "Did you mean 'train'?"),
    ],
)  # fmt: skip
def test_wrong_configurations_are_named(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as error:
        config(**changes).sites()
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"network": 3}, "expected a torch.nn.Module, a factory or a name (got int)"),
        ({"data": [1]}, "expected Splits, a dataset or a name (got list, which has no digest)"),
        ({"teacher": {"epoch": 3}}, "workload.teacher.epoch: unknown key"),
        ({"teacher": {"learning_rate": -1}}, "workload.teacher.learning_rate: "),
        ({"network": {"width": 4}}, "expected a name, or a mapping with a key 'name'"),
        ({"network": lambda shape: Net()}, "cannot be called as factory(input_shape, classes)"),
        ({"network": lambda: "net"}, "the factory gave str (expected torch.nn.Module)"),
        ({"data": splits(classes=4)}, "gives outputs of shape (3,) per image (expected (4,)"),
        ({"network": nn.Linear(5, 3)}, "does not run on inputs of shape (1, 8, 8)"),
    ],
)
def test_wrong_objects_are_named(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as error:
        ImageClassification(**({"network": Net(), "data": splits()} | arguments)).sites()
    assert words in str(error.value)


def test_given_names(tmp_path: Path) -> None:
    assert ImageClassification(Net(), splits(), name="mine").name == "mine"
    assert ImageClassification(functools.partial(Net), splits()).name == "Net-blank"
