"""One seed gives the same trials and the same front in every runner."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from search import Study

CONFIG = Path(__file__).parents[2] / "configs" / "smoke" / "polympcnet_digits.yaml"


def results(runner: str, folder: Path) -> list[Any]:
    overrides = [
        f"study.directory={folder}",
        "searcher=tpe",
        f"runner={{name: {runner}}}"
        if runner == "inline"
        else f"runner={{name: {runner}, slots: 1}}",
        "budget.trials=3",
    ]
    study = Study.from_yaml(CONFIG, overrides=overrides)
    study.run()
    trials = study.trials()
    assert [t.status for t in trials] == ["complete"] * 3
    found = []
    for trial in trials:
        assert trial.outcome is not None
        assert trial.outcome.candidate is not None
        weights = trial.artefacts["weights.safetensors"].read_bytes()
        found.append((trial.point, trial.values, trial.outcome.candidate["digest"], weights))
    return [found, [t.number for t in study.pareto()]]


@pytest.mark.slow
@pytest.mark.ray
def test_inline_process_and_ray_agree_to_the_last_bit(tmp_path: Path) -> None:
    inline = results("inline", tmp_path / "inline")
    assert results("process", tmp_path / "process") == inline
    assert results("ray_tasks", tmp_path / "ray") == inline
