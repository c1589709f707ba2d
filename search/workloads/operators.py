"""The operators a nonlinearity plan may put at a site.

Activation sites take ``relu``, ``x2act`` (a trainable second-order polynomial), ``poly1`` to
``poly4`` (fitted to the inputs, per channel) or ``identity``, or a masked operator such as
``relu/poly2``: ReLU where a mask keeps it, the other elsewhere. Pool sites take ``max`` or ``avg``
with the window of the original pool.

Source: PASNet (DAC 2023), the search space of 2PC operators and the X^2act operator.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

import torch
from torch import Tensor, nn

from search.api.errors import ConfigError
from search.api.network import Site
from search.workloads.dapa import DEGREES, Polynomial
from search.workloads.masked import MaskedActivation
from search.workloads.polynomial import C_DEFAULT, scale_of

REPLACEMENTS = ("x2act", "identity", *(f"poly{degree}" for degree in DEGREES))
"""What may stand in the place of a ReLU, whole or where a mask drops it."""

OPERATORS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "activation": ("relu", *REPLACEMENTS, *(f"relu/{name}" for name in REPLACEMENTS)),
        "pool": ("max", "avg"),
    }
)
"""Site kind -> names that :func:`make_operator` knows for it."""


class X2Act(nn.Module):
    """``s * w1 * x^2 + w2 * x + b`` with trainable ``w1``, ``w2``, ``b``; shape is kept.

    It starts as (nearly) the identity, so that a pretrained network's function passes through
    (straight-through polynomial activation initialisation). ``s = c / sqrt(N_x)`` as in
    :func:`~search.workloads.polynomial.scale_of`.

    Args:
        elements: ``N_x``, number of elements of the map per sample (``C * H * W``).
        c: constant of the scale ``s``.
        scale: ``s`` itself, in place of ``c / sqrt(elements)``. 1.0 is what the authors' released
            code uses (0.1 for ResNet-50).
        per: ``layer``: three scalars; ``channel``: three vectors over axis 1.
        channels: length of axis 1; needed with ``per="channel"``.

    Raises:
        ConfigError: ``elements``, ``c`` or ``scale`` is not positive, or ``channels`` is missing.

    Source: PASNet (DAC 2023), X^2act; initial values w1 = 0.005, w2 = 1, b = 0 from its code.
    """

    def __init__(
        self,
        elements: int,
        *,
        c: float = C_DEFAULT,
        scale: float | None = None,
        per: Literal["layer", "channel"] = "layer",
        channels: int | None = None,
    ) -> None:
        super().__init__()
        if elements < 1 or c <= 0 or (scale is not None and scale <= 0):
            raise ConfigError(
                "x2act: elements, c and scale must be positive "
                f"(got elements={elements}, c={c}, scale={scale})"
            )
        if per not in ("layer", "channel"):
            raise ConfigError(f"x2act: per must be 'layer' or 'channel' (got {per!r})")
        if per == "channel" and not channels:
            raise ConfigError("x2act: per='channel' needs the number of channels")
        # In the state, so that a file of weights alone says which polynomial it holds.
        value = scale_of(elements, c) if scale is None else float(scale)
        self.register_buffer("s", torch.tensor(value))
        self.per = per
        shape = (channels or 1,) if per == "channel" else ()
        self.w1 = nn.Parameter(torch.full(shape, 0.005))
        self.w2 = nn.Parameter(torch.ones(shape))
        self.b = nn.Parameter(torch.zeros(shape))

    def forward(self, x: Tensor) -> Tensor:
        """``x`` of shape ``[n, C, ...]`` (or ``[n, F]``) through the polynomial, same shape."""
        s = self.get_buffer("s")
        w1: Tensor = self.w1
        w2: Tensor = self.w2
        b: Tensor = self.b
        if self.per == "channel":
            view = (-1,) + (1,) * (x.dim() - 2)
            w1, w2, b = w1.view(view), w2.view(view), b.view(view)
        return (s * w1 * x + w2) * x + b

    @property
    def scale(self) -> float:
        """The value of ``s``; setting it changes the function unless ``w1`` is divided alike."""
        return float(self.get_buffer("s"))

    @scale.setter
    def scale(self, value: float) -> None:
        self.get_buffer("s").fill_(value)

    def coefficients(self) -> tuple[Tensor, Tensor, Tensor]:
        """``(c2, c1, c0)`` of ``c2 x^2 + c1 x + c0``, detached: scalars or ``[C]``."""
        return (self.get_buffer("s") * self.w1).detach(), self.w2.detach(), self.b.detach()

    def extra_repr(self) -> str:
        """Scale and granularity, for printed networks."""
        return f"scale={self.scale:g}, per={self.per}"


def make_operator(name: str, site: Site, **options: Any) -> nn.Module:
    """A fresh module that does operator ``name`` at ``site``.

    Args:
        name: one of ``OPERATORS[site.kind]``.
        site: where it goes; gives shapes and the pool's window. An original with a cap (ReLU6)
            keeps it under ``relu``.
        options: of the operator; only ``x2act`` has any (see :class:`X2Act`). A masked operator
            hands them to its replacement; its mask keeps all elements at first.

    Raises:
        ConfigError: the site has another kind, or the name or an option is unknown.
    """
    known = OPERATORS.get(site.kind, ())
    if name not in known:
        raise ConfigError(
            f"site {site.name}: no operator {name!r} for a site of kind {site.kind!r} "
            f"(known: {', '.join(known) or 'none, this site is fixed'})"
        )
    if name.startswith("relu/"):
        replacement = make_operator(name.removeprefix("relu/"), site, **options)
        return MaskedActivation(make_operator("relu", site), replacement, site.input_shape)
    if options and name != "x2act":
        raise ConfigError(f"operator {name!r} has no options (got {', '.join(sorted(options))})")
    if name == "x2act":
        return _x2act(site, options)
    if name == "relu":
        return nn.ReLU6() if site.attributes.get("cap") == 6 else nn.ReLU()
    if name == "identity":
        return nn.Identity()
    if name.startswith("poly"):
        return Polynomial(int(name.removeprefix("poly")), site.input_shape[0])
    return _pool(name, site)


def operator_of(module: nn.Module) -> str | None:
    """The plan's name of what ``module`` does, or None if it is none of :data:`OPERATORS`."""
    if isinstance(module, X2Act):
        return "x2act"
    if isinstance(module, MaskedActivation):
        return f"relu/{operator_of(module.replacement)}"
    if isinstance(module, Polynomial):
        return f"poly{module.degree}"
    if isinstance(module, (nn.ReLU, nn.ReLU6)):
        return "relu"
    if isinstance(module, nn.Identity):
        return "identity"
    if isinstance(module, (nn.MaxPool2d, nn.AdaptiveMaxPool2d)):
        return "max"
    if isinstance(module, (nn.AvgPool2d, nn.AdaptiveAvgPool2d)):
        return "avg"
    return None


def _x2act(site: Site, options: Mapping[str, Any]) -> X2Act:
    known = ("c", "per", "scale")
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ConfigError(f"x2act: unknown option {unknown[0]!r} (known: {', '.join(known)})")
    return X2Act(site.elements, channels=site.input_shape[0], **options)


def _pool(name: str, site: Site) -> nn.Module:
    if site.attributes.get("adaptive"):
        size = (site.output_shape[-2], site.output_shape[-1])
        return nn.AdaptiveMaxPool2d(size) if name == "max" else nn.AdaptiveAvgPool2d(size)
    kernel, stride, padding = (
        _window(site, key, default)
        for key, default in (("kernel", 2), ("stride", 2), ("padding", 0))
    )
    ceil = bool(site.attributes.get("ceil", 0))
    if name == "max":
        return nn.MaxPool2d(kernel, stride, padding, ceil_mode=ceil)
    # Zeros of the padding are not averaged: they would darken the rim of the map.
    return nn.AvgPool2d(kernel, stride, padding, ceil_mode=ceil, count_include_pad=False)


def _window(site: Site, key: str, default: int) -> tuple[int, int]:
    both = site.attributes.get(key, default)
    return site.attributes.get(f"{key}_h", both), site.attributes.get(f"{key}_w", both)
