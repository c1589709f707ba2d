"""A network as a configuration sees it: linear layers, activations, and the levels they take.

Counted from sites and links alone, so that a configuration can be checked without loading PyTorch.
The static rung counts again on the network itself.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from search.api.errors import ConfigError
from search.api.network import Site
from spaces.ckks.level_steps import LevelKind, LevelStep, pairs_of
from spaces.ckks.params import ActivationChoice, Drops

OWN = ("x2act", "square", "polynomial")
"""Operators that are polynomials already."""

_LINEAR = ("conv", "linear", "batchnorm", "avgpool", "globalavgpool")
_ARITHMETIC = ("conv", "linear")
_FUNCTIONS = ("sigmoid", "hardsigmoid")  # activations that are sites of kind `other`
_IMPOSSIBLE = {
    "maxpool": "a max pool compares, which CKKS cannot. Use an average pool",
    "mul": "a product of two tensors is not supported",
    "matmul": "a product of two tensors is not supported",
    "softmax": "a softmax is not supported. Leave it to the client",
    "layernorm": "a layer normalisation divides, which CKKS cannot. Use batch normalisation",
    "groupnorm": "a group normalisation divides, which CKKS cannot. Use batch normalisation",
    "instancenorm2d": "an instance normalisation divides, which CKKS cannot",
}
_LARGEST_STAGE = 63  # degree of one stage of a composite sign


@dataclass(frozen=True)
class Layers:
    """What of a network is configured.

    Args:
        sites: every operator, in execution order.
        links: site -> sites it reads; None for a plain chain.

    Raises:
        ConfigError: an operator that cannot be evaluated under encryption, named with its site.
    """

    sites: tuple[Site, ...]
    links: Mapping[str, tuple[str, ...]] | None = None
    linears: tuple[str, ...] = field(init=False)
    activations: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        for site in self.sites:
            if site.operator in _IMPOSSIBLE:
                raise ConfigError(
                    f"site {site.name!r}: {_IMPOSSIBLE[site.operator]}", path="workload.network"
                )
        links = self.links or _chain(self.sites)
        object.__setattr__(self, "links", links)
        object.__setattr__(self, "linears", _heads(self.sites, links))
        object.__setattr__(
            self, "activations", {s.name: s.operator for s in self.sites if _is_activation(s)}
        )

    @property
    def widest(self) -> int:
        """Elements of the largest tensor that stands between layers."""
        sizes = [s.elements for s in self.sites[:1]]
        sizes += [s.outputs for s in self.sites if s.kind in ("conv", "linear", "activation")]
        return max(sizes, default=1)

    @property
    def foreign(self) -> tuple[str, ...]:
        """Activations that are no polynomials, and need one in their place."""
        return tuple(n for n, operator in self.activations.items() if operator not in OWN)

    def depth(self, choices: Mapping[str, ActivationChoice], drops: Drops = "each") -> int:
        """Levels from input to output: how many :meth:`pairs` there are."""
        return len(self.pairs(choices, drops))

    def pairs(
        self, choices: Mapping[str, ActivationChoice], drops: Drops = "each"
    ) -> tuple[bool, ...]:
        """Of each level, that next to the first prime first: whether a pair drops it.

        Neighbouring linear operators count once, unless their product would be denser than both, as
        of a depthwise and a pointwise convolution. A polynomial activation of degree 2 counts once:
        its leading coefficient goes into the linear layer behind it, or, where an addition reads
        it, into a linear map of its own. With paired drops a square that only linear maps read
        does not count; the levels of these maps are pairs.

        Args:
            choices: site -> what stands at it; the network's own where there is none.
            drops: as in :class:`~spaces.ckks.params.CkksParams`.
        """
        return pairs_of(_Walk(self, choices).steps, drops)


def levels_of(choice: ActivationChoice | None) -> int:
    """Levels that an activation takes; one for a polynomial of degree 2 of the network's own.

    A polynomial of degree d takes ceil(log2(d + 1)); a sign takes that of each of its stages, and
    the product with its argument one more.
    """
    if choice is None or choice.kind in ("own", "square"):
        return 1
    if choice.kind == "sign_relu":
        return 1 + (_sign_levels(choice.degree) or math.ceil(math.log2(choice.degree + 1)))
    return max(1, math.ceil(math.log2(choice.degree + 1)))


def is_sign_degree(degree: int) -> bool:
    """Whether a composite sign can have this total degree: a product of odd degrees up to 63."""
    return degree >= 3 and _sign_levels(degree) is not None


@dataclass(frozen=True)
class _State:
    """What is known of a value.

    Args:
        step: that made it.
        linear: whether a linear map made it.
        factor: whether a leading coefficient waits for a linear map.
        weighted: the last layer with weights in the map that made it.
        shared: whether several sites read it.
    """

    step: int
    linear: bool
    factor: bool
    weighted: Site | None = None
    shared: bool = False

    def merges(self, site: Site) -> bool:
        """Whether the linear operator ``site`` becomes one map with the one that made this."""
        if not self.linear or self.weighted is None:
            return self.linear
        return not self.shared and not _too_dense(self.weighted, site)


class _Walk:
    """The steps of a network, as they follow from its sites."""

    def __init__(self, layers: Layers, choices: Mapping[str, ActivationChoice]) -> None:
        self._layers, self._choices = layers, choices
        self.steps: list[LevelStep] = [LevelStep("other", (), 0)]  # the input
        links = layers.links or {}
        readers = Counter(name for read in links.values() for name in read)
        found: dict[str, _State] = {}
        for site in layers.sites:
            read = [replace(found[n], shared=readers[n] > 1) for n in links[site.name]]
            found[site.name] = self._after(site, read or [_State(0, False, False)])
        ends = [self._factored(found[s.name]) for s in layers.sites if not readers[s.name]]
        self._step("other", ends)

    def _after(self, site: Site, read: list[_State]) -> _State:
        steps = [state.step for state in read]
        own = self._layers.activations.get(site.name)
        if own is not None:
            choice = self._choices.get(site.name)
            kind = "own" if choice is None else choice.kind
            square = kind in ("own", "square")
            step = self._step("square" if square else "other", steps, levels_of(choice))
            return _State(step, False, kind == "own" and own != "square")
        if site.kind == "add":
            return _State(self._step("other", [self._factored(s) for s in read]), False, False)
        if site.operator not in _LINEAR:
            step = steps[0] if len(steps) == 1 else self._step("other", steps)
            return _State(step, any(s.linear for s in read), any(s.factor for s in read))
        merged = all(state.merges(site) for state in read)
        weighted = site if site.operator in _ARITHMETIC else None
        if merged:
            weighted = weighted or read[0].weighted
            steps = [name for step in steps for name in self.steps[step].inputs]
        return _State(self._step("linear", steps, 1), True, False, weighted)

    def _factored(self, state: _State) -> int:
        """The step that gives a value whose leading coefficient waits for no linear map."""
        return self._step("linear", [state.step], 1) if state.factor else state.step

    def _step(self, kind: LevelKind, inputs: Sequence[int], levels: int = 0) -> int:
        self.steps.append(LevelStep(kind, tuple(inputs), levels))
        return len(self.steps) - 1


def _too_dense(first: Site, second: Site) -> bool:
    """Whether the product of two layers has more non-zeros than both together.

    Counted without regard to borders. Only layers with weights can be too dense.
    """
    if second.operator not in _ARITHMETIC:
        return False
    return _entries(first, second) > first.macs + second.macs


def _entries(first: Site, second: Site) -> int:
    """Non-zeros of the product of two layers."""
    everything = first.elements * second.outputs
    if first.operator != "conv" or second.operator != "conv":
        return everything
    one, two = first.attributes, second.attributes
    side = one.get("kernel", 1) + one.get("stride", 1) * (two.get("kernel", 1) - 1)
    channels = first.input_shape[0]
    if two.get("groups", 1) > 1:  # each output reads few channels of the first one's result
        channels = channels // one.get("groups", 1)
    return min(everything, second.outputs * side**2 * channels)


@cache
def _sign_levels(degree: int) -> int | None:
    """Fewest levels of a composition of odd degrees with product ``degree``; None if none is."""
    if degree == 1:
        return 0
    found = []
    for stage in range(3, min(degree, _LARGEST_STAGE) + 1, 2):
        if degree % stage == 0:
            rest = _sign_levels(degree // stage)
            if rest is not None:
                found.append(math.ceil(math.log2(stage + 1)) + rest)
    return min(found, default=None)


def _is_activation(site: Site) -> bool:
    return site.kind == "activation" or site.operator in (*OWN, *_FUNCTIONS)


def _chain(sites: Sequence[Site]) -> dict[str, tuple[str, ...]]:
    """Links of a network in which every site reads the one before."""
    names = [site.name for site in sites]
    return {name: tuple(names[max(0, i - 1) : i]) for i, name in enumerate(names)}


def _heads(sites: Sequence[Site], links: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Convolutions and linear layers that keep their name when neighbours are multiplied."""
    readers: dict[str, list[Site]] = {site.name: [] for site in sites}
    for site in sites:
        for name in links[site.name]:
            readers[name].append(site)

    def swallowed(name: str, by: Site) -> bool:
        behind = readers[name]
        if len(behind) != 1 or behind[0].operator not in _LINEAR:
            return False
        if behind[0].operator in _ARITHMETIC:
            return not _too_dense(by, behind[0])
        return swallowed(behind[0].name, by)

    return tuple(s.name for s in sites if s.operator in _ARITHMETIC and not swallowed(s.name, s))
