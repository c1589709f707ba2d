import itertools

import pytest
import torch

from evaluators.linear import LinearCost, Rate
from search.api.metric import Metric
from search.api.network import Site
from search.methods.cost_selection import (
    masks_of_set,
    masks_within_cost,
    opens_any,
    original_cost,
    prices,
    sets_within_cost,
)
from spaces.masking import Masking, SiteMask
from spaces.relu import ReluPlacement

SITES = (
    Site("conv", "conv", "conv", (1, 4, 4), (2, 4, 4), macs=288, weights=18),
    Site("a", "activation", "relu", (2, 2, 4), (2, 2, 4)),
    Site("b", "activation", "relu", (2, 2, 2), (2, 2, 2)),
    Site("c", "activation", "relu", (2, 2, 1), (2, 2, 1)),
)


def masking(granularity: str = "pixel") -> Masking:
    return ReluPlacement(SITES, granularity, activations=("identity", "relu")).masking


def model(call: float, element: float) -> LinearCost:
    rates = {"conv": Rate(call=1.0), "relu": Rate(call=call, element=element), "identity": Rate()}
    return LinearCost(Metric("latency_2pc", "ms", "min", ""), rates, "test")


def scores(seed: int, places: Masking) -> dict[str, torch.Tensor]:
    noise = torch.Generator().manual_seed(seed)
    return {s.name: torch.rand(places.unit_shape(s), generator=noise) for s in places.free}


def cost_of(masks: dict[str, torch.Tensor], places: Masking, price: LinearCost) -> float:
    plan = places.plan({n: SiteMask(int(m.sum()), "00") for n, m in masks.items()})
    return float(price.cost(plan.usage(SITES)))


def kept_score(masks: dict[str, torch.Tensor], given: dict[str, torch.Tensor]) -> float:
    return sum(float((given[n] * m).sum()) for n, m in masks.items())


def test_prices_add_up_to_the_cost_of_a_plan() -> None:
    places, cost = masking(), model(3.0, 0.5)
    price = prices(places, cost)
    assert (price.settled, price.least) == (1.0, 1.0)
    assert price.opened == {"a": 3.0, "b": 3.0, "c": 3.0}
    assert price.element == pytest.approx({"a": 0.5, "b": 0.5, "c": 0.5})
    assert original_cost(places, cost) == pytest.approx(1 + 3 * 3 + 0.5 * 28)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("limit", [1.0, 5.2, 9.0, 14.0, 20.0])
@pytest.mark.parametrize(("call", "element"), [(3.0, 0.5), (0.0, 0.5), (6.0, 0.05)])
def test_no_set_of_layers_is_better(seed: int, limit: float, call: float, element: float) -> None:
    places, cost = masking(), model(call, element)
    given = scores(seed, places)
    found = masks_within_cost(given, places, prices(places, cost), limit, layers=True)
    assert cost_of(found, places, cost) <= limit + 1e-9
    best = 0.0
    for k in range(4):
        for chosen in itertools.combinations("abc", k):
            room = limit - 1 - call * k
            if room >= 0:
                every = torch.cat([given[n].flatten() for n in chosen] or [torch.zeros(0)])
                best = max(
                    best,
                    float(every.sort(descending=True).values[: int(room / element + 1e-9)].sum()),
                )
    # Sets are compared by binned scores and found greedily: what is lost is small.
    assert kept_score(found, given) >= 0.93 * best


def test_expensive_starts_close_layers_and_cheap_ones_do_not() -> None:
    places = masking()
    given = scores(0, places)
    slow, narrow = model(6.0, 0.05), model(0.01, 0.5)
    for cost, layers in ((slow, 1), (narrow, 3)):
        limit = 8.0
        found = masks_within_cost(given, places, prices(places, cost), limit, layers=True)
        assert sum(bool(m.any()) for m in found.values()) == layers


def test_without_closing_layers_nothing_fits_below_the_price_of_opening_all() -> None:
    places, cost = masking(), model(3.0, 0.5)
    given, price = scores(0, places), prices(places, cost)
    none = masks_within_cost(given, places, price, 9.0, layers=False)
    assert not any(bool(m.any()) for m in none.values())
    some = masks_within_cost(given, places, price, 12.0, layers=False)
    assert sum(int(m.sum()) for m in some.values()) == 4


