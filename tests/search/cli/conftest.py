"""A tiny real study for the command line: a parameter space and an evaluator in a plugin file."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from search import registry

# Each test has a file of its own, so registering again must not count as a clash.
PLUGIN = '''
"""An evaluator of two objectives that pull apart."""
import time
from pydantic import BaseModel, ConfigDict
from search import Measurement, Metric, register


class Config(BaseModel):
    """Options."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    sleep: float = 0.0
    fail: bool = False


@register("evaluator", "hills")
class Hills:
    """Distance of x from 1, and a delay that grows with x."""

    metrics = (
        Metric("error", "%", "min", "distance of x from 1"),
        Metric("delay", "ms", "min", "grows with x"),
    )
    needs = frozenset()
    Config = Config

    def __init__(self, config):
        self.config = config

    @classmethod
    def from_config(cls, config, workload):
        return cls(config)

    def evaluate(self, candidate, fidelity, ctx):
        if self.config.fail:
            raise RuntimeError("no luck today")
        for step in range(3):
            time.sleep(self.config.sleep / 3)
            ctx.report(step, loss=1.0 / (step + 1))
        x = candidate.payload["x"]
        return (
            Measurement("error", 100 * (x - 1) ** 2, "%", fidelity.name, "measured"),
            Measurement("delay", 1 + 10 * x, "ms", fidelity.name, "model"),
        )
'''


def tiny() -> dict[str, Any]:
    """A good configuration as plain data, to be changed by tests."""
    return {
        "study": {"name": "tiny", "seed": 1},
        "space": {
            "name": "parameters",
            "params": {"x": {"real": [0, 1]}, "kind": {"choice": ["a", "b"]}},
        },
        "objectives": ["error", "delay"],
        "ladder": [{"rung": "full", "budget": {"epochs": 1}, "evaluators": ["hills"]}],
        "searcher": "random",
        "budget": {"trials": 4},
    }


class Shell:
    """Runs the command in a folder of its own, in this process or in another."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plugin = folder / "plug.py"
        self.plugin.write_text(PLUGIN)
        self.config = folder / "tiny.yaml"
        self.write(tiny())

    def write(self, data: Mapping[str, Any]) -> Path:
        """The configuration file with this content."""
        self.config.write_text(yaml.safe_dump(dict(data), sort_keys=False))
        return self.config

    def run(self, *words: str) -> Result:
        """The command in this process."""
        from search.cli.app import app

        return CliRunner().invoke(app, [str(w) for w in words], prog_name="search")

    def start(self, *words: str, **options: Any) -> subprocess.Popen[str]:
        """The command in a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "search", *map(str, words)],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def call(self, *words: str) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of the command in a process of its own."""
        process = self.start(*words, env=dict(os.environ))
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A folder with ``tiny.yaml`` and ``plug.py``, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "_overlay", dict(registry._overlay))
    return Shell(tmp_path)


@pytest.fixture
def changed(shell: Shell) -> Callable[..., Path]:
    """Writes the tiny configuration with top-level keys replaced."""

    def write(**changes: Any) -> Path:
        return shell.write({**tiny(), **changes})

    return write
