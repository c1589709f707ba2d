"""The README and the script of an export say what is there, and only that."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from search.export.words import load_script, readme

MEASUREMENT = {
    "metric": "latency_2pc", "value": 12.3456789, "unit": "ms", "evidence": "model",
    "fidelity": "full", "split": "",
}  # fmt: skip


def facts(**changes: Any) -> dict[str, Any]:
    return {
        "trial": 3, "study": "tiny", "arm": "main", "study_digest": "0123456789abcdef",
        "versions": {"exported by": "cipher-search 9.9"}, "measurements": [MEASUREMENT],
        "left_out": {}, "workload": None, **changes,
    }  # fmt: skip


def workload(**changes: Any) -> dict[str, Any]:
    return {"input_shape": [1, 14, 14], "classes": 10, **changes}


def test_the_readme_says_where_it_comes_from_and_what_was_measured() -> None:
    text = readme(facts(), ["plan.json"])
    assert text.startswith("# Trial 3 of tiny\n")
    assert "cipher-search 9.9; study digest `0123456789abcdef`, arm main" in text
    assert "| latency_2pc | 12.3457 | ms | model | full |" in text


def test_a_plain_number_has_no_unit_in_words() -> None:
    text = readme(facts(measurements=[{**MEASUREMENT, "unit": "1"}]), [])
    assert "| 12.3457 |  | model |" in text


def test_no_measurement_is_said() -> None:
    assert "## Measurements\n\nNone." in readme(facts(measurements=[]), [])


def test_each_file_stands_once_with_its_meaning() -> None:
    text = readme(facts(), ["plan.json", "README.md", "weights-0.safetensors"])
    assert text.count("- `README.md`: this file") == 1
    assert "- `facts.json`: every measurement" in text
    assert "- `weights-0.safetensors`: weights of a member" in text


@pytest.mark.parametrize("with_program", [False, True])
def test_use_is_shown_only_if_there_is_something_to_use(with_program: bool) -> None:
    text = readme(facts(), ["program.pt2"] if with_program else [])
    assert ("## Use" in text) is with_program
    assert ("def load_program" in load_script(with_program)) is with_program


def test_what_is_missing_stands_with_its_reason() -> None:
    text = readme(facts(left_out={"model.onnx": "onnx is not installed"}), [])
    assert "## Left out\n\n- `model.onnx`: onnx is not installed" in text


def test_inputs_tell_shape_and_normalisation() -> None:
    text = readme(facts(workload=workload(mean=[0.25], std=[0.5])), [])
    assert "float32 `[n, 1, 14, 14]`; outputs are `[n, 10]` logits." in text
    assert "subtract the mean [0.25] and divide by the standard deviation [0.5]" in text
    assert "normalised" not in readme(facts(workload=workload()), [])


def test_the_script_needs_nothing_but_the_standard_library(tmp_path: Path) -> None:
    (tmp_path / "load.py").write_text(load_script(False))
    (tmp_path / "facts.json").write_text(json.dumps(facts()))
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(tmp_path / "load.py")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "trial 3 of tiny\n  latency_2pc: 12.3457 ms (model)\n"


def test_a_set_of_networks_says_how_to_take_one_out() -> None:
    script = load_script(False, members=3)
    compile(script, "load.py", "exec")
    assert "MEMBERS = 3" in script
    assert "load_network(HERE, member)" in script
    assert "MEMBERS" not in load_script(True)
