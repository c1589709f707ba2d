"""The advisor for pruning: what trained weights say goes first, then the sampler."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agents.advisors.pruning_shares import PruningShares, PruningSharesConfig
from search import Study
from search.api.candidate import Violation
from search.api.domain import Point
from search.api.errors import ConfigError
from search.api.trial import Origin, Trial
from search.config import parse_spec

SPEC: dict[str, Any] = {
    "study": {"name": "shares", "seed": 0},
    "workload": {"name": "image_classification", "network": "tiny_cnn", "data": "digits",
                 "teacher": {"epochs": 1}},
    "method": "magnitude_pruning",
    "objectives": ["nonzeros"],
    "ladder": [{"rung": "train", "budget": {"epochs": 0.05}, "evaluators": ["sparsity"]}],
}  # fmt: skip


def study(folder: Path, space: dict[str, Any], **sections: Any) -> Study:
    """A study of that space."""
    spec = {**SPEC, "space": {"name": "pruning_ratio", **space}, **sections}
    return Study.from_spec(parse_spec(spec), path=folder)


@dataclass
class View:
    """A history that keeps what was advised."""

    inner: Study
    points: list[Point] = field(default_factory=list)

    def trials(self) -> list[Trial]:
        """As running trials."""
        return [Trial(n, p, 0, Origin("advisor"), "running") for n, p in enumerate(self.points)]

    def check(self, point: Point) -> list[Violation]:
        """The study's rules."""
        return list(self.inner.blueprint.rules.check(point))


def told(inner: Study, **options: Any) -> list[tuple[Point, str]]:
    """Everything that is advised, in order."""
    advisor = PruningShares.from_config(PruningSharesConfig(**options), inner.blueprint)
    view, found = View(inner), []
    while (advice := advisor.advise(view)) is not None:
        found.append((advice.point, advice.origin.reason))
        view.points.append(advice.point)
        assert len(found) < 50
    return found


def ratio_of(inner: Study, point: Point) -> float:
    """All weights over those kept."""
    plan = inner.components.ladder.space.build(point)
    space: Any = inner.components.ladder.space
    return float(space.layout.total / sum(e.kept for e in plan.layers))


def test_every_rule_speaks_once_at_the_ratio_of_the_study(tmp_path: Path) -> None:
    inner = study(tmp_path, {"ratio": 8, "spend": 0.95, "low": 0.01})
    found = told(inner)
    assert [reason.split(":")[0] for _, reason in found] == ["lamp", "magnitude", "erdos_renyi"]
    for point, _ in found:
        assert 8 <= ratio_of(inner, point) <= 8.5
    assert len({p["keep"] for p, _ in found}) == 3


def test_where_more_may_go_it_is_advised_too(tmp_path: Path) -> None:
    inner = study(tmp_path, {"ratio": 2, "low": 0.01})
    found = told(inner, rules=("lamp",))
    assert [round(ratio_of(inner, p)) for p, _ in found] == [2, 4, 8, 16]
    assert [round(ratio_of(inner, p)) for p, _ in told(inner, ratios=(3,))] == [3, 3, 3]


def test_structures_bits_and_rounds_come_along(tmp_path: Path) -> None:
    space = {"ratio": 4, "low": 0.1, "structure": {"search": ["filter", "element"]},
             "bits": [2, 4, 8], "rounds": [1, 3]}  # fmt: skip
    inner = study(tmp_path, space, method="progressive_admm")
    for point, _ in told(inner, rules=("lamp",)):
        assert not inner.blueprint.rules.check(point)
        assert set(point["bits"]) == {8}  # type: ignore[arg-type]


def test_a_study_starts_from_them_and_goes_on(tmp_path: Path) -> None:
    searcher = {"name": "advised", "advisor": "pruning_shares", "share": 1, "fallback": "annealing"}
    inner = study(tmp_path, {"ratio": 8, "spend": 0.95, "low": 0.01}, searcher=searcher,
                  budget={"trials": 4}, runner="inline")  # fmt: skip
    inner.run()
    assert [t.origin.by for t in inner.trials()] == ["pruning_shares"] * 3 + ["annealing"]
    assert all(t.status == "complete" for t in inner.trials())


@pytest.mark.parametrize("space", [{"ratio": 8, "granularity": "network"}, {"fixed": {"*": 0.5}}])
def test_nothing_to_share_out_is_refused(tmp_path: Path, space: dict[str, Any]) -> None:
    inner = study(tmp_path, space)
    with pytest.raises(ConfigError, match="share out weights among layers.*granularity layer"):
        told(inner)
