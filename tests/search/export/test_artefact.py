"""An exported trial stands alone: its program gives what the network gives."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from search import Study
from search.api.errors import ConfigError, StoreError
from search.export import export_trial, load_network
from search.workloads.plan import apply_plan, load_weights

ALWAYS = {"plan.json", "facts.json", "README.md", "load.py"}
DATA = {"name": "fashion_mini", "train": 60, "validation": 40, "test": 20}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """One trial of fine-tuning on a few images: real weights, real plan."""
    base = tmp_path_factory.mktemp("export")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CIPHER_SEARCH_CACHE", str(base / "cache"))
        torch.set_num_threads(1)
        config = base / "study.yaml"
        config.write_text(
            json.dumps(
                {
                    "study": {"name": "fine", "directory": str(base / "runs")},
                    "workload": {
                        "name": "image_classification",
                        "network": {"name": "resnet_mini", "width": 2},
                        "data": DATA,
                        "teacher": {"epochs": 0},
                    },
                    "space": "relu_placement",
                    "method": {"name": "finetune"},
                    "objectives": ["accuracy", "latency_2pc"],
                    "ladder": [
                        {
                            "rung": "full",
                            "budget": {"finetune_epochs": 1},
                            "evaluators": ["accuracy", "cost_2pc"],
                        }
                    ],
                    "searcher": "random",
                    "budget": {"trials": 1},
                }
            )
        )
        study = Study.from_yaml(config)
        study.run()
        return study


@pytest.fixture(scope="module")
def exported(trained: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("out") / "trial"
    trained.export(0, folder)
    return folder


def network_of(study: Study) -> nn.Module:
    """The trial's network built without any code of the exporter."""
    workload = study.components.workload
    (trial,) = study.trials()
    assert trial.outcome is not None
    assert trial.outcome.candidate is not None
    choices = trial.outcome.candidate["payload"]["choices"]
    network = workload.build(0)
    apply_plan(network, {c["site"]: c["operator"] for c in choices}, workload.sites())
    return load_weights(network, trial.artefacts[trial.outcome.candidate["weights"]]).eval()


def test_everything_is_written(exported: Path) -> None:
    names = {file.name for file in exported.iterdir()}
    assert names == ALWAYS | {"weights.safetensors", "program.pt2", "model.onnx"}


@pytest.mark.parametrize("n", [1, 7])
def test_the_program_gives_what_the_network_gives(trained: Study, exported: Path, n: int) -> None:
    x = torch.randn(n, 1, 14, 14)
    program = torch.export.load(exported / "program.pt2").module()
    with torch.no_grad():
        torch.testing.assert_close(program(x), network_of(trained)(x))


def test_the_network_comes_back_as_a_module(trained: Study, exported: Path) -> None:
    x = torch.randn(3, 1, 14, 14)
    network = load_network(exported)
    assert not network.training
    with torch.no_grad():
        torch.testing.assert_close(network(x), network_of(trained)(x))


def test_the_onnx_file_gives_what_the_network_gives(trained: Study, exported: Path) -> None:
    reference = pytest.importorskip("onnx.reference")
    x = torch.randn(2, 1, 14, 14)
    (given,) = reference.ReferenceEvaluator(str(exported / "model.onnx")).run(
        None, {"images": x.numpy()}
    )
    with torch.no_grad():
        expected = network_of(trained)(x)
    torch.testing.assert_close(torch.tensor(given), expected, rtol=1e-3, atol=1e-4)


def test_facts_carry_units_evidence_and_checksums(trained: Study, exported: Path) -> None:
    facts = json.loads((exported / "facts.json").read_text())
    by_name = {m["metric"]: m for m in facts["measurements"]}
    assert (by_name["accuracy"]["unit"], by_name["accuracy"]["evidence"]) == ("%", "measured")
    assert (by_name["latency_2pc"]["unit"], by_name["latency_2pc"]["evidence"]) == ("ms", "model")
    assert facts["study_digest"] == trained.spec.digest
    assert facts["left_out"] == {}
    assert facts["workload"]["input_shape"] == [1, 14, 14]
    assert len(facts["workload"]["mean"]) == 1
    assert set(facts["sha256"]) == {f.name for f in exported.iterdir()} - {"facts.json"}
    assert all(len(digest) == 64 for digest in facts["sha256"].values())


def test_the_script_runs_where_the_folder_was_moved(exported: Path, tmp_path: Path) -> None:
    import shutil

    moved = shutil.copytree(exported, tmp_path / "moved")
    run = subprocess.run(
        [sys.executable, str(moved / "load.py")], capture_output=True, text=True, cwd=tmp_path
    )
    assert run.returncode == 0, run.stderr
    assert "latency_2pc" in run.stdout
    assert "output for one zero image" in run.stdout


def test_the_readme_names_every_file_and_keeps_evidence(exported: Path) -> None:
    text = (exported / "README.md").read_text()
    for file in exported.iterdir():
        assert f"`{file.name}`" in text
    assert "| ms | model |" in text
    assert "Left out" not in text


