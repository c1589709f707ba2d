import functools

import pytest
from torch import nn

from search.api.errors import ConfigError
from search.workloads.networks.options import at_least, check_options, of_factory
from search.workloads.networks.small import mlp


def free(input_shape: object, classes: int, **options: object) -> nn.Module:
    return nn.Identity()


def test_absent_options_get_their_defaults() -> None:
    assert check_options(mlp, "mlp", {}) == {"hidden": (128, 128)}


def test_values_are_read_as_declared() -> None:
    assert list(check_options(mlp, "mlp", {"hidden": [3, 4]})["hidden"]) == [3, 4]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"hiden": [3]}, "workload.network.hiden: network mlp: unknown option (known: hidden). "
                         "Did you mean 'hidden'?"),
        ({"classes": 3}, "unknown option (known: hidden)."),
        ({"hidden": "wide"}, "workload.network.hidden: "),
        ({"hidden": [1.5]}, "(got [1.5])"),
    ],
)  # fmt: skip
def test_wrong_options_are_named(options: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError) as error:
        check_options(mlp, "mlp", options)
    assert words in str(error.value)


def test_a_factory_that_takes_anything_gets_it() -> None:
    assert check_options(free, "free", {"x": 1}) == {"x": 1}


def test_partial_and_plain_factories() -> None:
    network = of_factory(functools.partial(mlp, hidden=(4,)), "mlp", (1, 2, 2), 3, {})
    assert isinstance(network, nn.Sequential)
    assert isinstance(of_factory(nn.Identity, "identity", (1, 2, 2), 3, {}), nn.Identity)


def test_refusals_of_a_factory_are_named() -> None:
    def picky(input_shape: object, classes: int) -> nn.Module:
        raise ValueError("classes must be even")

    with pytest.raises(ConfigError, match="network picky: classes must be even"):
        of_factory(picky, "picky", (1, 2, 2), 3, {})


def test_at_least() -> None:
    at_least("n", "width", 1, 1)
    with pytest.raises(ConfigError, match=r"workload.network.width: network n: must be at least 2"):
        at_least("n", "width", 1, 2)
