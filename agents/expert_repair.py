"""Layer-wise repair: small changes at the bottleneck, as long as models foretell a gain.

A bottleneck is the layer with the largest share of what is missed or wanted: of time, of error, of
memory. Changes are its own knobs first, then single steps of the global ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from agents.expert_wish import Ranked, Wish
from search.api.domain import Choice, Integer, Param, Point, Real, Value, Vector, is_active

if TYPE_CHECKING:
    from agents.tools.forecast import Forecast

Bottleneck = Literal["precision", "latency", "level", "memory", "range", "security"]

GAIN = 0.01
"""Relative gain below which a repair is not worth a step; models are off by more than that."""
_STEPS = (1, -1, 2, -2)
_PER_LAYER = ("embedding", "baby")
_PER_SITE = ("activation", "degree", "margin", "bootstrap")


@dataclass(frozen=True)
class Repair:
    """An accepted change.

    Args:
        before, after: what was foretold of both.
        knob: parameter that moved, with the layer if it is one of a layer.
        bottleneck: what it mends.
    """

    before: Ranked
    after: Ranked
    knob: str
    bottleneck: Bottleneck

    @property
    def reason(self) -> str:
        """One line for people."""
        name = self.knob.partition("[")[0]
        old, new = self.before.point.get(name), self.after.point.get(name)
        return f"{self.bottleneck}: {self.knob} {_short(old)} -> {_short(new)}"


def improved(
    forecast: Forecast,
    params: Sequence[Param],
    check: Any,
    wish: Wish,
    start: Ranked,
    most: int = 200,
) -> Iterator[Repair]:
    """Accepted repairs, one after another, each the best step from the one before.

    Args:
        forecast: foretells.
        params: of the study.
        check: known rules; empty means legal.
        wish: demands and what is wanted.
        start: where to begin.
        most: points to foretell at most.
    """
    current, tried = start, 0
    while tried < most:
        best: Repair | None = None
        bottleneck, layer = bottleneck_of(forecast, wish, current)
        for knob, point in neighbours(params, current.point, layer):
            if tried >= most:
                break
            tried += 1
            if check(point):
                continue
            found = foretold(forecast, wish, point)
            if found is None or not _better(wish, found, current):
                continue
            if best is None or _better(wish, found, best.after, gain=0.0):
                best = Repair(current, found, knob, bottleneck)
        if best is None:
            return
        yield best
        current = best.after


def foretold(forecast: Forecast, wish: Wish, point: Point) -> Ranked | None:
    """What is foretold of ``point``; None if it breaks a rule or its run would wrap around."""
    worst = any("worst" in aim.metric.name for aim in wish.aims) or "worst" in wish.metric.name
    effect = forecast.effect(point, worst=worst)
    value = effect.values.get(wish.metric.name)
    if effect.broken or value is None or forecast.overflows(point):
        return None
    return Ranked(point, value, effect.values)


def bottleneck_of(forecast: Forecast, wish: Wish, at: Ranked) -> tuple[Bottleneck, int | None]:
    """What holds ``at`` back, and the index of the linear layer with the largest share of it."""
    kind: Bottleneck = "latency"
    missed = [aim for aim in wish.aims
              if aim.excess(at.values.get(aim.metric.name, aim.constraint.bound)) > 0]  # fmt: skip
    name = missed[0].metric.name if missed else wish.metric.name
    if "precision" in name or "agreement" in name:
        kind = "precision"
    elif "memory" in name or name.endswith("_mb"):
        kind = "memory"
    elif "security" in name or name == "log_qp":
        kind = "security"
    elif name == "levels":
        kind = "level"
    shares = layer_shares(forecast, at.point, kind)
    if not shares:
        return kind, None
    return kind, max(range(len(shares)), key=lambda i: shares[i])


def layer_shares(forecast: Forecast, point: Point, kind: Bottleneck) -> list[float]:
    """Share of each linear layer in time, error or encoded weights, in order of layers."""
    params = forecast.space.read(point)
    laid = forecast.laid(params)
    names = list(laid.packed.linears)
    if kind == "precision":
        errors = forecast.error_shares(params)
        return [errors.get(name, 0.0) for name in names]
    if kind == "memory":
        return [float(len(laid.packed.linears[name].terms)) for name in names]
    times = stage_times(forecast, point)
    return [times.get(name, 0.0) for name in names]


def stage_times(forecast: Forecast, point: Point) -> Mapping[str, float]:
    """Node -> predicted ms."""
    import numpy as np

    params = forecast.space.read(point)
    template = forecast.template(params, forecast.laid(params))
    special = max(1, len(params.chain.special))
    costs = template.costs(np.array([params.log_n]), forecast.times, special=special)[0]
    found: dict[str, float] = {}
    for index, (node, _, _) in enumerate(template.names):
        found[node] = found.get(node, 0.0) + float(costs[template.groups == index].sum())
    return found


def neighbours(
    params: Sequence[Param], point: Point, layer: int | None = None
) -> Iterator[tuple[str, Point]]:
    """(knob, point) of every single change: entries of ``layer`` first, then scalars.

    Args:
        params: of the study.
        point: where to begin.
        layer: index of a layer whose own knobs move; None: those of all layers.
    """
    for param in sorted(params, key=lambda p: not isinstance(p.domain, Vector)):
        if param.name not in point:
            continue
        value = point[param.name]
        if isinstance(param.domain, Vector) and isinstance(value, tuple):
            for index in range(len(value)):
                # Knobs of layers are in the order of layers; those of sites and primes are not.
                if layer is not None and param.name in _PER_LAYER and index != layer:
                    continue
                for entry in _next(param.domain.element, value[index]):
                    moved = (*value[:index], entry, *value[index + 1 :])
                    yield f"{param.name}[{index}]", _with(params, point, param.name, moved)
        elif not isinstance(value, tuple) and not isinstance(param.domain, Vector):
            for entry in _next(param.domain, value):
                yield param.name, _with(params, point, param.name, entry)


def _with(params: Sequence[Param], point: Point, name: str, value: Value) -> Point:
    """``point`` with one value changed; what becomes active gets its first value."""
    moved: dict[str, Value] = {}
    for param in params:
        if not is_active(param, moved):
            continue
        if param.name == name:
            moved[name] = value
        else:
            moved[param.name] = point.get(param.name, _first(param))
    return moved


def _first(param: Param) -> Value:
    domain: Any = param.domain
    element = domain.element if isinstance(domain, Vector) else domain
    value = element.low if isinstance(element, (Integer, Real)) else element.options[0]
    return (value,) * domain.length if isinstance(domain, Vector) else value


def _next(domain: Any, value: Any) -> Iterator[Any]:
    """Values one or two steps away; every other option of a choice."""
    if isinstance(domain, Choice):
        yield from (o for o in domain.options if o != value)
        return
    if isinstance(domain, Real):
        step = (domain.high - domain.low) / 20
        yield from (v for s in _STEPS if domain.low <= (v := value + s * step) <= domain.high)
        return
    options = (
        range(domain.low, domain.high + 1, domain.step)
        if isinstance(domain, Integer)
        else domain.options
    )
    at = list(options).index(value)
    yield from (options[at + s] for s in _STEPS if 0 <= at + s < len(options))


def _better(wish: Wish, one: Ranked, other: Ranked, gain: float = GAIN) -> bool:
    """Whether ``one`` misses less, or misses nothing either and is worth more."""
    miss, old = wish.excess(one.values), wish.excess(other.values)
    if max(miss, old) > 0:
        return miss < old - 1e-9
    size = max(abs(other.value), 1e-9)
    if wish.sign * (other.value - one.value) / size > gain:
        return True
    # Precision costs nothing at the same time: take what comes with no loss.
    same = abs(one.value - other.value) / size < 1e-6
    bits = [r.values.get("predicted_precision", 0.0) for r in (one, other)]
    return same and bits[0] > bits[1] + (0.25 if gain else 0.0)


def _short(value: Any) -> str:
    text = "".join(str(v)[:1] for v in value) if isinstance(value, tuple) else str(value)
    return text if len(text) <= 24 else text[:21] + "..."
