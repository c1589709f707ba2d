import pytest

from search.api.errors import ConfigError
from search.api.trial import Job, Outcome
from search.runners.execution import Throttle, failure_text, parse_size, run_job, time_limit


def test_an_outcome_keeps_what_the_worker_said_of_itself() -> None:
    said = Outcome(4, "complete", seconds=7.0, worker="elsewhere")
    job = Job(4, {}, 0)
    assert run_job(lambda *_: said, job, lambda *_: None, lambda: False) == said


def test_an_outcome_says_where_it_ran() -> None:
    job = Job(4, {}, 0)
    heard: list[str] = []
    outcome = run_job(
        lambda *_: Outcome(4, "gated"),
        job,
        lambda kind, data: heard.append(f"{kind} {data['worker']}"),
        lambda: False,
        where="node 7",
    )
    assert (outcome.status, outcome.worker) == ("gated", "node 7")
    assert heard == ["started node 7"]


def test_a_keyboard_interrupt_passes() -> None:
    def interrupted(*_: object) -> Outcome:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_job(interrupted, Job(0, {}, 0), lambda *_: None, lambda: False)


def test_our_own_errors_need_no_traceback() -> None:
    assert failure_text(ConfigError("wrong", path="a.b")) == "a.b: wrong"
    assert "Traceback" not in failure_text(ConfigError("wrong"))
    with pytest.raises(ZeroDivisionError) as raised:
        1 / 0  # noqa: B018
    assert failure_text(raised.value).startswith("Traceback")


@pytest.mark.parametrize(
    ("of_job", "of_runner", "expected"),
    [(None, None, None), (3.0, None, 3.0), (None, 4.0, 4.0), (3.0, 4.0, 3.0), (5.0, 4.0, 4.0)],
)
def test_the_tighter_limit_counts(
    of_job: float | None, of_runner: float | None, expected: float | None
) -> None:
    assert time_limit(Job(0, {}, 0, timeout_s=of_job), of_runner) == expected


@pytest.mark.parametrize(
    ("text", "size"), [("2 GiB", 2**31), ("1.5 GB", 1_500_000_000), (" 4 kB ", 4000)]
)
def test_sizes_have_units(text: str, size: int) -> None:
    assert parse_size(text, option="x") == size


def test_steps_are_held_back_but_the_last_is_not_lost() -> None:
    heard: list[tuple[str, object]] = []
    hook = Throttle(lambda kind, data: heard.append((kind, data.get("step"))), every_s=1000.0)
    for step in range(5):
        hook("step", {"step": step})
    hook("rung", {"rung": "a"})
    hook("step", {"step": 5})
    hook("step", {"step": 6})
    hook.flush()
    hook.flush()
    assert heard == [("step", 0), ("step", 4), ("rung", None), ("step", 6)]


def test_without_a_pause_every_step_passes() -> None:
    heard: list[object] = []
    hook = Throttle(lambda kind, data: heard.append(data["step"]), every_s=0.0)
    for step in range(5):
        hook("step", {"step": step})
    assert heard == [0, 1, 2, 3, 4]
