"""Lessons: a file that people can read, and what it carries over."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from agents.memory import MOST, Lesson, Lessons
from agents.workbench import StudyBench
from search.api.errors import StoreError


def lesson(ratio: float = 1.5, gap: float = -0.5) -> Lesson:
    return Lesson(
        "a", 5, 784, {"log_n": 13}, "held",
        foretold={"latency_ckks": 100.0, "precision_ckks": 12.0},
        measured={"latency_ckks": 100.0 * ratio, "precision_ckks": 12.0 + gap},
    )  # fmt: skip


def test_lessons_survive_and_tell_how_far_forecasts_were_off(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "lessons.json"
    lessons = Lessons(path)
    assert lessons.factors() == {}
    for ratio in (1.2, 1.5, 3.0):
        lessons.add(lesson(ratio))
    again = Lessons(path)
    assert len(again.all()) == 3
    assert again.factors() == {"latency_ckks": pytest.approx(1.5)}
    assert again.offsets() == {"precision_ckks": pytest.approx(-0.5)}
    assert json.loads(path.read_text())["lessons"][0]["point"] == {"log_n": 13}


def test_only_the_latest_are_kept(tmp_path: Path) -> None:
    lessons = Lessons(tmp_path / "l.json")
    lessons._lessons = [lesson()] * MOST
    lessons.add(lesson(9.0))
    assert len(lessons.all()) == MOST
    assert lessons.all()[-1].measured["latency_ckks"] == 900.0


@pytest.mark.parametrize("text", ["", "[]", '{"schema": 9, "lessons": []}', '{"schema": 1}',
                                  '{"schema": 1, "lessons": [{"x": 1}]}'])  # fmt: skip
def test_a_file_of_another_form_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "l.json").write_text(text)
    with pytest.raises(StoreError, match="Mend or delete"):
        Lessons(tmp_path / "l.json")


def test_a_trial_leaves_a_lesson(tmp_path: Path, digits_bench: Callable[..., StudyBench]) -> None:
    bench = digits_bench()
    point = bench.study.components.ladder.space.synthesise((), ())
    trial = bench.evaluate(point, "predicted", "for the record")
    Lessons(tmp_path / "l.json").keep(bench, trial, "held")
    (kept,) = Lessons(tmp_path / "l.json").all()
    assert kept.levels >= 2
    assert kept.foretold["latency_ckks"] > 0
