import json
from pathlib import Path

import pytest
import torch

from evaluators.lowered.program import PRIVATE, STRUCTURE, Program, Step


def program() -> Program:
    step = Step("fc", "linear", ("x",), "fc", {"n": [1, 2]}, {"weight": (3, 2)})
    private, public = {"fc:weight": torch.randn(3, 2)}, {"fc:keep": torch.arange(4)}
    return Program((3,), (step,), "fc", private, public)


def test_comes_back_as_written(tmp_path: Path) -> None:
    written = program()
    written.write(tmp_path / "new")
    read = Program.read(tmp_path / "new", private=True)
    assert read.steps == written.steps
    assert (read.input_shape, read.output) == ((3,), "fc")
    assert torch.equal(read.private["fc:weight"], written.private["fc:weight"])
    assert torch.equal(read.public["fc:keep"], torch.arange(4))


def test_a_party_without_the_weights_never_opens_them(tmp_path: Path) -> None:
    program().write(tmp_path)
    (tmp_path / PRIVATE).unlink()
    read = Program.read(tmp_path, private=False)
    assert read.private == {}
    assert read.steps[0].shapes == {"weight": (3, 2)}


def test_refuses_another_schema(tmp_path: Path) -> None:
    program().write(tmp_path)
    data = json.loads((tmp_path / STRUCTURE).read_text())
    (tmp_path / STRUCTURE).write_text(json.dumps(data | {"schema": 99}))
    with pytest.raises(ValueError, match="schema 99"):
        Program.read(tmp_path, private=True)
