"""Points around the border of feasibility, and the small networks they are about."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch

from evaluators.fhe import reference
from evaluators.fhe.graph import Graph
from evaluators.fhe.packed import PackedNetwork
from evaluators.fhe.packing import pack
from evaluators.fhe.static import report
from evaluators.fhe.static_rules import Facts, facts_of
from evaluators.fhe.trace import graph_of
from search.methods.trainer import Recipe, train
from search.workloads.image import ImageClassification
from spaces.ckks.params import ActivationChoice, Chain, CkksParams, Embedding, LayerPacking
from spaces.ckks.rules import Demands
from spaces.ckks.security import Security

# Largest log2 of all primes at 128 bit. Source: Bossuat et al., Security Guidelines for
# Implementing Homomorphic Encryption (IACR CiC 2024), table 5.2, ternary secrets.
MOST_BITS = {10: 26, 11: 53, 12: 106, 13: 214, 14: 430, 15: 868}
LOOSE = Demands(security=Security(allow_insecure=True))


@dataclass(frozen=True)
class Point:
    """One configuration of one network near one limit.

    Args:
        family: which limit.
        network: name below.
        params: the configuration.
        gain: factor on the last layer, to bring results near the limit.
        narrow: factor on the interval of polynomials, which 1 covers all values.
        secure: whether security counts.
        memory_mb: limit of keys and weights.
    """

    family: str
    network: str
    params: CkksParams
    gain: float = 1.0
    narrow: float = 1.0
    secure: bool = False
    memory_mb: float | None = None


NETWORKS: dict[str, tuple[dict[str, object], int]] = {
    "one square": ({"name": "ckks_mlp", "hidden": [16]}, 3),
    "two squares": ({"name": "ckks_mlp", "hidden": [16, 16]}, 5),
    "silu": ({"name": "ckks_mlp", "hidden": [16], "activation": "silu"}, 0),
    "relu": ({"name": "ckks_mlp", "hidden": [16], "activation": "relu"}, 0),
}


def points(count: int, seed: int) -> list[Point]:
    """Families in turn, each from its own seed."""
    rngs = {name: random.Random(f"{seed}-{name}") for name in FAMILIES}
    names = [name for name, (_, weight) in FAMILIES.items() for _ in range(weight)]
    order = random.Random(seed).sample(names, len(names))
    found = []
    for number in range(count):
        name = order[number % len(order)]
        found.append(FAMILIES[name][0](rngs[name]))
    return found


def _squares(rng: random.Random, log_n: Sequence[int] = (10, 11, 12)) -> tuple[str, int, int]:
    """A network, its depth and a ring."""
    name = rng.choice(("one square", "two squares"))
    return name, NETWORKS[name][1], rng.choice(log_n)


def _chain(scale: int, depth: int, headroom: int = 8, gap: int = 12) -> Chain:
    first = scale + headroom
    return Chain(first, (scale,) * depth, (min(60, first + gap),))


def _depth(rng: random.Random) -> Point:
    name, depth, log_n = _squares(rng)
    scale = rng.randint(26, 40)
    levels = max(0, depth + rng.choice((-2, -1, -1, 0, 0, 1)))
    return Point("depth", name, CkksParams(log_n, _chain(scale, levels), scale))


def _headroom(rng: random.Random) -> Point:
    name, depth, log_n = _squares(rng)
    scale = rng.randint(26, 40)
    gain = 2.0 ** rng.uniform(0, 8)
    headroom = rng.randint(0, 3) if gain < 4 else rng.randint(0, 9)
    params = CkksParams(log_n, _chain(scale, depth, headroom), scale)
    return Point("headroom", name, params, gain=gain)


def _scale(rng: random.Random) -> Point:
    name, depth, log_n = _squares(rng)
    scale = rng.randint(24, 42)
    offset = rng.randint(-16, 16)
    levels = tuple(
        min(58, max(18, scale + offset + rng.choice((0, 0, 0, 1, -1)))) for _ in range(depth)
    )
    first = max(scale + 8, *levels)
    return Point("scale", name, CkksParams(log_n, Chain(first, levels, (60,)), scale))


def _faint(rng: random.Random) -> Point:
    name, depth, log_n = _squares(rng)
    scale = rng.randint(14, 23)
    return Point("faint", name, CkksParams(log_n, _chain(scale, depth), scale))


def _special(rng: random.Random) -> Point:
    name, depth, log_n = _squares(rng)
    scale = rng.randint(24, 36)
    gap = rng.choice((-12, -6, -3, -2, -1, 0, 0, 2, 6, 12))
    return Point("special", name, CkksParams(log_n, _chain(scale, depth, 8, gap), scale))


def _primes(rng: random.Random) -> Point:
    name, depth, log_n = _squares(rng, (11, 12, 13))
    least = log_n + 2
    scale = rng.randint(20, 24)
    first = rng.choice((scale + 8, 60, 61, 62))
    odd = rng.choice((least - 1, least, least + 1, scale, scale, 19))
    levels = list((scale,) * depth)
    # A level more than is needed: what it is made of costs nothing but its existence.
    chain = Chain(first, (*levels, odd, odd)[: depth + rng.choice((1, 2))], (min(60, first + 12),))
    return Point("primes", name, CkksParams(log_n, chain, scale))


def _insecure(rng: random.Random) -> Point:
    log_n = rng.choice((12, 13, 13))
    name = "one square" if log_n == 12 else rng.choice(("one square", "two squares"))
    depth = NETWORKS[name][1]
    wanted = MOST_BITS[log_n] + rng.randint(-5, 6)
    scale = (wanted - 2 * 4 - 8) // (depth + 2)
    first = scale + 4
    rest = wanted - first - depth * scale
    extra = max(0, rest - 60)
    return Point(
        "insecure", name, CkksParams(log_n, Chain(first + extra, (scale,) * depth,
                                                  (rest - extra,)), scale), secure=True,
    )  # fmt: skip


def _unsupported(rng: random.Random) -> Point:
    name, depth, log_n = _squares(rng)
    params = CkksParams(log_n, _chain(30, depth), 30)
    chain = params.chain
    return Point(
        "unsupported", name,
        rng.choice((
            params,
            replace(params, secret_weight=rng.choice((64, 192))),
            replace(params, ring="conjugate_invariant"),
            replace(params, bootstraps=("linear1",)),
            replace(params, chain=replace(chain, special=())),
            replace(params, chain=replace(chain, special=(50, 50))),
            replace(params, log_n=9),
        )),
    )  # fmt: skip


def _slots(rng: random.Random) -> Point:
    name, depth, log_n = _squares(rng, (10, 10, 11))
    embedding: Embedding = rng.choice(("fold", "square"))
    layers = tuple(
        LayerPacking(site, embedding, rng.choice((0, 0, 2, 64))) for site in ("linear1",)
    )
    packing = rng.choice(("plain", "rotated", "columns"))
    params = CkksParams(
        log_n, _chain(30, depth), 30, input_packing=packing, layers=layers  # type: ignore[arg-type]
    )  # fmt: skip
    return Point("slots", name, params)


def _range(rng: random.Random) -> Point:
    network = rng.choice(("silu", "relu", "relu"))
    degree = rng.choice((7, 7, 15))
    depth = 2 + math.ceil(math.log2(degree + 1))
    activations = (ActivationChoice("act1", "polynomial", degree, 1.0),)
    narrow = rng.choice((1.0, 1.0, 0.9, 0.7, 0.5, 0.35, 0.25, 0.15))
    log_n, scale = rng.choice((11, 12)), rng.randint(30, 38)
    chain = Chain(60, (scale,) * depth, (60,))
    params = CkksParams(log_n, chain, scale, activations=activations)
    return Point("range", network, params, narrow=narrow)


def _memory(rng: random.Random) -> Point:
    params = CkksParams(13, _chain(30, 5), 30)
    needed = sum(report(facts(Point("", "two squares", params)), params, LOOSE).figures[name]
                 for name in ("key_mb", "plaintext_mb"))  # fmt: skip
    factor = rng.choice((0.2, 0.4, 0.6, 1.4, 2.0, 3.0))
    return Point("memory", "two squares", params, memory_mb=round(needed * factor, 1))


FAMILIES: dict[str, tuple[Callable[[random.Random], Point], int]] = {
    "depth": (_depth, 2), "headroom": (_headroom, 4), "scale": (_scale, 4), "faint": (_faint, 2),
    "special": (_special, 2), "primes": (_primes, 2), "insecure": (_insecure, 3),
    "unsupported": (_unsupported, 1), "slots": (_slots, 1), "range": (_range, 2),
    "memory": (_memory, 1),
}  # fmt: skip


@cache
def workload_of(network: str) -> ImageClassification:
    return ImageClassification(network=NETWORKS[network][0], data="digits")


@cache
def trained(network: str) -> torch.nn.Module:
    workload = workload_of(network)
    torch.manual_seed(0)
    built = workload.build(0)
    train(built, workload.data.train, Recipe(5.0, 0.02), seed=0)
    return built.eval()


@cache
def images_of(split: str, network: str) -> np.ndarray:
    x = getattr(workload_of(network).data, split).x
    return np.asarray(x.reshape(len(x), -1).double().numpy()[:256])


@cache
def graph(
    network: str, activations: tuple[ActivationChoice, ...], narrow: float, gain: float
) -> Graph:
    """The network's graph with its last layer scaled, and polynomials fitted to narrower values."""
    by_site = {choice.site: choice for choice in activations}
    images = images_of("train", network)
    made = graph_of(
        trained(network),
        tuple(workload_of(network).input_shape),
        lambda site: by_site.get(site, ActivationChoice(site)),
        images * narrow,
    )
    last = made.nodes[-1]
    assert last.linear is not None
    linear = replace(last.linear, matrix=last.linear.matrix * gain, bias=last.linear.bias * gain)
    made = Graph((*made.nodes[:-1], replace(last, linear=linear)), {})
    return replace(made, ranges=reference.ranges(made, images))


def graph_of_point(point: Point) -> Graph:
    return graph(point.network, point.params.activations, point.narrow, point.gain)


def packed(point: Point) -> PackedNetwork:
    return pack(graph_of_point(point), point.params.slots, point.params)


@cache
def facts(point: Point) -> Facts:
    return facts_of(packed(point), images_of("train", point.network))
