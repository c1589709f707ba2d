"""A configuration as plain data that says everything: primes, security, levels, packing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from evaluators.fhe.levels import Assigned, assign
from evaluators.fhe.seal.program import rotations
from search.api.candidate import to_plain
from spaces.ckks.params import CkksParams
from spaces.ckks.primes import primes_of
from spaces.ckks.security import Security

if TYPE_CHECKING:
    from evaluators.fhe.graph import Node
    from evaluators.fhe.packed import Layout, PackedNetwork

SCHEMA = 1
_TOLD = frozenset({"log_n", "chain", "scale", "ring", "secret_weight"})  # in other words, in full


def parameters(params: CkksParams, security: Security) -> dict[str, Any]:
    """Ring, primes, secret, security and choices of ``params`` as JSON data.

    Args:
        params: the configuration.
        security: what it was judged by.

    Raises:
        NotEnoughPrimes: a size has too few primes.
    """
    chain = params.chain
    return {
        "schema": SCHEMA,
        "scheme": "CKKS",
        "log_n": params.log_n,
        "ring_dimension": params.n,
        "ring": params.ring,
        "slots": params.slots,
        "secret": _secret(params),
        "scale_bits": params.scale,
        "scale": 2**params.scale,
        "log_q_bits": chain.log_q,
        "log_qp_bits": chain.log_qp,
        "chain": chain_of(params),
        "security": _security(params, security),
        **{name: value for name, value in to_plain(params).items() if name not in _TOLD},
    }


def chain_of(params: CkksParams) -> list[dict[str, Any]]:
    """Every prime of ``params`` in the order of the chain: role, bits, exact value.

    The prime with the role ``first`` is never dropped; those of the levels are dropped from the
    last to the first; ``special`` ones serve key switching.
    """
    sizes = (params.chain.first, *params.chain.levels, *params.chain.special)
    roles = [
        "first",
        *["level"] * len(params.chain.levels),
        *["special"] * len(params.chain.special),
    ]
    found = primes_of(params.chain, params.log_n, params.ring)
    return [
        {"role": role, "bits": bits, "prime": prime, "hex": hex(prime)}
        for role, bits, prime in zip(roles, sizes, found, strict=True)
    ]


def plan(packed: PackedNetwork, params: CkksParams) -> dict[str, Any]:
    """Levels, scales and packing of a network under ``params`` as JSON data.

    Raises:
        BackendFailure: the chain is too short, or scales do not agree.
    """
    primes = primes_of(params.chain, params.log_n, params.ring)[: params.chain.limbs]
    levels = assign(packed.graph, params, primes)
    return {
        "limbs_unused": params.chain.limbs - levels[packed.graph.nodes[0].name].limbs_out,
        "rotation_steps": list(rotations(packed)),
        "nodes": [
            _node(node, packed, params, levels[node.name], primes) for node in packed.graph.nodes
        ],
    }


def _secret(params: CkksParams) -> dict[str, Any]:
    weight = params.secret_weight
    return {"distribution": "ternary" if weight is None else "sparse ternary", "weight": weight}


def _security(params: CkksParams, security: Security) -> dict[str, Any]:
    limit = security.limit(params.log_n, params.secret_weight)
    return {
        "bits": security.bits,
        "table": security.table,
        "source": security.source,
        "enforced": not security.allow_insecure,
        "limit_log_qp_bits": limit,
        "slack_bits": security.slack(params),
    }


def _node(
    node: Node,
    packed: PackedNetwork,
    params: CkksParams,
    level: Assigned,
    primes: tuple[int, ...],
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": node.name,
        "kind": node.kind,
        "inputs": list(node.inputs),
        "sites": list(node.sites),
        "shape": list(node.shape),
        "limbs_in": level.limbs_in,
        "limbs_out": level.limbs_out,
        "drops": list(reversed(primes[level.limbs_out : level.limbs_in])),
        "log2_scale_in": math.log2(level.scale_in),
        "log2_scale_out": math.log2(level.scale_out),
        "layout": _layout(packed.layouts[node.name]),
    }
    if node.kind == "linear":
        found["log2_scale_of_weights"] = math.log2(level.weight_scale)
        found["packing"] = _packing(node, packed, params)
    if node.polynomial is not None:
        found["polynomial"] = to_plain(node.polynomial)
    return found


def _packing(node: Node, packed: PackedNetwork, params: CkksParams) -> dict[str, Any]:
    linear = packed.linears[node.name]
    return {
        "chosen": to_plain(params.layer(node.name)),
        "diagonals": len(linear.terms),
        "rotations": linear.rotations,
        "baby_steps": sorted({step % packed.slots for _, step in linear.babies}),
        "giant_steps": sorted({step % packed.slots for _, step in linear.giants}),
        "folds": [step % packed.slots for step in linear.folds],
        "rescaled_before_giant_steps": linear.early,
        "folded_before_rescaling": linear.fold_first,
        "source": _layout(linear.source),
    }


def _layout(layout: Layout) -> Mapping[str, Any]:
    return {"name": layout.name, "period": layout.period, "ciphertexts": layout.ciphertexts}
