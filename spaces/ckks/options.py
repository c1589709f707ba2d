"""Options of the space of CKKS configurations, as they stand in a configuration file."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from spaces.ckks.params import ActivationKind, Drops, Embedding, InputPacking, Rescaling, RingType

Span = tuple[int, int]


class SecurityOptions(BaseModel):
    """What is demanded of every configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bits: Literal[128, 192, 256] = Field(128, description="Security against classical attacks.")
    table: Literal["guidelines_2024", "legacy_2018"] = Field(
        "guidelines_2024",
        description="Limits of the modulus: the guidelines of 2024, or the less strict standard of "
        "2018, which SEAL enforces.",
    )
    allow_insecure: bool = Field(
        False,
        description="Let configurations pass that the table forbids. For experiments on made-up "
        "data only.",
    )


class CkksConfig(BaseModel):
    """Options of ``space: {name: ckks}``. What has one value is fixed and no parameter."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    library: Literal["seal", "lattigo"] = Field(
        "seal", description="Library that will run it; decides which parameters there are."
    )
    security: SecurityOptions = Field(
        default=SecurityOptions(), description="Level and table of the rule on security."
    )
    log_n: tuple[Annotated[int, Field(ge=1, le=20)], ...] = Field(
        (12, 13, 14, 15), min_length=1, description="log2 of the ring dimensions to choose from."
    )
    scale: Span = Field((22, 50), description="Bits of the scale, [least, most].")
    headroom: Span = Field(
        (4, 14), description="Bits that the first prime has more than the scale, [least, most]."
    )
    special_gap: Span = Field(
        (8, 16),
        description="Bits that the special prime has more than the first one, [least, most]; cut "
        "at 60 bits in all, and no less than any other prime.",
    )
    drops: tuple[Drops, ...] = Field(
        ("each", "paired"),
        min_length=1,
        description="Whether squares and linear layers drop a prime each, or a square and the "
        "layer behind it one in common: fewer and larger primes, which is faster. Paired only for "
        "networks with such squares and libraries that can.",
    )
    weight_bits: Span = Field(
        (16, 40),
        description="Bits of weights behind squares where these drop no prime, [least, most]: the "
        "primes in common have the scale's and these together; where that is more than 60, the "
        "scale rises from layer to layer, and the first prime with it.",
    )
    special_primes: Span = Field((1, 1), description="Number of special primes, [least, most].")
    level_offset: Span = Field(
        (0, 0), description="Bits that the primes of the levels have more than the scale."
    )
    offset_per_level: bool = Field(False, description="Choose the offset for each level.")
    levels: int | None = Field(
        None, ge=0, description="Length of the chain; absent: what the network needs."
    )
    spare_levels: Span = Field(
        (0, 0), description="Levels more than the network needs, [least, most]."
    )
    depth: int | None = Field(
        None, ge=0, description="Levels the network needs; absent: counted from its sites."
    )
    output_range: float = Field(
        1.0, gt=0, description="Largest absolute value of an output, for the rule on head-room."
    )
    secret_weight: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        (0,), min_length=1, description="Non-zero entries of the secret; 0: a dense one."
    )
    ring: tuple[RingType, ...] = Field(("standard",), min_length=1, description="Types of ring.")
    input_packing: tuple[InputPacking, ...] = Field(
        ("plain", "rotated", "columns"),
        min_length=1,
        description="How the client lays out its input: as it is, with the first layer's rotations "
        "ready-made, or with what each output of the first layer needs.",
    )
    embedding: tuple[Embedding, ...] = Field(
        ("fold",), min_length=1, description="How linear layers are laid out."
    )
    baby: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        (0,),
        min_length=1,
        description="Baby steps of linear layers, powers of two; 0: the split with the least "
        "predicted time.",
    )
    rescaling: tuple[Rescaling, ...] = Field(
        ("last", "soon"),
        min_length=1,
        description="When all linear layers rescale: after their sums (most precise), or as soon "
        "as that saves time.",
    )
    per_layer: bool = Field(True, description="Choose embedding and baby steps for each layer.")
    activation: tuple[ActivationKind, ...] = Field(
        (),
        description="What may stand at an activation that is no polynomial; absent: a fitted "
        "`polynomial`.",
    )
    degree: tuple[Annotated[int, Field(ge=1, le=10_000)], ...] = Field(
        (7, 15, 27), min_length=1, description="Degrees of fitted polynomials and signs."
    )
    margin: tuple[Annotated[float, Field(ge=1)], ...] = Field(
        (2.0,), min_length=1, description="By how much intervals exceed the range seen."
    )
    per_site: bool = Field(False, description="Choose activation, degree and margin for each site.")
    bootstrap: bool = Field(
        False, description="Choose layers before which the ciphertext is refreshed (Lattigo only)."
    )
    target_precision: float = Field(
        12.0,
        gt=0,
        description="Bits of precision that direct synthesis aims at where no constraint says it.",
    )

    @model_validator(mode="after")
    def _spans_rise(self) -> Self:
        names = ("scale", "headroom", "special_gap", "special_primes", "level_offset")
        for name in (*names, "spare_levels", "weight_bits"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}: expected [least, most] (got [{low}, {high}])")
        for name in ("scale", "headroom", "weight_bits", "special_primes"):
            if getattr(self, name)[0] < 1:
                raise ValueError(f"{name}: expected at least 1 (got {getattr(self, name)[0]})")
        for name in ("special_gap", "spare_levels"):
            if getattr(self, name)[0] < 0:
                raise ValueError(f"{name}: expected at least 0 (got {getattr(self, name)[0]})")
        for size in self.baby:
            if size & (size - 1):
                raise ValueError(f"baby: expected powers of two or 0 (got {size})")
        return self
