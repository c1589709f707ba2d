"""Does the static verdict tell what SEAL does? Points around the border of what can work.

Small networks on 8 x 8 digits and configurations drawn around each limit: a level too few,
head-room, scales that do not fit the primes, weak special primes, primes that do not exist, too
many bits for 128-bit security, too little memory, polynomials outside their interval, parameters
that SEAL lacks. The static verdict on each is compared with a real encrypted run that it does not
gate. Right is what returns, with at least 4 bits and 90 % of the original network's classes; all
else fails. Security is no matter of running: there the limits stand here, typed from the guidelines
of 2024. Where a run gives garbage, the word of failure is tested: with the cause mended, the run
must be right.

Prints one JSON line per point and a summary. Wanted: at least 195 of 200 agree on feasible or not,
no insecure point passes, and no garbage passes the comparison of the encrypted rung. ``--smoke``
takes 14 points, in seconds.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib.metadata import version

import numpy as np
import torch

from evaluators.fhe import reference
from evaluators.fhe.backends import Limits
from evaluators.fhe.failures import BackendFailure
from evaluators.fhe.graph import Graph
from evaluators.fhe.headroom import MARGIN
from evaluators.fhe.measured import require_precise
from evaluators.fhe.packed import PackedNetwork
from evaluators.fhe.packing import pack
from evaluators.fhe.precision import Precision, compare
from evaluators.fhe.seal.run import run_encrypted
from evaluators.fhe.static import report
from evaluators.fhe.static_rules import Facts, facts_of
from evaluators.fhe.trace import graph_of
from search.api.errors import EvaluationError
from search.methods.trainer import Recipe, train
from search.workloads.image import ImageClassification
from spaces.ckks.params import ActivationChoice, Chain, CkksParams, Embedding, LayerPacking
from spaces.ckks.primes import NotEnoughPrimes, primes_of
from spaces.ckks.rules import Demands
from spaces.ckks.security import Security

FLOOR_BITS, LEAST_AGREEMENT = 4.0, 0.9
IMAGES = 20
CIPHERTEXTS_MB = 20.0  # of one inference, tables of the library and buffers of files included
# Largest log2 of all primes at 128 bit. Source: Bossuat et al., Security Guidelines for
# Implementing Homomorphic Encryption (IACR CiC 2024), table 5.2, ternary secrets.
MOST_BITS = {10: 26, 11: 53, 12: 106, 13: 214, 14: 430, 15: 868}
LOOSE = Demands(security=Security(allow_insecure=True))
WANTED = 195 / 200


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="one family")
    parser.add_argument("--smoke", action="store_true", help="14 points")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    count = 14 if arguments.smoke else arguments.points
    rows = []
    for number, point in enumerate(points(count, arguments.seed)):
        if arguments.only in (None, point.family):
            rows.append(judged(number, point))
            print(json.dumps(rows[-1]), flush=True)
    print(json.dumps({**summary(rows), "seed": arguments.seed, "smoke": arguments.smoke}))


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
def _workload(network: str) -> ImageClassification:
    return ImageClassification(network=NETWORKS[network][0], data="digits")


@cache
def _network(network: str) -> torch.nn.Module:
    workload = _workload(network)
    torch.manual_seed(0)
    built = workload.build(0)
    train(built, workload.data.train, Recipe(5.0, 0.02), seed=0)
    return built.eval()


@cache
def _images(split: str, network: str) -> np.ndarray:
    x = getattr(_workload(network).data, split).x
    return np.asarray(x.reshape(len(x), -1).double().numpy()[:256])


@cache
def graph(
    network: str, activations: tuple[ActivationChoice, ...], narrow: float, gain: float
) -> Graph:
    """The network's graph with its last layer scaled, and polynomials fitted to narrower values."""
    by_site = {choice.site: choice for choice in activations}
    images = _images("train", network)
    made = graph_of(
        _network(network),
        tuple(_workload(network).input_shape),
        lambda site: by_site.get(site, ActivationChoice(site)),
        images * narrow,
    )
    last = made.nodes[-1]
    assert last.linear is not None
    linear = replace(last.linear, matrix=last.linear.matrix * gain, bias=last.linear.bias * gain)
    made = Graph((*made.nodes[:-1], replace(last, linear=linear)), {})
    return replace(made, ranges=reference.ranges(made, images))


