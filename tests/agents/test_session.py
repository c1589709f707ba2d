"""Sessions: all is written beside the trials."""

from __future__ import annotations

from collections.abc import Callable

from agents.api import Limits
from agents.expert import Expert
from agents.session import pursue_goal, transcripts
from agents.transcript import read_transcript
from agents.workbench import StudyBench


def test_a_session_leaves_a_transcript_in_the_run_directory(
    digits_bench: Callable[..., StudyBench],
) -> None:
    bench = digits_bench("predicted_latency_ckks", ("predicted_precision >= 12 bit",))
    study, goal = bench.study, bench.goal
    said: list[str] = []
    result = pursue_goal(study, goal, Expert(), Limits(seconds=300), said.append)
    assert result.ending == "reached"
    (file,) = transcripts(study.path)
    events = read_transcript(file)
    assert events[0]["goal"]["demands"] == ["predicted_precision >= 12 bit"]
    assert [e["text"] for e in events if e["kind"] == "said"] == said
    trials = [e["trial"] for e in events if e["kind"] == "trial"]
    assert trials == [t.number for t in study.trials()]
    assert events[-1]["ending"] == "reached"
    assert {t.origin.by for t in study.trials()} == {"expert"}


def test_a_second_session_answers_from_the_first(
    digits_bench: Callable[..., StudyBench],
) -> None:
    bench = digits_bench("predicted_latency_ckks", ("predicted_precision >= 12 bit",))
    pursue_goal(bench.study, bench.goal, Expert())
    count = len(bench.study.trials())
    pursue_goal(bench.study, bench.goal, Expert())
    assert len(bench.study.trials()) == count
    assert len(transcripts(bench.study.path)) == 2
