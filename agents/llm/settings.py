"""Which language model to use, from the environment, and what to set if there is none."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from search.api.errors import ConfigError

BASE_URL, KEY, MODEL = "OPENAI_BASE_URL", "OPENAI_API_KEY", "CIPHER_SEARCH_MODEL"
PRICE, TIMEOUT = "CIPHER_SEARCH_MODEL_PRICE", "CIPHER_SEARCH_MODEL_TIMEOUT"

HOW_TO_SET = (
    f"set {MODEL} (name of the model) and {KEY}, or {MODEL} and {BASE_URL} for a server of your "
    f"own such as http://127.0.0.1:8091/v1. {PRICE}=IN,OUT (money per million tokens) makes the "
    "limit on money hold"
)


@dataclass(frozen=True)
class ModelSettings:
    """Where a model is and what it costs.

    Args:
        model: name the endpoint knows it by.
        base_url: of an OpenAI-compatible endpoint; empty for the provider's own.
        key: secret; never shown, stored or logged.
        price_in, price_out: money per million tokens read and written; None if not known.
        timeout_s: longest wait for one reply.
    """

    model: str
    base_url: str = ""
    key: str = field(default="", repr=False)
    price_in: float | None = None
    price_out: float | None = None
    timeout_s: float = 120.0

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> ModelSettings | None:
        """The settings in the environment; None if no model is named there.

        Raises:
            ConfigError: a model is named, but no way to reach it, or a number cannot be read.
        """
        found = os.environ if environ is None else environ
        model = found.get(MODEL, "").strip()
        if not model:
            return None
        base_url, key = found.get(BASE_URL, "").strip(), found.get(KEY, "").strip()
        if not base_url and not key:
            raise ConfigError(
                f"{MODEL} is set, but neither {KEY} nor {BASE_URL}: {HOW_TO_SET}",
                source="environment",
            )
        price_in, price_out = _prices(found.get(PRICE, ""))
        timeout = found.get(TIMEOUT, "120")
        return cls(model, base_url, key, price_in, price_out, _number(TIMEOUT, timeout))

    @property
    def secrets(self) -> tuple[str, ...]:
        """Texts that must never be written anywhere."""
        parts = urlsplit(self.base_url)
        return tuple(text for text in (self.key, parts.password or "") if text)

    @property
    def place(self) -> str:
        """The endpoint without user or password, for people."""
        parts = urlsplit(self.base_url)
        if not parts.hostname:
            return "the provider's endpoint"
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{parts.hostname}{port}{parts.path}"

    def money(self, tokens_in: int, tokens_out: int) -> float:
        """What so many tokens cost; 0 if the price is not known."""
        return ((self.price_in or 0.0) * tokens_in + (self.price_out or 0.0) * tokens_out) / 1e6


def _prices(text: str) -> tuple[float | None, float | None]:
    if not text.strip():
        return None, None
    parts = text.split(",")
    if len(parts) != 2:
        raise ConfigError(
            f"expected two numbers, money per million tokens read and written, such as 0.5,1.5 "
            f"(got {text!r})",
            source=PRICE,
        )
    return _number(PRICE, parts[0]), _number(PRICE, parts[1])


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise ConfigError(f"expected a number of at least 0 (got {text!r})", source=name)
    return value