def _graph(point: Point) -> Graph:
    return graph(point.network, point.params.activations, point.narrow, point.gain)


def packed(point: Point) -> PackedNetwork:
    return pack(_graph(point), point.params.slots, point.params)


@cache
def facts(point: Point) -> Facts:
    return facts_of(packed(point), _images("train", point.network))


def judged(number: int, point: Point) -> dict[str, object]:
    """The static verdict beside what happened."""
    began = time.process_time()
    words, reason = static(point)
    static_ms = 1e3 * (time.process_time() - began)
    began = time.perf_counter()
    real, detail, found = outcome(point)
    seconds = time.perf_counter() - began
    feasible, works = not words, real == "right"
    right_word = None if works or feasible else _right_word(point, words, real)
    return {
        "point": number, "family": point.family, "network": point.network,
        "params": asdict(point.params), "gain": round(point.gain, 3), "narrow": point.narrow,
        "memory_mb": point.memory_mb, "static": words, "real": real, "agree": feasible == works,
        "word_agrees": right_word, "bits": found and round(found.mean, 2),
        "agreement": found and found.agreement, "silent_garbage": silent(real, found),
        "within_margin": words == ["overflow"] and works and _within_margin(point),
        "passed_insecure": feasible and point.secure and real == "insecure",
        "static_ms": round(static_ms, 1), "seconds": round(seconds, 2),
        "reason": reason, "detail": detail[:200],
    }  # fmt: skip


def static(point: Point) -> tuple[list[str], str]:
    """Words of the rules that are broken, and the first reason."""
    demands = Demands() if point.secure else LOOSE
    try:
        known = facts(replace(point, params=_layout(point.params)))
    except BackendFailure as failure:
        return [failure.kind], failure.detail[:200]
    found = report(known, point.params, demands, point.memory_mb).violations
    return sorted({v.rule for v in found}), found[0].detail[:200] if found else ""


def _within_margin(point: Point) -> bool:
    """Whether a refusal is the stated margin alone: the coefficients seen do fit."""
    known = facts(replace(point, params=_layout(point.params)))
    bare = replace(known, fitting=known.fitting / MARGIN)
    return not report(bare, point.params, LOOSE, point.memory_mb).violations


def _layout(params: CkksParams) -> CkksParams:
    """``params`` as far as layouts depend on them."""
    log_n = min(17, max(10, params.log_n))
    return replace(params, log_n=log_n, chain=Chain(60, (), (60,)), scale=40, secret_weight=None,
                   bootstraps=())  # fmt: skip


def outcome(point: Point) -> tuple[str, str, Precision | None]:
    """What a run that nothing gates gives: ``right`` or a word of failure."""
    if point.secure and _log_qp(point.params) > MOST_BITS[point.params.log_n]:
        return "insecure", "more bits than the guidelines allow", None
    images = _images("validation", point.network)[:IMAGES]
    memory = 8000.0 if point.memory_mb is None else bare_mb() + point.memory_mb
    try:
        made = packed(replace(point, params=_layout(point.params)))
        run = run_encrypted(made, point.params, images, limits=Limits(120.0, memory))
    except BackendFailure as failure:
        return failure.kind, failure.detail, None
    except EvaluationError as error:
        return "error", str(error), None
    answers = np.array([i.output for i in run.inferences])
    found = compare(answers, reference.run(_graph(point), images))
    try:
        require_precise(found, FLOOR_BITS)
    except BackendFailure as failure:
        return failure.kind, failure.detail, found
    with torch.no_grad():
        shape = (-1, *_workload(point.network).input_shape)
        network = _network(point.network)
        exact = network(torch.tensor(images, dtype=torch.float32).reshape(shape)).numpy()
    kept = float((answers.argmax(1) == exact.argmax(1)).mean())
    if kept < LEAST_AGREEMENT:
        return "imprecise", f"{100 * kept:.0f} % of the original network's classes", found
    return "right", "", found