@pytest.mark.parametrize("granularity", ["channel", "layer"])
def test_units_are_kept_whole(granularity: str) -> None:
    places, cost = masking(granularity), model(1.0, 0.5)
    found = masks_within_cost(scores(1, places), places, prices(places, cost), 12.0, layers=True)
    assert cost_of(found, places, cost) <= 12.0
    for site in places.free:
        unit = found[site.name].flatten(1)
        assert bool((unit.all(1) | ~unit.any(1)).all())


def starting(call: float, element: float, replaced: float) -> LinearCost:
    """As :func:`model`, but starting what replaces a ReLU costs too."""
    rates = {
        "conv": Rate(call=1.0),
        "relu": Rate(call=call, element=element),
        "identity": Rate(call=replaced),
    }
    return LinearCost(Metric("latency_2pc", "ms", "min", ""), rates, "test")


def test_a_whole_layer_costs_no_replacement() -> None:
    places, cost = masking(), starting(3.0, 0.5, 2.0)
    price = prices(places, cost)
    assert price.whole == {"a": 11.0, "b": 7.0, "c": 5.0}
    # A mask of c costs at least 3 + 2, no less than all of its ReLUs.
    assert price.opened == {"a": 5.0, "b": 5.0, "c": 5.0}
    assert price.element == pytest.approx({"a": 0.5, "b": 0.5, "c": 0.0})
    assert original_cost(places, cost) == 24.0


def test_layers_whose_mask_costs_as_much_as_all_of_them_keep_all() -> None:
    places, cost = masking(), starting(3.0, 0.5, 2.0)
    price, given = prices(places, cost), scores(0, masking())
    for limit in (16.0, 18.0, 20.0, 22.0, 23.5, 24.0):
        masks = masks_of_set(given, places, price, limit, ("a", "b", "c"))
        assert cost_of(masks, places, cost) <= limit + 1e-9
        assert bool(masks["c"].all())
        for name, site in zip("ab", places.free[:2], strict=True):
            kept = int(masks[name].sum())
            assert kept == site.elements or 5.0 + 0.5 * kept < price.whole[name]
    assert all(bool(m.all()) for m in masks.values())


def test_units_of_whole_layers_cost_what_whole_layers_do() -> None:
    places, cost = masking("layer"), starting(3.0, 0.5, 2.0)
    price = prices(places, cost)
    assert price.opened == price.whole
    assert set(price.element.values()) == {0.0}
    found = masks_within_cost(scores(1, places), places, price, 24.0, layers=True)
    assert all(bool(m.all()) for m in found.values())


def test_sets_come_best_first_without_those_that_another_contains() -> None:
    places, cost = masking(), model(3.0, 0.5)
    sets = sets_within_cost(scores(0, places), places, prices(places, cost), 9.0, layers=True)
    assert all(len(chosen) <= 2 for chosen in sets)
    assert len(set(sets)) == len(sets) > 1
    assert not any(set(b) < set(a) for i, a in enumerate(sets) for b in sets[i + 1 :])
    assert sets_within_cost(scores(0, places), places, prices(places, cost), 9.0, layers=False) == [
        ()
    ]


def test_many_layers_are_searched_without_looking_at_every_set() -> None:
    sites = (SITES[0], *(Site(f"r{i}", "activation", "relu", (2, 2, 2), (2, 2, 2))
                         for i in range(14)))  # fmt: skip
    places = ReluPlacement(sites, "pixel", activations=("identity", "relu")).masking
    noise = torch.Generator().manual_seed(0)
    given = {s.name: torch.rand(s.input_shape, generator=noise) + i
             for i, s in enumerate(places.free)}  # fmt: skip
    price = prices(places, model(3.0, 0.5))
    found = masks_within_cost(given, places, price, 1 + 3 * 7, layers=True)
    assert [n for n, m in found.items() if bool(m.any())] == ["r11", "r12", "r13"]


@pytest.mark.parametrize(("limit", "layers", "opens"), [
    (3.9, True, False), (4.0, True, True), (9.9, False, False), (10.0, False, True),
])  # fmt: skip
def test_whether_anything_can_be_open(limit: float, layers: bool, opens: bool) -> None:
    assert opens_any(prices(masking(), model(3.0, 0.5)), limit, layers=layers) is opens
