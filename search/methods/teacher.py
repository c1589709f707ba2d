"""The original network, trained once per workload and kept in a cache on disk.

Every method starts from it, so two workers must not train it twice, and a later study of the same
workload should not train it again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.api.errors import EvaluationError
from search.workloads.data.options import cache_directory

if TYPE_CHECKING:
    from torch import Tensor, nn

    from search.api.protocols import Context
    from search.workloads.data.splits import Split

# Part of the file name: raise it when a change of the trainer changes what teachers come out.
_VERSION = 1

_POLL_S = 0.2
_BATCH = 512


@dataclass(frozen=True)
class Teacher:
    """The trained original network of a workload.

    Args:
        network: in evaluation mode, on the device it was asked for. Not to be trained: copy it.
        facts: accuracy on the validation split [%], epochs, seconds of training, parameters.
    """

    network: nn.Module
    facts: Mapping[str, Any]

    def logits(self, split: Split, device: str) -> Tensor:
        """Logits ``[len(split), classes]`` of every image, on ``device``."""
        import torch

        self.network.to(device).eval()
        with torch.no_grad():
            parts = [self.network(x.to(device)) for x in torch.split(split.x, _BATCH)]
        return torch.cat(parts)


def load_teacher(workload: Any, ctx: Context) -> Teacher:
    """The teacher of ``workload``: from the cache, or trained now and put there.

    The training depends on the workload alone (its teacher's seed, not the study's). Of several
    processes one trains and the others wait for it. A damaged cache file is trained anew.

    Raises:
        EvaluationError: training diverged or was stopped, or the cache cannot be written.
    """
    files = _Files(cache_directory() / "teachers", workload.digest)
    found = files.read(workload)
    if found is None:
        try:
            with _lock(files.lock, ctx):
                found = files.read(workload)  # another process may have trained it meanwhile
                if found is None:
                    files.write(_train(workload, ctx))
                    # Read back even here: memory layout decides last bits, and every process
                    # must start from the very same network.
                    found = files.read(workload)
        except OSError as error:
            raise EvaluationError(
                f"teacher: {error.filename or files.lock} cannot be written ({error.strerror}). "
                "Set CIPHER_SEARCH_CACHE to a folder that can"
            ) from error
    if found is None:
        raise EvaluationError(f"teacher: {files.weights} was damaged while it was written")
    found.network.to(ctx.device)
    return found


def teacher_weights(workload: Any, ctx: Context) -> Path:
    """The file with the weights of :func:`load_teacher`, trained now if there is none.

    Raises:
        EvaluationError: as :func:`load_teacher`.
    """
    files = _Files(cache_directory() / "teachers", workload.digest)
    if files.facts() is None:
        load_teacher(workload, ctx)
    return files.weights


def cached_teacher_weights(workload: Any) -> Path | None:
    """The file of :func:`teacher_weights`; None if there is none. Trains nothing."""
    files = _Files(cache_directory() / "teachers", workload.digest)
    return None if files.facts() is None else files.weights


def teacher_facts(workload: Any) -> dict[str, Any]:
    """Facts about the cached teacher of ``workload``; empty if it was not trained yet."""
    return _Files(cache_directory() / "teachers", workload.digest).facts() or {}


class _Files:
    """Where the teacher of one digest lies: weights, facts and a lock."""

    def __init__(self, folder: Path, digest: str) -> None:
        stem = f"{digest}-v{_VERSION}"
        self.weights = folder / f"{stem}.safetensors"
        self.json = folder / f"{stem}.json"
        self.lock = folder / f"{stem}.lock"

    def facts(self) -> dict[str, Any] | None:
        """The facts if both files are there and belong together."""
        try:
            facts = json.loads(self.json.read_text(encoding="utf-8"))
            checksum = facts.pop("sha256")
            with self.weights.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != checksum:
                    return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return dict(facts)

    def read(self, workload: Any) -> Teacher | None:
        """The cached teacher, or None if there is none, or a file is damaged."""
        from search.workloads.plan import load_weights

        facts = self.facts()
        if facts is None:
            return None
        try:
            network = load_weights(workload.build(0), self.weights)
        except EvaluationError:
            return None
        return Teacher(network.eval(), facts)

    def write(self, teacher: Teacher) -> None:
        """Weights first, then the facts with their checksum: a kill between leaves no teacher."""
        from search.workloads.plan import save_weights

        save_weights(teacher.network, self.weights)
        with self.weights.open("rb") as file:
            checksum = hashlib.file_digest(file, "sha256").hexdigest()
        text = json.dumps({**teacher.facts, "sha256": checksum}, indent=2, sort_keys=True)
        scratch = self.json.with_name(f".{self.json.name}.{os.getpid()}")
        scratch.write_text(text, encoding="utf-8")
        os.replace(scratch, self.json)


def _train(workload: Any, ctx: Context) -> Teacher:
    from evaluators.accuracy import count_correct
    from search.methods.trainer import Recipe, Training, train

    config = workload.teacher_config
    recipe = Recipe(
        epochs=config.epochs,
        learning_rate=config.learning_rate,
        batch_size=config.batch_size,
        optimizer=config.optimizer,
        weight_decay=config.weight_decay,
    )
    network = workload.build(config.seed)
    done = Training(0, 0, 0.0, 0.0)
    if config.epochs:
        done = train(
            network, workload.data.train, recipe,
            seed=config.seed, device=ctx.device, ctx=ctx, phase="teacher",
        )  # fmt: skip
    if done.stopped:
        raise EvaluationError("teacher: stopped before its training was done")
    validation = workload.data.validation
    network.to(ctx.device).eval()
    correct = count_correct(network, validation, batch_size=_BATCH, device=ctx.device)
    facts = {
        "accuracy": 100.0 * correct / len(validation),
        "epochs": config.epochs,
        "seconds": round(done.seconds, 3),
        "gradient_evaluations": done.gradient_evaluations,
        "parameters": sum(p.numel() for p in network.parameters()),
        "workload": workload.name,
    }
    return Teacher(network.eval(), facts)


@contextmanager
def _lock(path: Path, ctx: Context) -> Iterator[None]:
    """Hold the file lock ``path``; waiting ends with an error when the study is stopped.

    The kernel drops the lock with its process, so a killed worker leaves none behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if ctx.should_stop():
                    raise EvaluationError(
                        "teacher: stopped while another process trains it"
                    ) from None
                time.sleep(_POLL_S)
        yield
