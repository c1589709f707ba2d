"""Activations as operations: ReLU, polynomials, masked mixtures of the two, named functions."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from search.workloads.dapa import Polynomial
from search.workloads.masked import MaskedActivation
from search.workloads.operators import X2Act
from search.workloads.square import Square

FUNCTIONS: Mapping[type[nn.Module], str] = {
    nn.SiLU: "silu", nn.GELU: "gelu", nn.Tanh: "tanh", nn.Sigmoid: "sigmoid", nn.Mish: "mish",
    nn.Softplus: "softplus", nn.Hardswish: "hardswish", nn.ELU: "elu", nn.SELU: "selu",
    nn.LeakyReLU: "leaky_relu",
}  # fmt: skip
"""Functions that a reader of a program may take by name, in the form PyTorch has by default."""


@dataclass(frozen=True)
class Lowered:
    """An operation without its place in a program.

    Args:
        operator: see :class:`evaluators.lowered.program.Step`.
        attributes: JSON data.
        private, public: role -> tensor.
    """

    operator: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    private: Mapping[str, Tensor] = field(default_factory=dict)
    public: Mapping[str, Tensor] = field(default_factory=dict)


def lower_activation(
    module: nn.Module, shape: tuple[int, ...], functions: Set[str] = frozenset()
) -> Lowered | None:
    """``module`` at a site whose samples have ``shape``; None if it is no activation known here.

    ``functions`` are those of :data:`FUNCTIONS` that may be left as they are.

    A masked activation becomes one comparison of the elements kept and one polynomial of the
    others: the mask is public, so both are indices.
    """
    if isinstance(module, MaskedActivation):
        return _masked(module, shape)
    if isinstance(module, nn.ReLU6):
        return Lowered("relu6")
    if isinstance(module, nn.ReLU):
        return Lowered("relu")
    found = polynomial_of(module)
    if found is None:
        return _function(module, functions)
    operator, public = found
    axes = (1,) * (len(shape) - 1)
    return Lowered(
        operator, {}, {}, {role: t.reshape(*t.shape[:-1], 1, -1, *axes) for role, t in public}
    )


def polynomial_of(module: nn.Module) -> tuple[str, list[tuple[str, Tensor]]] | None:
    """The operator's name and, by role, ``c`` ``[degree + 1, C]`` and perhaps ``mean`` and
    ``scale`` ``[C]``, all in double precision: ``sum_k c_k z^k`` with ``z = scale (x - mean)``.

    The inputs are normalised first where the network's polynomial is: powers of a normalised input
    stay small, so that fixed-point numbers hold them, which monomials of x would not.
    C is 1 for a polynomial that all channels share; None for what is no polynomial.
    """
    if isinstance(module, nn.Identity):
        return "identity", []
    if isinstance(module, Square):
        return "x2act", [("c", torch.tensor([[0.0], [0.0], [1.0]], dtype=torch.float64))]
    if isinstance(module, X2Act):
        c2, c1, c0 = (c.double().reshape(-1) for c in module.coefficients())
        return "x2act", [("c", torch.stack([c0, c1, c2]))]
    if isinstance(module, Polynomial):
        plain = Polynomial(module.degree, module.a.shape[1])  # its basis is that of z itself
        with torch.no_grad():
            plain.a.copy_(module.a)
        scale = 1.0 / module.get_buffer("std").double()
        public = [("c", plain.coefficients()), ("mean", module.get_buffer("mean").double())]
        return f"poly{module.degree}", [*public, ("scale", scale)]
    return None


def _function(module: nn.Module, functions: Set[str]) -> Lowered | None:
    """A function by name; None for one with options of its own: the name would not tell them."""
    word = FUNCTIONS.get(type(module))
    if word is None or word not in functions:
        return None
    plain = {**vars(type(module)()), "inplace": False, "training": False}
    own = {**vars(module), "inplace": False, "training": False}
    return Lowered(word) if all(own.get(key) == value for key, value in plain.items()) else None


def _masked(module: MaskedActivation, shape: tuple[int, ...]) -> Lowered | None:
    found = polynomial_of(module.replacement)
    kept = lower_activation(module.kept, shape)
    if found is None or kept is None or kept.operator not in ("relu", "relu6"):
        return None
    operator, public = found
    mask = module.get_buffer("mask").cpu()
    if bool(mask.all()):
        return kept
    if not bool(mask.any()):
        return lower_activation(module.replacement, shape) if public else Lowered("identity")
    flat = mask.flatten()
    keep, rest = flat.nonzero().flatten(), (~flat).nonzero().flatten()
    order = torch.empty_like(flat, dtype=torch.int64)
    order[torch.cat([keep, rest])] = torch.arange(flat.numel())
    # One coefficient per element of the rest, since elements no longer know their channel.
    per_element = flat.numel() // shape[0]
    spread = {}
    for role, tensor in public:
        if tensor.shape[-1] != 1:
            tensor = tensor.cpu().repeat_interleave(per_element, dim=-1)[..., rest]
        spread[role] = tensor.unsqueeze(-2)
    attributes = {"kept": kept.operator, "replacement": operator, "shape": list(shape)}
    return Lowered("masked", attributes, {}, {"keep": keep, "rest": rest, "order": order, **spread})
