from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from search.api.errors import EvaluationError
from search.methods.teacher import load_teacher, teacher_facts
from search.workloads.image import ImageClassification

TEACHER = {"epochs": 1, "learning_rate": 0.05, "batch_size": 64}
NETWORK = {"name": "mlp"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CIPHER_SEARCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "teachers"


@pytest.fixture
def fresh(folder: Path) -> ImageClassification:
    """A workload by names alone: child processes build it too."""
    return made()


def made() -> ImageClassification:
    return ImageClassification(NETWORK, "digits", teacher=TEACHER)


def stamp(folder: Path) -> int:
    (weights,) = folder.glob("*.safetensors")
    return weights.stat().st_mtime_ns


def same(first: Any, second: Any) -> bool:
    pairs = zip(first.network.parameters(), second.network.parameters(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_trained_once_then_read(
    fresh: ImageClassification, folder: Path, recorder: Callable[..., Any]
) -> None:
    assert teacher_facts(fresh) == {}
    first_ctx, second_ctx = recorder("a"), recorder("b", seed=7)
    first = load_teacher(fresh, first_ctx)
    trained = stamp(folder)
    second = load_teacher(fresh, second_ctx)
    assert same(first, second)
    assert stamp(folder) == trained
    assert first_ctx.reports
    assert not second_ctx.reports
    assert second.facts == first.facts == teacher_facts(fresh)
    assert second.facts["epochs"] == 1
    assert 20 < second.facts["accuracy"] <= 100
    assert not second.network.training


def test_the_study_seed_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recorder: Callable[..., Any]
) -> None:
    found = []
    for seed in (1, 2):
        monkeypatch.setenv("CIPHER_SEARCH_CACHE", str(tmp_path / str(seed)))
        torch.manual_seed(seed)
        found.append(load_teacher(made(), recorder(seed=seed)))
    assert same(*found)


def test_logits_are_the_networks(fresh: Any, recorder: Callable[..., Any]) -> None:
    teacher = load_teacher(fresh, recorder())
    validation = fresh.data.validation
    with torch.no_grad():
        expected = teacher.network(validation.x)
    assert torch.allclose(teacher.logits(validation, "cpu"), expected, atol=1e-5)


def _flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 0xFF
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("pattern", "damage"),
    [
        ("*.safetensors", _flip_a_byte),
        ("*.safetensors", lambda p: p.write_bytes(b"")),
        ("*.safetensors", lambda p: p.unlink()),
        ("*.json", lambda p: p.write_text("{")),
        ("*.json", lambda p: p.write_text("[]")),
        ("*.json", lambda p: p.write_bytes(b"\xff\xfe")),
        ("*.json", lambda p: p.unlink()),
    ],
)
def test_a_damaged_cache_is_trained_anew(
    fresh: Any, folder: Path, recorder: Callable[..., Any], pattern: str, damage: Any
) -> None:
    first = load_teacher(fresh, recorder("a"))
    (file,) = folder.glob(pattern)
    damage(file)
    assert teacher_facts(fresh) == {}
    ctx = recorder("b")
    second = load_teacher(fresh, ctx)
    assert ctx.reports
    assert same(first, second)
    assert teacher_facts(fresh)["accuracy"] == first.facts["accuracy"]


def test_weights_of_another_network_are_trained_anew(
    fresh: Any, folder: Path, recorder: Callable[..., Any]
) -> None:
    """The checksum fits, the network does not: a cache of another version of the code."""
    import hashlib

    from safetensors.torch import save_file

    load_teacher(fresh, recorder("a"))
    (weights,), (facts,) = folder.glob("*.safetensors"), folder.glob("*.json")
    save_file({"other": torch.zeros(1)}, weights)
    known = json.loads(facts.read_text())
    known["sha256"] = hashlib.sha256(weights.read_bytes()).hexdigest()
    facts.write_text(json.dumps(known))
    ctx = recorder("b")
    load_teacher(fresh, ctx)
    assert ctx.reports


_CHILD = """
import json, sys, time, torch
from pathlib import Path
from search.methods.teacher import load_teacher
from search.workloads.image import ImageClassification

class Ctx:
    seed, device, trained = 0, "cpu", False
    workdir = Path(".")
    def report(self, step, **values): self.trained = True
    def note(self, name, value): pass
    def should_stop(self): return False

torch.set_num_threads(1)
workload = ImageClassification({"name": "mlp"}, "digits", teacher=json.loads(sys.argv[3]))
workload.data
open(sys.argv[1] + ".ready", "w").close()
while not Path(sys.argv[2]).exists():
    time.sleep(0.01)
ctx = Ctx()
load_teacher(workload, ctx)
print("trained" if ctx.trained else "read")
"""


@pytest.mark.slow
def test_of_two_processes_one_trains(folder: Path, tmp_path: Path) -> None:
    go = tmp_path / "go"
    children = [
        subprocess.Popen(
            [sys.executable, "-c", _CHILD, str(tmp_path / str(i)), str(go), json.dumps(TEACHER)],
            stdout=subprocess.PIPE, text=True,
        )
        for i in range(2)
    ]  # fmt: skip
    while not all((tmp_path / f"{i}.ready").exists() for i in range(2)):
        assert all(child.poll() is None for child in children)
        time.sleep(0.02)
    go.touch()
    said = sorted(child.communicate(timeout=120)[0].strip() for child in children)
    assert said == ["read", "trained"]


def test_stopped_while_another_process_trains(
    fresh: Any, folder: Path, recorder: Callable[..., Any]
) -> None:
    import fcntl

    load_teacher(fresh, recorder("a"))
    (lock,), (facts,) = folder.glob("*.lock"), folder.glob("*.json")
    facts.unlink()
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(EvaluationError, match="stopped while another process trains it"):
            load_teacher(fresh, recorder("b", stop_after=1))


def test_stopped_while_training_leaves_no_teacher(
    fresh: Any, folder: Path, recorder: Callable[..., Any]
) -> None:
    with pytest.raises(EvaluationError, match="teacher: stopped before its training was done"):
        load_teacher(fresh, recorder(stop_after=2))
    assert teacher_facts(fresh) == {}


def test_the_process_that_trains_gets_what_the_others_read(
    fresh: Any, recorder: Callable[..., Any]
) -> None:
    """Bit for bit: logits too, which depend on the memory layout of the weights."""
    trained, read = load_teacher(fresh, recorder("a")), load_teacher(fresh, recorder("b"))
    split = fresh.data.train
    assert torch.equal(trained.logits(split, "cpu"), read.logits(split, "cpu"))
    for a, b in zip(trained.network.parameters(), read.network.parameters(), strict=True):
        assert a.stride() == b.stride()


def test_a_cache_that_cannot_be_written(
    fresh: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recorder: Callable[..., Any]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("CIPHER_SEARCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(EvaluationError, match="cannot be written .* CIPHER_SEARCH_CACHE"):
        load_teacher(fresh, recorder())


def test_no_epochs_keep_the_networks_own_weights(
    folder: Path, recorder: Callable[..., Any]
) -> None:
    from torch import nn

    own = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
    workload = ImageClassification(own, "digits", teacher={"epochs": 0})
    teacher = load_teacher(workload, recorder())
    pairs = zip(own.parameters(), teacher.network.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
