"""Names, mappings and live objects make one kind of study."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from search import Metric, Study
from search.api.errors import ConfigError
from search.compose import Told, live_components
from spaces.parameters import ParameterSpace


def components(**changes: Any) -> Any:
    from search import Param, Real

    arguments: dict[str, Any] = {
        "space": ParameterSpace((Param("x", Real(0, 1)),)),
        "method": "direct",
        "evaluators": (),
        "ladder": (),
        "workload": None,
        "objectives": [Metric("m", "1", "min", "")],
        "constraints": (),
        "params": {},
        "device": "cpu",
    }
    return live_components(**{**arguments, **changes})


def test_a_told_metric_needs_no_evaluator_but_cannot_be_measured() -> None:
    rung = components().ladder.rungs[0]
    assert isinstance(rung.evaluators[0], Told)
    with pytest.raises(ConfigError, match="ask"):
        rung.evaluators[0].evaluate(None, rung.fidelity, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"objectives": []}, "ladder[0].evaluators"),
        ({"method": "dirct"}, "method"),
        ({"method": {"name": "direct", "epochs": 3}}, "method.epochs"),
        ({"ladder": [{"rung": "a", "evaluator": []}]}, "ladder[0]"),
        ({"constraints": ["m < 3"]}, "constraints[0]"),
        ({"evaluators": ["relu_count"], "ladder": [{"rung": "a"}]}, "ladder"),
    ],
)
def test_wrong_arguments(changes: Any, path: str) -> None:
    with pytest.raises(ConfigError) as error:
        components(**changes)
    assert error.value.path == path


def test_the_digest_tells_objects_apart(toy_study: Callable[..., Study]) -> None:
    from search import Param, Real

    base = toy_study().spec.digest
    assert toy_study(trials=99, runner="process").spec.digest == base
    assert toy_study(space_params=(Param("x", Real(0, 2)),)).spec.digest != base
    assert toy_study(searcher="evolution").spec.digest != base
    assert toy_study(constraints=["cost <= 1 ms"]).spec.digest != base
