"""Arguments of tools: described, closed, and small."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ValidationError

from agents.tools import arguments as module

MODELS = [m for m in vars(module).values()
          if isinstance(m, type) and issubclass(m, BaseModel) and m is not BaseModel]  # fmt: skip


@pytest.mark.parametrize("model", MODELS, ids=lambda m: m.__name__)
def test_every_field_is_described_and_others_are_refused(model: type[BaseModel]) -> None:
    schema = model.model_json_schema()
    assert schema["additionalProperties"] is False
    for name, field in schema["properties"].items():
        assert field.get("description"), name
    with pytest.raises(ValidationError):
        model.model_validate({"surprise": 1})
