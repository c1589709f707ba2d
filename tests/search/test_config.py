"""Configurations are checked to the last key, and say where and what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from search.api.errors import ConfigError
from search.config import apply_override, load_spec, parse_spec

BASE: dict[str, Any] = {
    "study": {"name": "toy"},
    "space": {"name": "parameters", "params": {"x": {"real": [0, 1]}}},
    "objectives": ["relu_count"],
    "ladder": [{"rung": "full", "evaluators": ["relu_count"]}],
}


def changed(**sections: Any) -> dict[str, Any]:
    return {**BASE, **sections}


def test_defaults_are_written_out_and_digest_ignores_limits() -> None:
    spec = parse_spec(BASE)
    assert spec.searcher.name == "auto"
    assert spec.budget.trials == 20
    more = parse_spec(changed(budget={"trials": 99, "wall_clock": "2 min"}, runner="process"))
    assert more.budget.wall_clock == 120
    assert more.digest == spec.digest
    assert parse_spec(changed(study={"name": "toy", "seed": 1})).digest != spec.digest


def test_normalised_specification_reads_back() -> None:
    spec = parse_spec(changed(budget={"trials": 3, "trial_time": "1.5 h"}))
    assert parse_spec(spec.model_dump(mode="json")) == spec


@pytest.mark.parametrize(
    ("sections", "path", "words"),
    [
        ({"sercher": "tpe"}, "sercher", "Did you mean 'searcher'"),
        ({"study": {"name": "toy", "sed": 1}}, "study.sed", "Did you mean 'seed'"),
        ({"study": {}}, "study.name", "required"),
        ({"study": {"name": "a/b"}}, "study.name", "got 'a/b'"),
        ({"study": {"name": "a", "seed": -1}}, "study.seed", "got -1"),
        ({"study": {"name": "a", "storage": "redis://x"}}, "study.storage", "postgresql://"),
        ({"objectives": []}, "objectives", "at least 1"),
        ({"objectives": ["a", "a"]}, "objectives[1]", "twice"),
        ({"ladder": [{"rung": "r", "evaluators": []}]}, "ladder[0].evaluators", "at least 1"),
        ({"ladder": [{"rung": "r", "evaluators": ["acuracy"]}]}, "ladder[0].evaluators[0]",
         "Did you mean 'accuracy'"),
        ({"ladder": [{"rung": "r", "evaluators": ["relu_count"], "gates": ["x < 3"]}]},
         "ladder[0].gates[0]", "cannot read constraint"),
        ({"ladder": [{"rung": "r", "evaluators": ["relu_count"], "budget": {"epochs": -1}}]},
         "ladder[0].budget", "epochs"),
        ({"budget": {"trials": 0}}, "budget.trials", "got 0"),
        ({"budget": {"trials": 1.5}}, "budget.trials", "got 1.5"),
        ({"budget": {"wall_clock": 60}}, "budget.wall_clock", "with its unit"),
        ({"budget": {"wall_clock": "-1 s"}}, "budget.wall_clock", "with its unit"),
        ({"searcher": {"name": "random", "sede": 1}}, "searcher.sede", "unknown key"),
        ({"searcher": {"population": 3}}, "searcher", "'name'"),
        ({"runner": "proces"}, "runner", "Did you mean 'process'"),
        ({"constraints": ["latency_2pc 50"]}, "constraints[0]", "cannot read constraint"),
        ({"baselines": {"main": {}}}, "baselines.main", "not 'main'"),
        ({"space": 3}, "space", "got 3"),
    ],
)  # fmt: skip
def test_one_message_with_path_and_hint(sections: Any, path: str, words: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_spec(changed(**sections), source="x.yaml")
    assert error.value.path == path
    assert words in str(error.value)
    assert str(error.value).startswith("x.yaml: ")


def test_overrides() -> None:
    data = parse_data = {"a": {"b": 1}, "l": [{"x": 1}], "s": "name"}
    apply_override(data, "a.b=2e-1")
    apply_override(data, "l[0].x=[1, 2]")
    apply_override(data, "l.0.y=z")
    apply_override(data, "new.key=true")
    apply_override(data, "s.option=3")
    assert parse_data == {
        "a": {"b": 0.2}, "l": [{"x": [1, 2], "y": "z"}], "s": {"name": "name", "option": 3},
        "new": {"key": True},
    }  # fmt: skip


@pytest.mark.parametrize("text", ["a.b", "=3", "l[7].x=1", "a.b.c=1", "a=[1"])
def test_bad_overrides(text: str) -> None:
    with pytest.raises(ConfigError):
        apply_override({"a": {"b": 1}, "l": [1]}, text)


def test_a_baseline_is_checked_with_its_path(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(
        "study: {name: t}\nspace: {name: parameters, params: {x: {real: [0, 1]}}}\n"
        "objectives: [relu_count]\nladder: [{rung: r, evaluators: [relu_count]}]\n"
        "baselines: {uniform: {searcher: randm}}\n"
    )
    with pytest.raises(ConfigError) as error:
        load_spec(path)
    assert error.value.path == "baselines.uniform.searcher"
    assert error.value.source == str(path)


def test_an_arm_replaces_whole_sections() -> None:
    spec = parse_spec(changed(baselines={"uniform": {"searcher": "random"}}))
    arm = spec.arm("uniform")
    assert arm.searcher.name == "random"
    assert arm.space == spec.space
    assert not arm.baselines
