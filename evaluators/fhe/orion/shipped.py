"""The configurations that Orion ships for its example networks."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from types import MappingProxyType

from spaces.ckks.params import Chain, CkksParams


@lru_cache(maxsize=1)
def shipped() -> Mapping[str, CkksParams]:
    """``mlp``, ``lola`` and ``lenet`` -> the configuration Orion ships for it.

    Sources stand in ``shipped.toml``.
    """
    data = tomllib.loads(
        files("evaluators.fhe.orion").joinpath("shipped.toml").read_text(encoding="utf-8")
    )
    found = {
        name: CkksParams(
            entry["log_n"],
            Chain(entry["first"], tuple(entry["levels"]), tuple(entry["special"])),
            entry["scale"],
            ring=entry["ring"],
            secret_weight=entry["secret_weight"],
        )
        for name, entry in data.items()
        if isinstance(entry, dict)
    }
    return MappingProxyType(found)
