"""The script of an exported folder, run in this process; by itself: test_exporter.py."""

from __future__ import annotations

import re
import shutil
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluators.fhe.export.infer import FLOOR_BITS, main


@pytest.fixture(scope="module")
def folder(exported: Path) -> Path:
    return exported / "encrypted"


@pytest.fixture(scope="module")
def samples(folder: Path) -> Any:
    return dict(np.load(folder / "samples.npz"))


def outputs(text: str) -> np.ndarray:
    rows = re.findall(r"outputs: (.*)", text)
    return np.array([[float(value) for value in row.split()] for row in rows])


def test_samples_agree(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--sample", "3"], folder) == 0
    text = capsys.readouterr().out
    assert "agreement: 3 of 3 classes as in the clear" in text
    precision = re.search(r"precision: ([\d.]+) bits", text)
    assert precision is not None
    assert float(precision[1]) > 12
    assert re.search(r"^2: class \d, \d+ ms \(\d+ ms of it the server's\)$", text, re.MULTILINE)


def test_an_image_and_several(
    folder: Path, samples: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "two.npy", samples["inputs"][:2].reshape(2, 1, 8, 8))
    assert main([str(tmp_path / "two.npy")], folder) == 0
    found = outputs(capsys.readouterr().out)
    np.testing.assert_allclose(found, samples["outputs"][:2], atol=1e-3)


def test_raw_images_are_normalised(
    folder: Path, samples: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import json

    model = json.loads((folder / "model.json").read_text())
    raw = samples["inputs"][0].reshape(1, 8, 8) * model["std"][0] + model["mean"][0]
    np.save(tmp_path / "raw.npy", raw)
    assert main([str(tmp_path / "raw.npy"), "--normalise"], folder) == 0
    found = outputs(capsys.readouterr().out)
    np.testing.assert_allclose(found, samples["outputs"][:1], atol=1e-3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros((8, 8)), r"shape \[8, 8\] \(expected \[1, 8, 8\] or \[n, 1, 8, 8\]\)"),
        (np.zeros((0, 1, 8, 8)), r"shape \[0, 1, 8, 8\]"),
        (np.full((1, 8, 8), np.nan), "values that are not finite"),
        (np.array([{}], dtype=object), "allow_pickle"),
    ],
)
def test_wrong_images(
    folder: Path, tmp_path: Path, content: Any, message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    np.save(tmp_path / "x.npy", content, allow_pickle=True)
    assert main([str(tmp_path / "x.npy")], folder) == 2
    printed = capsys.readouterr()
    assert re.search(message, printed.err)
    assert not printed.out  # told before keys are made


def test_a_file_that_is_not_there(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nowhere.npy"], folder) == 2
    assert "nowhere.npy" in capsys.readouterr().err


def test_an_image_or_samples(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([], folder)
    assert "image --sample" in capsys.readouterr().err


def test_garbage_is_no_answer(
    folder: Path, samples: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    wrong = {**samples, "outputs": samples["outputs"][::-1] * 3}
    np.savez(copy / "samples.npz", **wrong)
    assert main(["--sample", "2"], copy) == 1
    assert f"imprecise (expected at least {FLOOR_BITS:g} bits)" in capsys.readouterr().err


def test_keys_are_written_only_if_asked(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = set(folder.rglob("*"))
    assert main(["--sample", "1", "--keep-keys", str(tmp_path / "keys")], folder) == 0
    assert {f.name for f in (tmp_path / "keys").iterdir()} == {
        "secret.key", "galois.key", "relin.key",
    }  # fmt: skip
    assert stat.S_IMODE((tmp_path / "keys/secret.key").stat().st_mode) == 0o600
    assert set(folder.rglob("*")) == before
