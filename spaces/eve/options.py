"""Options of ``space: {name: eve}``."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator


def _listed(value: Any) -> Any:
    return value if isinstance(value, (list, tuple)) else [value]


Numbers = Annotated[tuple[int, ...], BeforeValidator(_listed), Field(min_length=1)]
"""One number, or several to choose from."""


class LimitOptions(BaseModel):
    """Options of ``limits``, beyond what the device itself allows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    deadlines: Annotated[
        tuple[Annotated[float, Field(gt=0)], ...], BeforeValidator(_listed)
    ] = Field(
        (), description="s; one for all modes, or one for each, sparsest first (the last one holds "
        "for all that follow)"
    )  # fmt: skip
    power_mw: float | None = Field(
        None, ge=0, description="mW harvested, at which deadlines are checked; charging as the "
        "profile says if absent"
    )  # fmt: skip
    fram: int | None = Field(None, ge=1, description="B that the family may take")
    sram: int | None = Field(None, ge=1, description="B of fast memory that a batch may take")


class EveConfig(BaseModel):
    """Options of ``space: {name: eve}``. Of one value nothing is left to search."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    modes: Numbers = Field((3,), description="modes in one set of weights, from 1 to 8")
    low: float = Field(
        0.2, gt=0, le=1, description="least share of a layer's units that the densest mode keeps"
    )
    high: float = Field(1.0, gt=0, le=1, description="largest such share")
    step_low: float = Field(
        0.4, gt=0, le=1, description="least share of a mode's units that the next sparser one keeps"
    )
    step_high: float = Field(0.95, gt=0, le=1, description="largest such share")
    steps: Literal["network", "layer"] = Field(
        "network", description="whether modes step down by one share, or by one for each layer"
    )
    bits: Numbers = Field((8, 16), description="of weights and activations on the device")
    pool: Numbers = Field((4, 8, 12), description="kernel patterns of a layer at most")
    units: Literal["auto", "search"] = Field(
        "auto",
        description="what modes drop: kernel positions of convolutions and blocks of linear layers "
        "(auto), or, for each layer but the last, these or whole filters (search)",
    )
    execution: Literal["network", "layer"] = Field(
        "network", description="whether tiles and loop order are the same for all layers"
    )
    tile_side: Numbers = Field((4, 7, 14), description="rows and columns of a tile at most")
    tile_filters: Numbers = Field((4, 8, 16), description="output channels of a tile at most")
    tile_channels: Numbers = Field(
        (16, 32), description="input channels of a tile at most: the length of vector operations, "
        "and inputs of a block in linear layers"
    )  # fmt: skip
    order: Annotated[
        tuple[Literal["reuse_I", "reuse_W", "reuse_O"], ...], BeforeValidator(_listed)
    ] = Field(
        ("reuse_I", "reuse_W", "reuse_O"), min_length=1,
        description="loop orders: which of inputs, weights and outputs stays longest",
    )  # fmt: skip
    batch: Numbers = Field((1, 2, 4), description="tiles between two preservations of results")
    profile: str | None = Field(
        "external_fram",
        description="device whose limits are checked before training: external_fram, onchip_fram "
        "or a TOML file; null checks nothing",
    )
    limits: LimitOptions = Field(LimitOptions(), description="limits of your own on top")

    @field_validator("modes", "bits", "pool", "tile_side", "tile_filters", "tile_channels", "batch")
    @classmethod
    def _rising(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if value[0] < 1 or any(a >= b for a, b in zip(value, value[1:], strict=False)):
            raise ValueError(f"expected rising positive numbers (got {list(value)})")
        return value

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        for low, high in (("low", "high"), ("step_low", "step_high")):
            if getattr(self, low) > getattr(self, high):
                raise ValueError(
                    f"{low} must not exceed {high} (got {getattr(self, low):g} and "
                    f"{getattr(self, high):g})"
                )
        return self

    @field_validator("modes")
    @classmethod
    def _few(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if value[-1] > 8:
            raise ValueError(f"expected at most 8 modes (got {value[-1]})")
        return value

    @field_validator("bits")
    @classmethod
    def _known(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not set(value) <= {8, 16}:
            raise ValueError(f"expected 8 or 16 bits (got {list(value)})")
        return value