def test_an_export_may_be_written_again_but_other_files_are_safe(
    trained: Study, exported: Path, tmp_path: Path
) -> None:
    (exported / "notes.txt").write_text("mine")
    trained.export(0, exported)
    assert (exported / "notes.txt").read_text() == "mine"
    (exported / "notes.txt").unlink()
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError, match="holds other files"):
        trained.export(0, tmp_path)
    assert [f.name for f in tmp_path.iterdir()] == ["thesis.tex"]


def test_no_such_trial(trained: Study, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no trial 7"):
        trained.export(7, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_a_study_without_network_gives_plan_and_facts(
    toy_study: Callable[..., Study], tmp_path: Path
) -> None:
    study = toy_study(trials=1)
    study.run()
    files = study.export(0, tmp_path / "x")
    assert set(files) == ALWAYS
    facts = json.loads(files["facts.json"].read_text())
    assert facts["left_out"]["program.pt2"] == "the study has no network"
    assert "trained no weights" in facts["left_out"]["weights.safetensors"]
    assert "## Left out" in files["README.md"].read_text()
    assert json.loads(files["plan.json"].read_text())["payload"] == {
        k: list(v) if isinstance(v, tuple) else v for k, v in study.trials()[0].point.items()
    }
    with pytest.raises(ConfigError, match="Python object"):
        load_network(tmp_path / "x")


def test_a_failed_trial_has_nothing_to_export(
    toy_study: Callable[..., Study], tmp_path: Path
) -> None:
    from search.api.candidate import Violation
    from search.api.errors import InfeasibleCandidate

    class Refusing:
        """A space in which no point can be built."""

        kind = "refusing"

        def params(self) -> Any:
            from search import Param, Real

            return (Param("x", Real(0, 1)),)

        def check(self, point: Any) -> Any:
            return ()

        def build(self, point: Any) -> Any:
            raise InfeasibleCandidate([Violation("never", "no", 1.0, "1")])

    study = toy_study(trials=1, space=Refusing())
    study.run()
    with pytest.raises(ConfigError, match="is infeasible and has no candidate"):
        study.export(0, tmp_path / "x")


def test_weights_that_are_gone_are_told(trained: Study, tmp_path: Path) -> None:
    import dataclasses

    snapshot = trained.snapshot()
    bare = dataclasses.replace(snapshot.trials[0], artefacts={})
    files = export_trial(
        dataclasses.replace(snapshot, trials=(bare,)),
        0,
        tmp_path / "x",
        trained.components.workload,
    )
    facts = json.loads(files["facts.json"].read_text())
    assert "is missing" in facts["left_out"]["weights.safetensors"]
    assert "program.pt2" not in files


def test_a_folder_that_is_no_export(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not an exported trial"):
        load_network(tmp_path)


def test_a_set_of_networks_is_one_file_and_gives_every_member(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CIPHER_SEARCH_CACHE", str(tmp_path / "cache"))
    evaluator = {"name": "members", "of": ["accuracy"], "count": 2}
    spec = {
        "study": {"name": "nested", "directory": str(tmp_path / "runs")},
        "workload": {
            "name": "image_classification",
            "network": {"name": "resnet_tiny", "width": 2},
            "data": DATA,
            "teacher": {"epochs": 0},
        },
        "space": {
            "name": "relu_placement",
            "granularity": "pixel",
            "activations": ["relu", "poly2"],
        },
        "method": {"name": "adapi", "densities": [0.1, 0.5]},
        "objectives": ["accuracy.worst"],
        "ladder": [
            {
                "rung": "train",
                "budget": {"mask_epochs": 1, "member_epochs": 1},
                "evaluators": [evaluator],
            }
        ],
        "searcher": "random",
        "budget": {"trials": 1},
    }
    (tmp_path / "nested.yaml").write_text(json.dumps(spec))
    study = Study.from_yaml(tmp_path / "nested.yaml")
    study.run()
    target = tmp_path / "out"
    study.export(0, target)
    assert [f.name for f in target.glob("*.safetensors")] == ["weights.safetensors"]
    x = torch.randn(3, 1, 14, 14, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        outputs = [load_network(target, member)(x) for member in (1, 2, None)]
    assert not torch.allclose(outputs[0], outputs[1])
    assert torch.equal(outputs[1], outputs[2])
    facts = json.loads((target / "facts.json").read_text())
    assert "set of networks" in facts["left_out"]["program.pt2"]
    assert "member=1" in (target / "README.md").read_text()
    done = subprocess.run(
        [sys.executable, str(target / "load.py")], capture_output=True, text=True, check=True
    )
    assert "2 networks in one file" in done.stdout
    assert "member 2, output" in done.stdout
    with pytest.raises(ConfigError, match=r"no member 3 \(expected 1 to 2\)"):
        load_network(target, 3)


def test_a_single_network_has_no_members(exported: Path) -> None:
    with pytest.raises(ConfigError, match="no member 1 .*the trial is one network"):
        load_network(exported, 1)
