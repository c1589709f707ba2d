"""What every searcher's ``Config`` shares."""

from __future__ import annotations

from typing import Any, TypeVar, cast

from pydantic import BaseModel, ConfigDict

from search.config import validate

C = TypeVar("C", bound="SearcherConfig")


class SearcherConfig(BaseModel):
    """Options of a searcher; unknown ones are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def of(cls: type[C], options: dict[str, Any]) -> C:
        """The options a notebook gives as keyword arguments, checked as those in YAML are.

        Raises:
            ConfigError: an unknown option (the message lists the known ones) or a bad value.
        """
        return cast(C, validate(cls, options, "searcher"))
