from pathlib import Path

from search.testing.recorder import Recorder


def test_it_keeps_what_it_is_told(tmp_path: Path) -> None:
    ctx = Recorder(tmp_path, seed=3, stop_after=1)
    ctx.report(2, loss=0.5)
    ctx.note("epochs", 4)
    assert ctx.reports == [(2, {"loss": 0.5})]
    assert ctx.notes == {"epochs": 4}
    assert [ctx.should_stop(), ctx.should_stop()] == [False, True]


def test_without_a_limit_it_never_stops(tmp_path: Path) -> None:
    ctx = Recorder(tmp_path)
    assert not any(ctx.should_stop() for _ in range(100))
