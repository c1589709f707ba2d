from __future__ import annotations

import pytest
from pydantic import ValidationError

from search.methods.eve.options import EveConfig


def test_defaults_train_all_modes_on_the_teacher() -> None:
    config = EveConfig()
    assert (config.importance, config.sampling, config.soft) == ("magnitude", "all", "teacher")


def test_slips_are_told() -> None:
    with pytest.raises(ValidationError, match="taylor"):
        EveConfig.model_validate({"importance": "hessian"})
    with pytest.raises(ValidationError, match="Extra inputs"):
        EveConfig.model_validate({"sandwich": True})
