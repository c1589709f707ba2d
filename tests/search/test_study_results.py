"""What a study has found can be read without running anything."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from search import Study
from search.api.errors import StoreError
from search.study_results import StudyResults

CONFIG = Path(__file__).parents[2] / "configs" / "smoke" / "polympcnet_digits.yaml"


def test_nothing_was_found_before_the_first_run(tmp_path: Path) -> None:
    study = Study.from_yaml(CONFIG, overrides=[f"study.directory={tmp_path}"])
    assert study.trials() == ()
    assert study.pareto() == []
    assert study.best() is None
    with pytest.raises(StoreError):
        study.snapshot()


def test_reading_does_not_run() -> None:
    assert issubclass(Study, StudyResults)
    assert inspect.isabstract(StudyResults)
    assert not {"run", "evaluate", "ask", "tell"} & set(vars(StudyResults))
