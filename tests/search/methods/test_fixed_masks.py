from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from search.api.metric import Fidelity
from search.methods.fixed_masks import LayerMasks, RandomMasks
from spaces.relu import ReluPlacement

HOLDS = {"first": 256, "second": 128}
TOTAL = sum(HOLDS.values())


def kept(
    method: Any, workload: Any, ctx: Any, granularity: str = "pixel"
) -> dict[str, int | float]:
    space = ReluPlacement(
        workload.sites(), granularity, activations=("relu", "identity"), pools=("max",)
    )
    made = method.produce(space, {}, Fidelity("train", 0, {"epochs": 0}), ctx, None)
    sites = [s for s in workload.sites() if s.kind == "activation"]
    found = dict.fromkeys((s.name for s in sites), 0.0)
    for work in made.payload.usage(workload.sites()):
        if work.operator == "relu":
            found[work.site] += work.elements
    return dict(zip(HOLDS, found.values(), strict=True))


@pytest.mark.parametrize("percent", [5, 20, 50])
def test_random_masks_keep_about_the_same_share_everywhere(
    workload: Any, recorder: Callable[..., Any], percent: float
) -> None:
    found = kept(RandomMasks(workload, relu_budget=percent), workload, recorder())
    assert sum(found.values()) == round(percent / 100 * TOTAL)
    for name, holds in HOLDS.items():
        assert found[name] == pytest.approx(percent / 100 * holds, abs=4 * (holds / 4) ** 0.5)


@pytest.mark.parametrize(
    ("where", "percent", "want"),
    [
        ("even", 50, {"first": 128, "second": 64}),
        ("first", 50, {"first": 192, "second": 0}),
        ("last", 50, {"first": 64, "second": 128}),
        ("last", 5, {"first": 0, "second": 19}),
    ],
)
def test_layer_masks_follow_their_rule(
    workload: Any, recorder: Callable[..., Any], where: str, percent: float, want: dict[str, int]
) -> None:
    method = LayerMasks(workload, relu_budget=percent, where=where)
    assert kept(method, workload, recorder()) == want


def test_even_layers_of_whole_channels_still_use_the_budget(
    workload: Any, recorder: Callable[..., Any]
) -> None:
    # 5 % of 384 are 19 elements: less than a channel of 64, one of 16.
    method = LayerMasks(workload, relu_budget=5)
    assert kept(method, workload, recorder(), "channel") == {"first": 0, "second": 16}


def test_layer_masks_refuse_another_rule(workload: Any) -> None:
    with pytest.raises(ValidationError, match="where"):
        LayerMasks(workload, where="middle")
