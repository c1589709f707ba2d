import pickle
from pathlib import Path

import cloudpickle
import pytest

from search.api.trial import Outcome
from search.runners.ray_worker import Recipe, Reply, _pack


def test_a_recipe_is_known_by_its_id() -> None:
    assert Recipe("a", object()) == Recipe("a", object())
    assert hash(Recipe("a", [])) == hash(Recipe("a", {}))  # references need no hash
    assert Recipe("a", 1) != Recipe("b", 1)


def test_files_travel_and_leave_nothing_behind(tmp_path: Path) -> None:
    work = tmp_path / "work" / "trial"
    (work / "deep").mkdir(parents=True)
    (work / "a.bin").write_bytes(b"a")
    (work / "deep" / "b.bin").write_bytes(b"b")
    (tmp_path / "work" / "other").touch()
    names = {"a.bin": work / "a.bin", "deep/b.bin": work / "deep" / "b.bin"}
    reply = pickle.loads(pickle.dumps(_pack(Outcome(3, "gated", artefacts=names), (), False)))
    assert not work.exists()
    assert (tmp_path / "work" / "other").exists()
    outcome = reply.unpack(tmp_path / "driver")
    assert (outcome.number, outcome.status) == (3, "gated")
    assert {n: p.read_bytes() for n, p in outcome.artefacts.items()} == {
        "a.bin": b"a",
        "deep/b.bin": b"b",
    }
    assert all(tmp_path / "driver" in path.parents for path in outcome.artefacts.values())


@pytest.mark.parametrize("name", ["../evil", "/etc/evil"])
def test_a_name_cannot_leave_the_folder(name: str, tmp_path: Path) -> None:
    packed = cloudpickle.dumps(Outcome(0, "complete"))
    with pytest.raises(ValueError, match="evil"):
        Reply(packed, {name: b"x"}).unpack(tmp_path / "driver")


def test_a_file_that_is_not_there_fails_the_trial(tmp_path: Path) -> None:
    reply = _pack(Outcome(0, "complete", artefacts={"a": tmp_path / "gone"}), (), False)
    outcome = reply.unpack(tmp_path)
    assert outcome.status == "failed"
    assert "gone" in outcome.error
