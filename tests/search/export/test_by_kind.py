"""Kinds of candidates bring exporters of their own: plugins named like the kind."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from search import Study, registry
from search.api.candidate import Candidate
from search.api.errors import ConfigError
from search.api.exporting import Exported
from search.export.by_kind import export_kind, exporter_of, files_of, trained_network


class Cards:
    """Writes a card and a folder of two."""

    def network(self, workload: Any, payload: Any, weights: Path) -> Any:
        raise ConfigError("a card is no network")

    def export(
        self, candidate: Candidate[Any], workload: Any, spec: Mapping[str, Any], directory: Path
    ) -> Exported:
        (directory / "pack").mkdir(exist_ok=True)
        for name in ("card.txt", "pack/1.txt", "pack/2.txt"):
            text = f"{candidate.kind} {candidate.weights} {spec.get('study', {}).get('name')}"
            (directory / name).write_text(text)
        what = {"card.txt": "a card", "pack": "two of them"}
        return Exported(what, {"photo.png": "nobody took one"}, "Read the card.")


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exporter of the kind that the parameter space has."""
    monkeypatch.setitem(registry._overlay, ("exporter", "parameters"), Cards)


def test_a_study_writes_what_its_kind_adds(
    cards: None, toy_study: Callable[..., Study], tmp_path: Path
) -> None:
    study = toy_study(trials=1)
    study.run()
    folder = tmp_path / "out"
    files = study.export(0, folder)
    assert {"card.txt", "pack/1.txt", "pack/2.txt"} <= set(files)
    assert files["card.txt"].read_text() == "parameters None toy"
    facts = json.loads((folder / "facts.json").read_text())
    assert facts["left_out"]["photo.png"] == "nobody took one"
    assert {"card.txt", "pack/1.txt", "pack/2.txt"} <= set(facts["sha256"])
    text = (folder / "README.md").read_text()
    assert "- `pack`: two of them\n" in text
    assert text.count("`pack") == 1
    assert "Read the card." in text


def test_files_in_folders_are_replaced_and_nothing_outside(
    cards: None, toy_study: Callable[..., Study], tmp_path: Path
) -> None:
    study = toy_study(trials=1)
    study.run()
    folder = tmp_path / "out"
    study.export(0, folder)
    outside = tmp_path / "outside.txt"
    outside.write_text("not yours")
    facts = json.loads((folder / "facts.json").read_text())
    facts["sha256"] |= {"../outside.txt": "0", "pack/old.txt": "0"}
    (folder / "facts.json").write_text(json.dumps(facts))
    (folder / "pack/old.txt").write_text("of an earlier export")
    study.export(0, folder)
    assert outside.read_text() == "not yours"
    assert sorted(f.name for f in (folder / "pack").iterdir()) == ["1.txt", "2.txt"]


def test_a_kind_without_exporter_adds_nothing(tmp_path: Path) -> None:
    assert exporter_of("relu_placement") is None
    stored = {"kind": "relu_placement", "payload": {}}
    assert export_kind(stored, tmp_path / "w", None, {}, tmp_path) == Exported({})
    assert not list(tmp_path.iterdir())


def test_the_exporter_of_a_kind_is_the_plugin_of_its_name() -> None:
    assert type(exporter_of("ckks")).__name__ == "CkksExport"


def test_weights_are_handed_over_if_they_are_a_file(cards: None, tmp_path: Path) -> None:
    stored = {"kind": "parameters", "payload": {}}
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(b"")
    export_kind(stored, weights, None, {}, tmp_path)
    assert str(weights) in (tmp_path / "card.txt").read_text()


def test_a_kind_says_how_its_network_is_made(cards: None, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a card is no network"):
        trained_network(None, "parameters", {}, tmp_path)


def test_a_payload_that_is_no_plan_is_no_network(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected members of levels"):
        trained_network(None, "relu_placement", {"members": []}, tmp_path)


def test_files_of_folders_are_found(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    for name in ("a/b/1", "a/2", "3", "4"):
        (tmp_path / name).write_text("")
    found = files_of(Exported({"a": "", "3": ""}), tmp_path)
    assert found == {name: tmp_path / name for name in ("a/2", "a/b/1", "3")}
