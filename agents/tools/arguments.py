"""Arguments of tools, as controllers and people write them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Nothing(BaseModel):
    """No arguments."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PointArguments(BaseModel):
    """A configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    point: dict[str, Any] = Field(
        description="Value of every active parameter; lists for parameters of several entries."
    )


class EvaluateArguments(PointArguments):
    """A configuration, how far to climb, and why."""

    up_to: str = Field("", description="Rung to climb to; empty: the highest that costs no run.")
    reason: str = Field("", max_length=500, description="Why, in one line, for the record.")


class EffectArguments(PointArguments):
    """A configuration and what to look at."""

    metric: str = Field("", description="Metric to order by; empty: the one that is wanted.")
    most: int = Field(12, ge=1, le=60, description="Entries of the answer at most.")


class HistoryArguments(BaseModel):
    """Which trials."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    last: int = Field(10, ge=1, le=50, description="The latest so many trials.")
    failed: bool = Field(False, description="Only those that failed or miss a demand.")


class TrialArguments(BaseModel):
    """A trial."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    trial: int = Field(ge=0, description="Number of the trial.")


class DiffArguments(BaseModel):
    """Two trials."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    one: int = Field(ge=0, description="Number of a trial.")
    other: int = Field(ge=0, description="Number of another one.")