@cache
def bare_mb() -> float:
    """MB of a child with the library and a few ciphertexts, but no keys or weights."""
    status = "print(open('/proc/self/status').read())"
    words = (sys.executable, "-c", f"import evaluators.fhe.seal.engine; {status}")
    told = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()  # noqa: S603
    return int(told[told.index("VmRSS:") + 1]) * 1024 / 1e6 + CIPHERTEXTS_MB


def silent(real: str, found: Precision | None) -> bool:
    """Whether the rung's comparison passes an answer that is not the reference's."""
    return found is not None and found.mean >= FLOOR_BITS and found.agreement < LEAST_AGREEMENT


def _log_qp(params: CkksParams) -> float:
    try:
        return sum(math.log2(p) for p in primes_of(params.chain, params.log_n, params.ring))
    except NotEnoughPrimes:
        return float(params.chain.log_qp)


def _right_word(point: Point, words: Sequence[str], real: str) -> bool:
    """Whether the verdict names the cause: the word itself, or garbage that its cure cures."""
    if real in words:
        others = {"overflow", "imprecise", "scale_mismatch"} - {real}
        return real != "imprecise" or not others & set(words) or _cured(point, words)
    return real == "imprecise" and _cured(point, words)


def _cured(point: Point, words: Sequence[str]) -> bool:
    """Whether the run is right once what the words name is mended."""
    chain, scale = point.params.chain, point.params.scale
    first, levels, special = chain.first, chain.levels, chain.special
    if "scale_mismatch" in words:
        scale = max(24, min(levels, default=scale))
        levels = (scale,) * len(levels)
    if "imprecise" in words:
        scale = max(scale, 30) if scale < 24 else scale
        levels, special = tuple(max(bits, scale) for bits in levels), (60,)
    if "overflow" in words:
        first = scale + 16
    first = max(first, scale + 8) if scale != point.params.scale else first
    fixed = replace(point.params, scale=scale, chain=Chain(min(60, first), levels, special))
    if special and special[0] < max(fixed.chain.first, *levels):
        fixed = replace(fixed, chain=replace(fixed.chain, special=(60,)))
    narrow = 1.0 if "imprecise" in words else point.narrow
    return outcome(replace(point, params=fixed, narrow=narrow))[0] == "right"


def summary(rows: Sequence[dict[str, object]]) -> dict[str, object]:
    agree = sum(bool(row["agree"]) for row in rows)
    words = [row["word_agrees"] for row in rows if row["word_agrees"] is not None]
    families = {name: [0, 0] for name in FAMILIES}
    for row in rows:
        families[str(row["family"])][0] += bool(row["agree"])
        families[str(row["family"])][1] += 1
    passed = sum(bool(row["passed_insecure"]) for row in rows)
    garbage = sum(bool(row["silent_garbage"]) for row in rows)
    return {
        "points": len(rows), "agree": agree, "feasible": sum(not row["static"] for row in rows),
        "works": sum(row["real"] == "right" for row in rows),
        "passed_but_fail": sum(not r["static"] and r["real"] != "right" for r in rows),
        "refused_but_work": sum(bool(r["static"]) and r["real"] == "right" for r in rows),
        "refused_by_margin": sum(bool(r["within_margin"]) for r in rows),
        "insecure_passed": passed, "silent_garbage": garbage,
        "word_agrees": sum(map(bool, words)), "words": len(words),
        "families": {name: f"{a} of {n}" for name, (a, n) in families.items()},
        "outcomes": Counter(str(row["real"]) for row in rows),
        "holds": agree >= WANTED * len(rows) and not passed and not garbage,
        "tenseal": version("tenseal"), "evidence": "measured",
    }  # fmt: skip


if __name__ == "__main__":
    main()
