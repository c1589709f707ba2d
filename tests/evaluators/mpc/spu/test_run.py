"""Pairs of real processes under SPU: what they give, and what happens when something goes wrong."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import fx, nn

from evaluators.lowered.lower import lower
from evaluators.lowered.program import Program
from evaluators.mpc.spu import party
from evaluators.mpc.spu.environment import VARIABLE, need_spu
from evaluators.mpc.spu.run import exported, private_networks, run_spu
from search.api.errors import ConfigError, EvaluationError, MissingExtra

RELUS = 4 * 36


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(RELUS, 5)).eval()


@pytest.fixture(scope="module")
def program(network: nn.Module) -> Program:
    return lower(network, (1, 8, 8))


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def _left() -> list[int]:
    """Processes of ours that still run the script."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
        except OSError:
            continue
        if party.__file__.encode() in words and str(os.getpid()).encode() in words.split(b"\0"):
            found.append(int(entry.name))
    return found


@pytest.fixture(autouse=True)
def nobody_left() -> Iterator[None]:
    yield
    assert _left() == []


@pytest.mark.spu
@pytest.mark.slow
def test_every_operator_agrees_with_plaintext(every_operator: Callable[[], fx.GraphModule]) -> None:
    graph = every_operator()
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    run = run_spu(lower(graph, (3, 8, 8)), x, protocol="semi2k", repeats=2, timeout_s=120)
    with torch.inference_mode():
        plain = graph(x)
    assert plain.abs().max() > 0.05
    assert torch.allclose(run.outputs, plain, atol=1e-3)
    assert len(run.repeats) == 2
    assert min(run.repeats) <= run.seconds <= max(run.repeats)


@pytest.mark.spu
@pytest.mark.slow
def test_traffic_is_that_of_the_operators(program: Program, images: torch.Tensor) -> None:
    """SEMI2K: 16 bytes per opened pair of words, 16 in a truncation, 144 per ReLU."""
    run = run_spu(program, images[:1], repeats=2, timeout_s=120)
    unfolded, weights = 36 * 9, 36  # of the convolution
    conv = 16 * (unfolded + weights) + 8 * RELUS
    linear = 16 * (RELUS + 5 * RELUS) + 8 * 5
    expected = conv + 144 * RELUS + linear
    assert run.bytes == pytest.approx(expected, rel=0.15)  # framing of small messages comes on top
    assert run.bytes > expected
    if private_networks(need_spu()):
        assert run.interface_bytes is not None
        assert run.bytes < run.interface_bytes < 1.3 * run.bytes
    else:
        assert run.interface_bytes is None
    assert run.setup_bytes < 0.1 * run.bytes


@pytest.mark.spu
@pytest.mark.slow
def test_cheetah_has_a_setup(network: nn.Module, program: Program, images: torch.Tensor) -> None:
    run = run_spu(program, images[:1], protocol="cheetah_fm64", repeats=1, timeout_s=300)
    with torch.inference_mode():
        assert torch.allclose(run.outputs, network(images[:1]), atol=1e-3)
    assert run.setup_bytes > 3e6  # base transfers and keys
    assert run.setup_seconds > run.seconds


@pytest.mark.spu
@pytest.mark.slow
def test_without_a_network_of_ones_own(
    program: Program, images: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")  # neither unshare nor nsenter
    private_networks.cache_clear()
    try:
        run = run_spu(program, images[:1], repeats=1, timeout_s=120)
    finally:
        private_networks.cache_clear()
    assert run.interface_bytes is None
    assert run.bytes > 144 * RELUS


@pytest.mark.spu
def test_a_killed_party_is_one_clear_error(program: Program, images: torch.Tensor) -> None:
    def kill(role: str, pid: int) -> None:
        if role == "1":
            threading.Timer(1.0, os.kill, (pid, signal.SIGKILL)).start()

    began = time.monotonic()
    with pytest.raises(EvaluationError, match="the process with the images was killed by signal 9"):
        run_spu(program, images, repeats=10_000, timeout_s=100, started=kill)
    assert time.monotonic() - began < 60


@pytest.mark.spu
def test_time_limit_and_stop(program: Program, images: torch.Tensor) -> None:
    with pytest.raises(EvaluationError, match=r"not done after 0.3 s. Raise timeout_s"):
        run_spu(program, images, timeout_s=0.3)
    with pytest.raises(EvaluationError, match="stopped, as the study was asked to"):
        run_spu(program, images, should_stop=lambda: True)


@pytest.mark.spu
def test_what_went_wrong_inside_is_told(program: Program, images: torch.Tensor) -> None:
    first, *others = program.steps
    broken = replace(program, steps=(replace(first, operator="riddle"), *others))
    with pytest.raises(EvaluationError, match=r"that compiles ended with code 1: KeyError: 'rid"):
        run_spu(broken, images, timeout_s=60)


def test_bad_arguments(
    program: Program, images: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"unknown protocol 'aby3' \(expected semi2k, cheetah_"):
        run_spu(program, images, protocol="aby3")
    with pytest.raises(EvaluationError, match=r"expected at least one sample of shape \(1, 8, 8\)"):
        run_spu(program, images[:0])
    monkeypatch.setenv(VARIABLE, "/nonexistent/python")
    with pytest.raises(MissingExtra, match="pip install spu=="):
        run_spu(program, images)


def test_exported_parts_by_who_may_know(every_operator: Callable[[], fx.GraphModule]) -> None:
    program = lower(every_operator(), (3, 8, 8))
    structure, arrays = exported(program)
    assert [s["operator"] for s in structure["steps"]] == [s.operator for s in program.steps]
    masked = next(s.output for s in program.steps if s.operator == "masked")
    assert f"index/{masked}:keep" in arrays
    assert f"public/{masked}:c" in arrays
    assert {n.partition("/")[0] for n in arrays} == {"private", "public", "index"}
    assert {n.partition("/")[2] for n in arrays} == {*program.private, *program.public}
