"""Settings of a model from the environment."""

from __future__ import annotations

import pytest

from agents.llm.settings import HOW_TO_SET, ModelSettings
from search.api.errors import ConfigError


def test_no_model_is_no_error() -> None:
    assert ModelSettings.from_environment({}) is None
    assert ModelSettings.from_environment({"OPENAI_API_KEY": "sk-1"}) is None
    assert "CIPHER_SEARCH_MODEL" in HOW_TO_SET
    assert "OPENAI_API_KEY" in HOW_TO_SET


def test_everything_is_read() -> None:
    found = ModelSettings.from_environment(
        {
            "CIPHER_SEARCH_MODEL": "m",
            "OPENAI_API_KEY": "sk-1",
            "OPENAI_BASE_URL": "http://me:word@host:81/v1",
            "CIPHER_SEARCH_MODEL_PRICE": "0.5, 1.5",
            "CIPHER_SEARCH_MODEL_TIMEOUT": "9",
        }
    )
    assert found is not None
    assert found.secrets == ("sk-1", "word")
    assert found.place == "http://host:81/v1"
    assert found.money(1_000_000, 2_000_000) == 3.5
    assert found.timeout_s == 9
    assert "sk-1" not in repr(found)


def test_a_local_server_needs_no_key() -> None:
    found = ModelSettings.from_environment(
        {"CIPHER_SEARCH_MODEL": "m", "OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}
    )
    assert found is not None
    assert found.secrets == ()
    assert found.money(10, 10) == 0.0
    assert ModelSettings("m", key="k").place == "the provider's endpoint"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "neither OPENAI_API_KEY nor OPENAI_BASE_URL"),
        ({"OPENAI_API_KEY": "k", "CIPHER_SEARCH_MODEL_PRICE": "1"}, "two numbers"),
        ({"OPENAI_API_KEY": "k", "CIPHER_SEARCH_MODEL_PRICE": "1,x"}, "number of at least 0"),
        ({"OPENAI_API_KEY": "k", "CIPHER_SEARCH_MODEL_TIMEOUT": "-3"}, "MODEL_TIMEOUT"),
    ],
)
def test_what_cannot_work_is_said(changes: dict[str, str], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        ModelSettings.from_environment({"CIPHER_SEARCH_MODEL": "m", **changes})
