"""Pairs of real processes: what they give, and what happens when something goes wrong."""

import dataclasses
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from evaluators.lowered.lower import lower
from evaluators.lowered.program import Program
from evaluators.mpc.crypten.run import run_many, run_two_party
from evaluators.mpc.networks import Network
from search.api.errors import EvaluationError, MissingExtra

MODULE = "evaluators.mpc.crypten.party"


def parties_of(parent: int) -> list[int]:
    """Process ids of the parties that ``parent`` has started."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
            stat = (entry / "stat").read_text() if MODULE.encode() in command else ""
        except OSError:
            continue
        if stat and int(stat.rpartition(")")[2].split()[1]) == parent:
            found.append(int(entry.name))
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def eventually(check: Any, seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if check():
            return True
        time.sleep(0.02)
    return False


@pytest.fixture
def program() -> Program:
    torch.manual_seed(0)
    return lower(
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)), (1, 8, 8)
    )


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def nobody_left() -> Iterator[None]:
    yield
    assert parties_of(os.getpid()) == []


@pytest.mark.crypten
def test_a_run_and_one_over_a_slow_link(program: Program, images: torch.Tensor) -> None:
    told: list[int] = []
    run, again = run_many(
        [(program, images)] * 2, repeats=2, batch=3, timeout_s=60, progress=told.append
    )
    assert told[-1] == 2
    assert torch.allclose(run.outputs, again.outputs, atol=1e-3)  # new shares, same result
    assert run.outputs.shape == (6, 5)
    assert [s.site for s in run.sites] == ["0", "1", "2", "3"]
    assert run.bytes == sum(s.bytes for s in run.sites)
    assert run.rounds == sum(s.rounds for s in run.sites) == 11
    assert len(run.repeats) == 2
    assert sum(s.seconds for s in run.sites) == pytest.approx(run.seconds, rel=0.8)
    assert not run.shaped
    slow = run_two_party(
        program, images[:1], repeats=1, timeout_s=60, network=Network("slow", 1e6, 0.1)
    )
    expected = 11 * 0.05 + slow.bytes / 1e6
    assert slow.shaped
    assert slow.bytes == run.bytes
    assert expected <= slow.seconds <= expected + 0.25


@pytest.mark.crypten
def test_a_killed_party_is_one_clear_error(program: Program, images: torch.Tensor) -> None:
    def kill() -> None:
        assert eventually(lambda: len(parties_of(os.getpid())) == 2)
        time.sleep(1.0)
        os.kill(max(parties_of(os.getpid())), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(EvaluationError, match=r"the party with the images was killed by signal 9"):
        run_two_party(program, images, repeats=10_000, timeout_s=60)
    killer.join()


@pytest.mark.crypten
def test_time_limit_and_stop(program: Program, images: torch.Tensor) -> None:
    with pytest.raises(EvaluationError, match=r"not done after 0.3 s. Raise timeout_s"):
        run_two_party(program, images, timeout_s=0.3)
    with pytest.raises(EvaluationError, match="stopped, as the study was asked to"):
        run_two_party(program, images, should_stop=lambda: True)


@pytest.mark.crypten
def test_a_taken_port_is_said_to_be(program: Program, images: torch.Tensor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(EvaluationError, match=f"port {port} is taken"):
            run_two_party(program, images, port=port)
    run = run_two_party(program, images, repeats=1, port=port, timeout_s=60)  # free now
    assert run.rounds == 11


@pytest.mark.crypten
def test_what_went_wrong_inside_a_party_is_told(program: Program, images: torch.Tensor) -> None:
    (first, *others) = program.steps
    broken = dataclasses.replace(
        program, steps=(dataclasses.replace(first, operator="riddle"), *others)
    )
    with pytest.raises(EvaluationError, match=r"ended with code 1: KeyError: 'riddle'"):
        run_two_party(broken, images, timeout_s=60)


@pytest.mark.crypten
def test_interrupt_leaves_nobody(program: Program, images: torch.Tensor) -> None:
    def interrupt() -> None:
        assert eventually(lambda: len(parties_of(os.getpid())) == 2)
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run_two_party(program, images, repeats=10_000, timeout_s=60)
    thread.join()


@pytest.mark.crypten
def test_parties_do_not_outlive_a_killed_caller(tmp_path: Path) -> None:
    script = tmp_path / "caller.py"
    script.write_text(
        "import torch\nfrom torch import nn\n"
        "from evaluators.lowered.lower import lower\n"
        "from evaluators.mpc.crypten.run import run_two_party\n"
        "net = nn.Sequential(nn.Linear(3, 3), nn.ReLU())\n"
        "run_two_party(lower(net, (3,)), torch.randn(1, 3), repeats=100_000)\n"
    )
    with subprocess.Popen([sys.executable, str(script)]) as caller:
        assert eventually(lambda: len(parties_of(caller.pid)) == 2, 30)
        left = parties_of(caller.pid)
        time.sleep(2.0)  # they are past their imports
        caller.kill()
    assert eventually(lambda: not any(map(alive, left)))


@pytest.mark.crypten
def test_inputs_of_another_shape(program: Program) -> None:
    with pytest.raises(EvaluationError, match=r"inputs of shape \(2, 1, 9, 9\)"):
        run_two_party(program, torch.randn(2, 1, 9, 9))
    with pytest.raises(EvaluationError, match="at least one sample"):
        run_two_party(program, torch.randn(0, 1, 8, 8))


def test_without_crypten(
    program: Program, images: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "crypten", None)
    with pytest.raises(MissingExtra, match="search doctor --install crypten"):
        run_two_party(program, images)
