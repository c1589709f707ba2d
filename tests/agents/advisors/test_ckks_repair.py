"""The expert's next question as advice, in an ordinary study."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from agents.advisors.ckks_repair import CkksRepair, CkksRepairConfig
from search import Study
from search.api.errors import ConfigError

CONFIG = Path(__file__).parents[3] / "configs" / "smoke" / "ckks_digits.yaml"


def advised(tmp_path: Path, *overrides: str) -> Study:
    """The smallest encrypted study, advised."""
    searcher = "searcher={name: advised, advisor: {name: ckks_repair, demands: " \
        "['precision_ckks >= 12 bit']}, share: 0.5, fallback: random}"  # fmt: skip
    texts = [f"study.directory={tmp_path}", searcher, "baselines={}", *overrides]
    return Study.from_yaml(CONFIG, overrides=texts)


@pytest.mark.slow
def test_advice_meets_the_demands_and_is_taken_once(tmp_path: Path) -> None:
    study = advised(tmp_path, "budget.trials=3")
    study.run()
    trials = study.trials()
    first = trials[0]
    assert (first.origin.kind, first.origin.by) == ("advisor", "ckks_repair")
    assert first.feasible
    precision = first.measurement("precision_ckks")
    assert precision is not None
    assert precision.value >= 12
    assert trials[1].origin.by == "random"
    assert len({str(t.point) for t in trials}) == 3


@pytest.mark.slow
def test_a_running_trial_is_waited_for(tmp_path: Path) -> None:
    study = advised(tmp_path)
    searcher = study.searcher()
    point = searcher.suggest(0, 0)
    assert point is not None
    searcher.start(0, point)
    searcher.suggest(2, 0)
    origin = searcher.origin(2, 0)  # type: ignore[attr-defined]
    assert origin.by == "random"


def test_other_studies_and_goals_are_refused(
    toy_study: Callable[..., Study], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="reasons by the models of CKKS studies"):
        CkksRepair(toy_study().blueprint)
    blueprint = advised(tmp_path).blueprint
    with pytest.raises(ConfigError, match="'beauty' is no metric"):
        CkksRepair(blueprint, CkksRepairConfig(minimise="beauty"))
    with pytest.raises(ConfigError, match=r"searcher.advisor: unknown advisor 'nobody'"):
        advised(tmp_path, "searcher.advisor=nobody")
