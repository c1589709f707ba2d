from __future__ import annotations

from types import SimpleNamespace

import pytest

from evaluators.device.family_memory import FamilyMemory, FamilyMemoryConfig
from search.api.candidate import Candidate
from search.api.errors import EvaluationError
from search.api.metric import Fidelity
from search.api.network import Site
from spaces.eve.device.memory import family_memory
from spaces.eve.device.table import load_profile
from spaces.eve.family import Execution, LayerMode, ModeFamily, ModePlan

SITE = Site("conv", "conv", "conv", (8, 8, 8), (16, 8, 8), 73_728, 1152,
            {"kernel": 3, "stride": 1, "padding": 1, "groups": 1})  # fmt: skip
FAMILY = ModeFamily(
    tuple(
        ModePlan(level, (LayerMode("conv", "pattern", kept, 9, Execution(8, 8, 2, 8)),), 16)
        for level, kept in enumerate((3, 4, 5), start=1)
    )
)
EVALUATOR = FamilyMemory.from_config(
    FamilyMemoryConfig(profile="onchip_fram"), SimpleNamespace(sites=lambda: (SITE,))
)


def test_bytes_and_share() -> None:
    found = EVALUATOR.evaluate(Candidate("eve", FAMILY), Fidelity("top", 0), SimpleNamespace())  # type: ignore[arg-type]
    memory = family_memory((SITE,), FAMILY, load_profile("onchip_fram"))
    assert [(m.metric, m.value, m.unit) for m in found] == [
        ("fram_bytes", memory.total, "B"),
        ("fram_share", pytest.approx(100 * memory.model / memory.separate), "%"),
    ]
    assert {m.evidence for m in found} == {"model"}
    assert 40 < found[1].value < 60


def test_single_modes_are_refused() -> None:
    with pytest.raises(EvaluationError, match="family of modes"):
        EVALUATOR.evaluate(
            Candidate("eve", FAMILY.members[0]), Fidelity("top", 0), SimpleNamespace()
        )  # type: ignore[arg-type]
