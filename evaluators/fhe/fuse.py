"""Multiply neighbouring linear operators: each one that is left costs a level.

Four rules, applied until none does: a linear map behind a linear map is their product; the sum of
two linear maps of one tensor is one map; a linear map behind a sum of linear maps is the sum of
products; a map that only moves or averages goes into every linear map behind it. Two maps with
weights are multiplied only if the product has no more non-zeros than both together: a thin
bottleneck between two layers is there to save work.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

from evaluators.fhe.draft import Draft, Op, passed_on


def fuse(draft: Draft) -> None:
    """Rewrite ``draft`` in place."""
    changed = True
    while changed:
        draft.prune()
        changed = any(
            rule(draft, draft.ops[name])
            for name in list(draft.ops)
            if name in draft.ops
            for rule in (_behind_linear, _sum_of_one_source, _behind_sum)
        )
    draft.prune()


def _behind_linear(draft: Draft, op: Op) -> bool:
    """``A (B x + b) + a``."""
    if op.kind != "linear":
        return False
    before = draft.ops[op.inputs[0]]
    if before.kind != "linear" or (before.weighted and not draft.alone(before.name)):
        return False
    matrix, bias = _product(op, before)
    if _too_dense([matrix], op, [before]):
        return False
    op.matrix, op.bias, op.inputs = matrix, bias, before.inputs
    _take_over(op, [before])
    return True


def _sum_of_one_source(draft: Draft, op: Op) -> bool:
    """``A x + B x`` or ``A x + x``."""
    if op.kind != "add":
        return False
    left, right = draft.sources(op)
    for a, b in ((left, right), (right, left)):
        if a.kind == "linear" and a.inputs[0] == b.name and draft.alone(a.name):
            return _added(op, [a], [a.linear, passed_on(_plain(b))], b.name)
    both = left.kind == right.kind == "linear" and left.inputs == right.inputs
    if both and draft.alone(left.name) and draft.alone(right.name):
        return _added(op, [left, right], [left.linear, right.linear], left.inputs[0])
    if left is right:
        own = passed_on(_plain(left))
        return _added(op, [], [own, own], left.name)
    return False


def _behind_sum(draft: Draft, op: Op) -> bool:
    """``A (B x + C y)`` as ``A B x + A C y``."""
    if op.kind != "linear":
        return False
    leaves = _linear_leaves(draft, op.inputs[0])
    if leaves is None or len(leaves) < 2:
        return False
    products = [_product(op, leaf) for leaf in leaves]
    if _too_dense([matrix for matrix, _ in products], op, leaves):
        return False
    total = draft.ops[op.inputs[0]]
    _, bias = op.linear
    for number, (leaf, (matrix, shift)) in enumerate(zip(leaves, products, strict=True)):
        leaf.matrix, leaf.bias = matrix, shift if number == 0 else shift - bias
        if op.weighted:
            leaf.label = op.label if number == 0 else f"{op.label}.part{number + 1}"
        leaf.stride, leaf.weighted = leaf.stride * op.stride, leaf.weighted or op.weighted
        leaf.sites, leaf.shape = (*leaf.sites, *op.sites), op.shape
    for inner in _sums(draft, total.name):
        inner.shape = op.shape
    draft.replace(op.name, total.name)
    return True


def _linear_leaves(draft: Draft, name: str) -> list[Op] | None:
    """The linear operators whose sum ``name`` is; None if it has another part or reader."""
    op = draft.ops[name]
    if not draft.alone(name):
        return None
    if op.kind == "linear":
        return [op]
    if op.kind != "add":
        return None
    parts = [_linear_leaves(draft, source) for source in op.inputs]
    found = [part for part in parts if part is not None]
    return [leaf for part in found for leaf in part] if len(found) == len(parts) else None


def _sums(draft: Draft, name: str) -> list[Op]:
    op = draft.ops[name]
    if op.kind != "add":
        return []
    return [op, *(inner for source in op.inputs for inner in _sums(draft, source))]


def _product(after: Op, before: Op) -> tuple[csr_array, np.ndarray]:
    (a, shift), (b, bias) = after.linear, before.linear
    product = csr_array(a @ b)
    product.eliminate_zeros()
    return product, a @ bias + shift


def _too_dense(products: list[csr_array], op: Op, before: list[Op]) -> bool:
    if not op.weighted or not all(b.weighted for b in before):
        return False
    parts = [op.linear[0].nnz, *(b.linear[0].nnz for b in before)]
    return bool(sum(p.nnz for p in products) > sum(parts))


def _plain(op: Op) -> Op:
    """``op`` as something that is only read."""
    return Op(op.name, "input", (), op.shape)


def _added(op: Op, merged: list[Op], maps: list[tuple[csr_array, np.ndarray]], source: str) -> bool:
    """Make ``op`` the sum of ``maps`` of ``source``."""
    op.kind, op.inputs = "linear", (source,)
    op.matrix = csr_array(sum((m for m, _ in maps[1:]), start=maps[0][0]))
    op.bias = np.sum([b for _, b in maps], axis=0)
    _take_over(op, merged)
    return True


def _take_over(op: Op, merged: list[Op]) -> None:
    """``op`` holds ``merged`` too: their strides and sites, and the label of the last weights."""
    if not op.weighted:
        op.label = next((o.label for o in reversed(merged) if o.weighted), op.label)
    for other in merged:
        op.stride *= other.stride
        op.weighted |= other.weighted
    op.sites = (*(site for other in merged for site in other.sites), *op.sites)
