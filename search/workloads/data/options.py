"""Options and places that all datasets from files have in common."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from search.api.errors import ConfigError


class SplitOptions(BaseModel):
    """How many examples, and which."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    train: int | None = Field(
        default=None, ge=1, description="examples to train on, class shares kept; all if absent"
    )
    validation: int | None = Field(
        default=None,
        ge=1,
        description="examples to choose by; carved out of train if the set has none",
    )
    test: int | None = Field(default=None, ge=1, description="examples to report on; all if absent")
    seed: int = Field(default=0, ge=0, description="of the split")

    @property
    def sizes(self) -> dict[str, int | None]:
        """Part -> number of examples."""
        return {"train": self.train, "validation": self.validation, "test": self.test}


def cache_directory() -> Path:
    """``$CIPHER_SEARCH_CACHE``, or ``cipher-search`` in the user's cache directory."""
    own = os.environ.get("CIPHER_SEARCH_CACHE")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cipher-search"


def locate(directory: Path, inner: str, files: Iterable[str], *, what: str, hint: str) -> Path:
    """``directory`` or its sub-directory ``inner``, whichever holds all of ``files``.

    Raises:
        ConfigError: neither does; names the first missing file and the places looked in.
    """
    names = list(files)
    places = (directory.expanduser(), directory.expanduser() / inner)
    for place in places:
        if all((place / name).exists() for name in names):
            return place
    # Name a file of the place that holds most, so that one lost batch is not hidden.
    fullest = max(places, key=lambda place: sum((place / name).exists() for name in names))
    missing = next(name for name in names if not (fullest / name).exists())
    raise ConfigError(
        f"{what} is not there: no {missing} in {' or '.join(str(p) for p in places)}. {hint}",
        path="directory",
    )


def sha256_of(paths: Iterable[Path]) -> str:
    """One checksum over the contents of several files, in order.

    Raises:
        ConfigError: a file cannot be read.
    """
    whole = hashlib.sha256()
    for path in paths:
        try:
            with path.open("rb") as file:
                whole.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise ConfigError(
                f"cannot read the file ({error.strerror})", source=str(path)
            ) from error
    return whole.hexdigest()
