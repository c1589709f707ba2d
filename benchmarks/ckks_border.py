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
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cache
from importlib.metadata import version

import numpy as np
import torch
from ckks_border_points import (
    FAMILIES,
    LOOSE,
    MOST_BITS,
    Point,
    facts,
    graph_of_point,
    images_of,
    packed,
    points,
    trained,
    workload_of,
)

from evaluators.fhe import reference
from evaluators.fhe.backends import Limits
from evaluators.fhe.failures import BackendFailure
from evaluators.fhe.headroom import MARGIN, largest_coefficient
from evaluators.fhe.measured import require_precise
from evaluators.fhe.packed import PackedNetwork
from evaluators.fhe.precision import Precision, compare
from evaluators.fhe.seal.run import run_encrypted
from evaluators.fhe.static import report
from search.api.errors import EvaluationError
from spaces.ckks.params import Chain, CkksParams
from spaces.ckks.primes import NotEnoughPrimes, primes_of
from spaces.ckks.rules import Demands

FLOOR_BITS, LEAST_AGREEMENT = 4.0, 0.9
IMAGES, EXTREME = 20, 4
CIPHERTEXTS_MB = 20.0  # of one inference, tables of the library and buffers of files included
WANTED = 195 / 200


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
    memory = 8000.0 if point.memory_mb is None else bare_mb() + point.memory_mb
    try:
        made = packed(replace(point, params=_layout(point.params)))
        images = shown(made, point.network)
        run = run_encrypted(made, point.params, images, limits=Limits(120.0, memory))
    except BackendFailure as failure:
        return failure.kind, failure.detail, None
    except EvaluationError as error:
        return "error", str(error), None
    answers = np.array([i.output for i in run.inferences])
    found = compare(answers, reference.run(graph_of_point(point), images))
    try:
        require_precise(found, FLOOR_BITS)
    except BackendFailure as failure:
        return failure.kind, failure.detail, found
    with torch.no_grad():
        shape = (-1, *workload_of(point.network).input_shape)
        network = trained(point.network)
        exact = network(torch.tensor(images, dtype=torch.float32).reshape(shape)).numpy()
    kept = float((answers.argmax(1) == exact.argmax(1)).mean())
    if kept < LEAST_AGREEMENT:
        return "imprecise", f"{100 * kept:.0f} % of the original network's classes", found
    return "right", "", found


def shown(made: PackedNetwork, network: str) -> np.ndarray:
    """``[IMAGES, elements]``: validation images, and those of calibration with the largest results.

    A verdict is about every input of calibration: a run that leaves out the extreme ones may be
    right where the next image wraps around.
    """
    known = images_of("train", network)
    sizes = [largest_coefficient(made, known[i : i + 1]) for i in range(len(known))]
    extreme = np.argsort(-np.array(sizes))[:EXTREME]
    return np.concatenate([images_of("validation", network)[: IMAGES - EXTREME], known[extreme]])


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
