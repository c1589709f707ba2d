"""What a packed network demands of a modulus chain, checked for many chains at once.

Scales are followed exactly, prime by prime, as :mod:`evaluators.fhe.levels` assigns them, but on
arrays: one entry per configuration. A single verdict is an array of length one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evaluators.fhe.coverage import STEEPEST, lost_bits, steepness
from evaluators.fhe.failures import FailureKind
from evaluators.fhe.headroom import MARGIN, largest_coefficient, largest_of_bias
from evaluators.fhe.levels import RISES_FROM, consumed, deferred, limbs
from evaluators.fhe.memory import key_mb, plaintext_mb, upload_mb
from search.api.errors import ConfigError
from spaces.ckks.rules import (
    LEAST_BITS,
    LEAST_HEADROOM,
    expected_bits,
    scale_for,
    weight_floor,
)

if TYPE_CHECKING:
    from evaluators.fhe.graph import Graph, Node
    from evaluators.fhe.packed import PackedNetwork
    from spaces.ckks.params import Drops

Array = np.ndarray

_SAME = 1e-9  # log2 of scales that agree on paper differ by rounding only
_COVERED = 1e-6  # a range beyond 1 by rounding only is covered


@dataclass(frozen=True)
class Facts:
    """A packed network as far as static rules see it; computed once, used for many chains.

    Args:
        graph: what is evaluated.
        needed: node -> limbs of its result.
        steps: distinct rotations: Galois keys.
        rotations: rotations of one inference.
        diagonals: products of weights with ciphertexts of one inference.
        relinearise: whether ciphertexts are multiplied with each other.
        faint_rotations: whether ciphertexts are rotated at the scale itself, not before rescaling.
        weights: (limbs, diagonals) of each linear map.
        inputs: ciphertexts that the client sends.
        biases: linear node -> largest coefficient of its encoded bias.
        periods: linear node -> slots after which its diagonals repeat.
        fitting: what must fit at the end: the largest coefficient of results on given inputs times
            :data:`~evaluators.fhe.headroom.MARGIN`, or the largest result known if none was given.
        extreme: largest coefficient of results on inputs made to be extreme; 0 if not known.
        flaws: (rule, sentence, excess) of what no chain can mend.
        drops: what drops a prime, as in the configurations these facts are for.
    """

    graph: Graph
    needed: Mapping[str, int]
    steps: int
    rotations: int
    diagonals: int
    relinearise: bool
    faint_rotations: bool
    weights: tuple[tuple[int, int], ...]
    inputs: int
    biases: Mapping[str, float]
    periods: Mapping[str, int]
    fitting: float
    extreme: float
    flaws: tuple[tuple[FailureKind, str, float], ...]
    drops: Drops = "each"

    @property
    def depth(self) -> int:
        """Levels of one inference."""
        return self.needed[self.graph.nodes[0].name] - 1

    @property
    def keys(self) -> int:
        """Galois keys and the relinearisation key."""
        return self.steps + self.relinearise

    def range_of(self, node: str) -> float:
        """What must fit at ``node``; more than 0.

        At the end that is what the client decrypts. Before, values may wrap around, but none so
        large that weights which bring it back would be too faint to encode: those seen count.
        """
        last = self.graph.nodes[-1].name
        if node == last:
            return max(self.fitting, self._encoded(node), 1e-300)
        seen = 0.0 if self.needed[node] == 1 else self.graph.ranges.get(node, 0.0)
        return max(seen, self._encoded(node), 1e-300)

    @property
    def output_range(self) -> float:
        """What must fit at the end."""
        return self.range_of(self.graph.nodes[-1].name)

    def _encoded(self, node: str) -> float:
        # SEAL refuses coefficients from a quarter of the modulus on ('encoded values are too
        # large'), a bit before they wrap around. Source: ``seal/ckks.h``, encode.
        return 2.0 * self.biases.get(node, 0.0)


def facts_of(
    packed: PackedNetwork,
    inputs: Array | None = None,
    extremes: Array | None = None,
    drops: Drops = "each",
) -> Facts:
    """What static rules need of ``packed``.

    Args:
        packed: the network in slots.
        inputs: ``[n, elements]`` of calibration; without them results count as if every slot held
            the largest one.
        extremes: ``[n, elements]``, inputs that make values large.
        drops: of the configurations to be judged.
    """
    graph, needed = packed.graph, limbs(packed.graph, drops)
    steps: set[int] = set()
    for linear in packed.linears.values():
        steps.update(step % packed.slots for _, step in linear.babies | linear.giants)
        steps.update(step % packed.slots for step in linear.folds)
    broken_by = tuple(flaws(graph))
    usable = not any(rule == "unsupported" for rule, _, _ in broken_by)
    fitting = graph.ranges.get(graph.nodes[-1].name, 1.0)
    if inputs is not None and usable:
        fitting = MARGIN * largest_coefficient(packed, inputs)
    extreme = extremes is not None and usable and len(extremes)
    return Facts(
        graph=graph,
        needed=needed,
        steps=len(steps - {0}),
        rotations=sum(linear.rotations for linear in packed.linears.values()),
        diagonals=sum(len(linear.terms) for linear in packed.linears.values()),
        relinearise=any(node.kind in ("square", "polynomial") for node in graph.nodes),
        faint_rotations=any(
            li.babies or (li.early and li.giants) or (li.folds and not li.fold_first)
            for li in packed.linears.values()
        ),
        weights=tuple((needed[n] + 1, len(li.terms)) for n, li in packed.linears.items()),
        inputs=packed.layouts[graph.nodes[0].name].ciphertexts,
        biases={name: largest_of_bias(packed, name) for name in packed.linears} if usable else {},
        periods={name: li.period or packed.slots for name, li in packed.linears.items()},
        fitting=fitting,
        extreme=largest_coefficient(packed, extremes) if extreme else 0.0,  # type: ignore[arg-type]
        flaws=broken_by,
        drops=drops,
    )


def facts_for(packed: PackedNetwork | Facts, drops: Drops) -> Facts:
    """What is known of ``packed``, or found out now.

    Raises:
        ConfigError: what is known is about other drops.
    """
    if not isinstance(packed, Facts):
        return facts_of(packed, drops=drops)
    if packed.drops != drops:
        raise ConfigError(f"facts about other drops (got {packed.drops}; expected {drops})")
    return packed


@dataclass(frozen=True)
class Broken:
    """One rule at one place, for every configuration.

    Args:
        rule: its word.
        excess: ``[k]``, by how much it is broken; 0 or less where it holds.
        unit: of the excess.
        detail: index of a configuration -> sentence.
    """

    rule: FailureKind
    excess: Array
    unit: str
    detail: Callable[[int], str]


@dataclass(frozen=True)
class Logs:
    """Configurations of one ring dimension, as logarithms.

    Args:
        log_n: log2 of the ring dimension.
        primes: ``[k, limbs]``, log2 of the data primes, that which is never dropped first.
        limbs: ``[k]``, data primes of each configuration; entries behind are not read.
        special: ``[k]``, number of special primes.
        scale: ``[k]``, log2 of the scale.
        weight_bits: ``[k]``, least bits of weights in pairs; 0 for none.
    """

    log_n: int
    primes: Array
    limbs: Array
    special: Array
    scale: Array
    weight_bits: Array | float = 0.0


def broken(facts: Facts, logs: Logs, memory_limit_mb: float | None = None) -> list[Broken]:
    """Every rule of the network under every configuration of ``logs``.

    Where a configuration has too few levels, rules on scales say nothing about it.
    """
    found = [
        Broken(rule, np.full(len(logs.scale), excess), "1", _always(text))
        for rule, text, excess in facts.flaws
    ]
    enough = logs.limbs > facts.depth
    if facts.depth < logs.primes.shape[1] and enough.any():
        for rule in _scale_rules(facts, logs):
            excess = np.where(enough, rule.excess, 0.0)
            found.append(Broken(rule.rule, excess, rule.unit, rule.detail))
    if memory_limit_mb is not None:
        found.append(_memory(facts, logs, memory_limit_mb))
    return found


def total_mb(facts: Facts, logs: Logs) -> tuple[Array, float, float]:
    """MB of keys ``[k]``, of encoded weights, and of the upload."""
    n = int(2**logs.log_n)
    keys = key_mb(facts.keys, logs.limbs, np.maximum(logs.special, 1), n)
    return keys, plaintext_mb(facts.weights, n), upload_mb(facts.inputs, facts.depth + 1, n)


def flaws(graph: Graph) -> Sequence[tuple[FailureKind, str, float]]:
    """(rule, sentence, excess) of what no chain can mend: weights, ranges of polynomials."""
    found: list[tuple[FailureKind, str, float]] = []
    for node in graph.nodes:
        linear = node.linear
        if linear is not None and not (
            np.isfinite(linear.matrix.data).all() and np.isfinite(linear.bias).all()
        ):
            found.append(("unsupported", f"{node.name}: its weights are not finite", 1.0))
        size = graph.ranges.get(node.inputs[0], 0.0) if node.kind == "polynomial" else 0.0
        if size > 1 + _COVERED and node.polynomial is not None:
            growth = steepness(node.polynomial, size)
            if growth > STEEPEST:
                text = (
                    f"{node.name}: values reach {size:.4g} times the interval that its polynomial "
                    f"is fitted on, where it is {growth:.2g} times as steep as a line through its "
                    f"largest value. Nearest: {size:.2g} times the margin"
                )
                found.append(("imprecise", text, float(size - 1)))
    return found


def _scale_rules(facts: Facts, logs: Logs) -> list[Broken]:
    totals = np.cumsum(logs.primes, axis=1)
    aims: dict[str, Array] = {}
    for _ in facts.graph.nodes:
        scales, weights, mismatch, again = _follow(facts, logs, aims)
        if not again:
            break
    floor = float(scale_for(1.0, logs.log_n))
    found = [_differ(name, gap) for name, gap in mismatch.items()]
    for node in facts.graph.nodes:
        scale, left = scales[node.name], totals[:, facts.needed[node.name] - 1]
        found.append(_overflow(node, scale, left, facts.range_of(node.name)))
        if node.kind == "square":
            found.append(_faint(node.name, scale, floor, "a square"))
        if node.kind == "polynomial":
            found.append(_outside(facts.graph, node, logs))
        if node.name in weights:
            least = weight_floor(2 * facts.periods[node.name])
            found.append(_faint(node.name, weights[node.name], least, "encoded weights"))
    return found


def _follow(
    facts: Facts, logs: Logs, aims: dict[str, Array]
) -> tuple[dict[str, Array], dict[str, Array], dict[str, Array], bool]:
    """log2 of scales of results and of weights, gaps at additions, and whether an aim was set."""
    nodes = {node.name: node for node in facts.graph.nodes}
    unscaled = deferred(facts.graph, facts.drops)
    scales: dict[str, Array] = {}
    weights: dict[str, Array] = {}
    gaps: dict[str, Array] = {}
    for node in facts.graph.nodes:
        if node.kind == "input":
            scales[node.name] = logs.scale
            continue
        before = scales[node.inputs[0]]
        dropped = logs.primes[:, facts.needed[node.name] + consumed(node, unscaled) - 1]
        if node.kind == "linear":
            aim = logs.scale
            if node.inputs[0] in unscaled:
                risen = before + logs.weight_bits - dropped
                aim = np.where(risen > aim + np.log2(RISES_FROM), risen, aim)
            scales[node.name] = aims.get(node.name, aim)
            weights[node.name] = scales[node.name] + dropped - before
        elif node.kind == "square":
            scales[node.name] = 2 * before - (0.0 if node.name in unscaled else dropped)
        elif node.kind == "polynomial":
            scales[node.name] = logs.scale
        else:
            gap = np.abs(before - scales[node.inputs[1]])
            target = _aim(node, nodes, aims) if (gap > _SAME).any() else None
            if target is not None:
                aims[target[0]] = scales[target[1]]
                return scales, weights, gaps, True
            gaps[node.name] = gap
            scales[node.name] = before
    return scales, weights, gaps, False


def _aim(
    node: Node, nodes: Mapping[str, Node], aims: Mapping[str, Array]
) -> tuple[str, str] | None:
    """(linear map that can be aimed, operand whose scale it takes)."""
    one, other = node.inputs
    for name, target in ((one, other), (other, one)):
        if nodes[name].kind == "linear" and name not in aims:
            return name, target
    return None


def _overflow(node: Node, scale: Array, left: Array, size: float) -> Broken:
    # |coefficient| * scale < q / 2, or it wraps around.
    room = left - scale - 1.0
    bits = float(np.log2(size))
    excess = bits - room
    if node.linear is not None:  # its bias must be encoded, see LEAST_HEADROOM
        excess = np.maximum(excess, np.floor(scale + _SAME) + LEAST_HEADROOM - np.ceil(left))

    def detail(i: int) -> str:
        return (
            f"{node.name}: coefficients up to {size:.4g} at scale 2^{scale[i]:.2f} need "
            f"{bits + scale[i] + 1:.1f} bit of modulus; {left[i]:.1f} are left there, so they wrap "
            f"around without an error. Nearest: {np.ceil(excess[i]):.0f} bit more in the "
            "first prime"
        )

    return Broken("overflow", excess, "bit", detail)


def _faint(name: str, scale: Array, floor: float, what: str) -> Broken:
    def detail(i: int) -> str:
        return (
            f"{name}: the scale of {what} is 2^{scale[i]:.2f}; at least 2^{floor:.3g} to stand out "
            "from noise. Nearest: primes of the levels of as many bits as the scale"
        )

    return Broken("scale_mismatch", floor - scale, "bit", detail)


def _outside(graph: Graph, node: Node, logs: Logs) -> Broken:
    """Noise that the terms of a series amplify outside its interval, even where it is tame."""
    size = graph.ranges.get(node.inputs[0], 1.0)
    lost = 0.0 if node.polynomial is None else lost_bits(node.polynomial, size)
    left = expected_bits(1.0, logs.log_n) - 1.0 + logs.scale - lost

    def detail(i: int) -> str:
        return (
            f"{node.name}: values reach {size:.4g} times the interval that its polynomial is "
            f"fitted on, where its terms amplify noise by {lost:.0f} bit: {left[i]:.1f} are left. "
            f"Nearest: {size:.2g} times the margin"
        )

    excess = LEAST_BITS - left if lost > 0 else np.zeros(len(logs.scale))
    return Broken("imprecise", np.asarray(excess), "bit", detail)


def _differ(name: str, gap: Array) -> Broken:
    def detail(i: int) -> str:
        return (
            f"{name}: the scales of its operands differ by 2^{gap[i]:.6f}, and no linear map "
            "stands directly before the addition to bring them together. Nearest: primes of the "
            "levels of as many bits as the scale"
        )

    return Broken("scale_mismatch", np.where(gap > _SAME, gap, 0.0), "bit", detail)


def _memory(facts: Facts, logs: Logs, limit: float) -> Broken:
    keys, plain, _ = total_mb(facts, logs)

    def detail(i: int) -> str:
        return (
            f"{keys[i]:.0f} MB of keys and {plain:.0f} MB of encoded weights; at most "
            f"{limit:.0f} MB together. Nearest: a smaller ring dimension, or another packing"
        )

    return Broken("memory", keys + plain - limit, "MB", detail)


def _always(text: str) -> Callable[[int], str]:
    return lambda i: text
