"""Operations of one node, with the limbs at which each is done: what an engine does, no more."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from evaluators.fhe.circuit import Count, Operation
from evaluators.fhe.polynomial_plan import plan

if TYPE_CHECKING:
    from evaluators.fhe.graph import Node
    from evaluators.fhe.packed import PackedLinear, PackedNetwork


def linear_counts(linear: PackedLinear, limbs_in: int, limbs_out: int) -> tuple[Count, ...]:
    """Operations of one linear map."""
    results = linear.result.ciphertexts
    sums = len({(t.result, t.giant) for t in linear.terms})
    products, giants = len(linear.terms), len(linear.giants)
    late = limbs_out if linear.early else limbs_in
    folded = limbs_in if linear.fold_first else limbs_out
    rows: list[tuple[Operation, int, int]] = [
        ("rotate", limbs_in, len(linear.babies)),
        ("multiply_plain", limbs_in, products),
        ("add", limbs_in, products - sums),
        ("rescale", limbs_in, sums if linear.early else results),
        ("rotate", late, giants),
        ("add", late, sums - results),
        ("rotate", folded, len(linear.folds) * results),
        ("add", folded, len(linear.folds) * results),
        ("add_plain", limbs_out, results),
    ]
    return tuple(Count(name, limbs, count) for name, limbs, count in rows if count)


def counts_of(
    node: Node, packed: PackedNetwork, limbs_in: int, limbs_out: int
) -> tuple[Count, ...]:
    """Operations of ``node``, without switching its operands to common limbs."""
    if node.kind == "linear":
        return linear_counts(packed.linears[node.name], limbs_in, limbs_out)
    number = packed.layouts[node.name].ciphertexts
    if node.kind == "square":
        names: tuple[Operation, ...] = ("square", "relinearise")
        if limbs_out < limbs_in:  # else the linear map behind rescales for both
            names = (*names, "rescale")
        return tuple(Count(name, limbs_in, number) for name in names)
    if node.kind == "add":
        return (Count("add", limbs_in, number),)
    if node.kind == "polynomial":
        return polynomial_counts(node, number, limbs_in)
    return ()


def polynomial_counts(node: Node, ciphertexts: int, limbs_in: int) -> tuple[Count, ...]:
    """Operations of a polynomial on ``ciphertexts`` ciphertexts."""
    if node.polynomial is None:
        raise ValueError(f"{node.name}: a node of kind polynomial without one")
    own = plan(node.polynomial).counts(limbs_in)
    return tuple(replace(count, count=count.count * ciphertexts) for count in own)
