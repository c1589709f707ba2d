"""What ``search export`` writes of a CKKS trial, and that it runs without this project."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from evaluators.fhe.export.exporter import CkksExport
from search import Study
from search.api.candidate import Candidate, to_plain
from search.api.errors import ConfigError
from search.export import load_network
from spaces.ckks.params import CkksParams
from spaces.ckks.primes import primes_of

FILES = {"parameters.json", "tenseal_context.py", "tenseal_context.json", "orion.yaml"}
BLOCKED = """\
import importlib.abc, sys

class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.stdlib_module_names | {"numpy", "tenseal", "ckks_engine"}:
            return None
        if name.partition(".")[0] in {%s}:
            raise ModuleNotFoundError("blocked: " + name)

sys.meta_path.insert(0, Blocked())
"""
OTHERS = ("torch", "scipy", "search", "spaces", "evaluators", "pydantic", "yaml", "safetensors")


def alone(folder: Path, tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """infer.py in a fresh interpreter that has numpy and tenseal, but nothing else of ours."""
    names = ", ".join(repr(name) for name in OTHERS)
    (tmp_path / "sitecustomize.py").write_text(BLOCKED % names)
    return subprocess.run(
        [sys.executable, str(folder / "infer.py"), *arguments],
        capture_output=True, text=True, check=False, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip


def test_everything_is_written(exported: Path) -> None:
    names = {file.name for file in exported.iterdir()}
    assert {"encrypted", "program.pt2", "weights.safetensors", "facts.json", *FILES} <= names
    facts = json.loads((exported / "facts.json").read_text())
    assert not {name for name in facts["left_out"] if name != "model.onnx"}
    assert "encrypted/infer.py" in facts["sha256"]
    assert "orion.yaml" in facts["sha256"]
    text = (exported / "README.md").read_text()
    for name in (*FILES, "encrypted"):
        assert f"`{name}`: " in text
    assert "python encrypted/infer.py --sample" in text


def test_it_runs_without_torch_and_without_this_project(exported: Path, tmp_path: Path) -> None:
    import shutil

    folder = shutil.copytree(exported / "encrypted", tmp_path / "elsewhere")
    probe = alone(folder, tmp_path, "--sample", "4")
    assert probe.returncode == 0, probe.stderr
    assert "agreement: 4 of 4 classes as in the clear" in probe.stdout
    blocked = subprocess.run(
        [sys.executable, "-c", "import torch"], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert "blocked: torch" in blocked.stderr


def test_its_answers_are_those_of_the_trained_network(exported: Path, tmp_path: Path) -> None:
    network = load_network(exported)
    x = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(3)).clamp(-1, 2)
    np.save(tmp_path / "image.npy", x.numpy())
    done = alone(exported / "encrypted", tmp_path, "image.npy")
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"outputs: (.*)", done.stdout)
    found = np.array([[float(value) for value in row.split()] for row in rows])
    with torch.no_grad():
        np.testing.assert_allclose(found, network(x).numpy(), atol=2e-3)


def test_parameters_are_those_of_the_trial(study: Study, exported: Path) -> None:
    (trial,) = study.trials()
    assert trial.outcome is not None
    assert trial.outcome.candidate is not None
    params = CkksParams.decode(trial.outcome.candidate["payload"])
    data = json.loads((exported / "parameters.json").read_text())
    slack = trial.measurement("security_slack")
    levels = trial.measurement("levels")
    assert slack is not None
    assert levels is not None
    assert data["security"]["slack_bits"] == slack.value
    assert data["plan"]["nodes"][0]["limbs_out"] == levels.value + 1
    primes = [entry["prime"] for entry in data["chain"]]
    assert primes == list(primes_of(params.chain, params.log_n))
    context = json.loads((exported / "tenseal_context.json").read_text())
    assert context["coeff_modulus"] == primes
    assert context["galois_steps"] == data["plan"]["rotation_steps"]
    assert context["relinearise"]
    orion = yaml.safe_load((exported / "orion.yaml").read_text())["ckks_params"]
    assert orion["LogQ"] == [params.chain.first, *params.chain.levels]


def test_an_export_is_replaced_and_other_files_stay(study: Study, exported: Path) -> None:
    (exported / "encrypted/mine.txt").write_text("mine")
    study.export(0, exported)
    assert (exported / "encrypted/mine.txt").read_text() == "mine"
    assert (exported / "encrypted/infer.py").is_file()
    (exported / "encrypted/mine.txt").unlink()


def payload(params: CkksParams, **changes: Any) -> Any:
    return to_plain(dataclasses.replace(params, activations=(), **changes))


def test_without_weights_the_parameters_are_left(params: CkksParams, tmp_path: Path) -> None:
    made = CkksExport().export(Candidate("ckks", payload(params)), None, {}, tmp_path)
    assert set(made.files) == FILES
    assert made.left_out["encrypted"] == "the study has no network"
    assert "plan" not in json.loads((tmp_path / "parameters.json").read_text())
    assert made.usage == ""
    assert "not known without the network" in (tmp_path / "tenseal_context.py").read_text()


def test_what_seal_does_not_take_is_left_out(params: CkksParams, tmp_path: Path) -> None:
    candidate = Candidate("ckks", payload(params, ring="conjugate_invariant"))
    made = CkksExport().export(candidate, None, {}, tmp_path)
    assert set(made.files) == {"parameters.json", "orion.yaml"}
    assert made.left_out["tenseal_context.py"].startswith("SEAL has no ring")
    assert made.left_out["encrypted"].startswith("SEAL has no ring")


def test_one_prime_for_a_square_and_a_layer_runs_but_not_on_orion(
    study: Study, exported: Path, params: CkksParams, tmp_path: Path
) -> None:
    chain = dataclasses.replace(params.chain, first=34, levels=(54, 27), special=(60,))
    candidate = Candidate(
        "ckks",
        payload(params, chain=chain, drops="paired", layers=()),
        exported / "weights.safetensors",
    )
    folder = tmp_path / "out"
    folder.mkdir()
    made = CkksExport().export(candidate, study.components.workload, {}, folder)
    assert set(made.files) == {*FILES, "encrypted"} - {"orion.yaml"}
    assert "one prime for both" in made.left_out["orion.yaml"]
    done = alone(folder / "encrypted", tmp_path, "--sample", "3")
    assert done.returncode == 0, done.stderr
    assert "agreement: 3 of 3 classes as in the clear" in done.stdout


def test_a_chain_too_short_for_the_network(
    study: Study, exported: Path, params: CkksParams, tmp_path: Path
) -> None:
    short = dataclasses.replace(params.chain, levels=(27,))
    candidate = Candidate(
        "ckks", payload(params, chain=short, layers=()), exported / "weights.safetensors"
    )
    made = CkksExport().export(candidate, study.components.workload, {}, tmp_path)
    assert "depth" in made.left_out["encrypted"]
    assert "encrypted" not in made.files
    assert not (tmp_path / "encrypted").exists()


def test_the_spec_says_which_table_judged(params: CkksParams, tmp_path: Path) -> None:
    spec = {"space": {"name": "ckks", "security": {"bits": 192, "table": "legacy_2018"}}}
    CkksExport().export(Candidate("ckks", payload(params)), None, spec, tmp_path)
    security = json.loads((tmp_path / "parameters.json").read_text())["security"]
    assert (security["bits"], security["table"]) == (192, "legacy_2018")


def test_a_payload_of_another_kind(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a CKKS configuration"):
        CkksExport().export(Candidate("ckks", {"choices": []}), None, {}, tmp_path)
