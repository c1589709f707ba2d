"""Traced sites come back from disk, and never for another network."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from search import registry
from search.api.errors import ConfigError
from search.api.network import Site
from search.workloads import site_cache
from search.workloads.image import ImageClassification

SITE = Site("relu", "activation", "relu", (2, 3, 3), (2, 3, 3), attributes={"cap": 6})


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CIPHER_SEARCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "sites"


def lenet(**options: object) -> ImageClassification:
    return ImageClassification(network={"name": "lenet5", **options}, data="fashion_mini")


def test_an_entry_comes_back_as_it_went() -> None:
    traced = site_cache.Traced((SITE,), ("a", "b"), {"width": 2})
    site_cache.write("k", traced)
    assert site_cache.read("k") == traced


def test_no_key_no_entry(own_cache: Path) -> None:
    site_cache.write(None, site_cache.Traced((SITE,), (), {}))
    assert site_cache.read(None) is None
    assert not own_cache.exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"sites": [{"name": 1}]}', "\x00"])
def test_a_damaged_entry_counts_as_absent(own_cache: Path, text: str) -> None:
    own_cache.mkdir(parents=True)
    (own_cache / "k.json").write_text(text)
    assert site_cache.read("k") is None


def test_a_cache_that_cannot_be_written_is_no_fault(own_cache: Path) -> None:
    own_cache.parent.mkdir(parents=True)
    own_cache.write_text("a file where the folder should be")
    site_cache.write("k", site_cache.Traced((SITE,), (), {}))
    assert site_cache.read("k") is None


def test_the_key_depends_on_all_that_tracing_does() -> None:
    keys = {
        site_cache.key_of("lenet5", {}, (1, 8, 8), 10),
        site_cache.key_of("lenet5", {}, (1, 8, 9), 10),
        site_cache.key_of("lenet5", {}, (1, 8, 8), 9),
        site_cache.key_of("lenet5", {"a": 1}, (1, 8, 8), 10),
        site_cache.key_of("vgg11", {}, (1, 8, 8), 10),
    }
    assert len(keys) == 5
    assert None not in keys


def test_a_network_of_this_process_is_not_kept() -> None:
    registry.register("network", "site_cache_test")(lambda: None)
    assert site_cache.key_of("site_cache_test", {}, (1, 8, 8), 10) is None


def test_options_that_are_no_plain_data_are_not_kept() -> None:
    assert site_cache.key_of("lenet5", {"f": object()}, (1, 8, 8), 10) is None


def test_cached_and_traced_are_the_same(own_cache: Path) -> None:
    first = lenet()
    sites, digest = first.sites(), first.digest
    (entry,) = own_cache.glob("*.json")
    assert len(json.loads(entry.read_text())["sites"]) == len(sites)
    second = lenet()
    assert (second.sites(), second.digest) == (sites, digest)
    entry.unlink()
    third = lenet()
    assert (third.sites(), third.digest) == (sites, digest)


def test_a_cached_network_still_builds() -> None:
    lenet().sites()
    assert sum(p.numel() for p in lenet().build(0).parameters()) > 0


def test_wrong_options_are_told_at_once() -> None:
    lenet().sites()
    with pytest.raises(ConfigError, match="unknown option"):
        lenet(nonsense=1)


def test_with_a_warm_cache_torch_is_not_imported() -> None:
    digest = lenet().digest
    code = (
        "import sys; from search.workloads.image import ImageClassification as I;"
        "w = I(network='lenet5', data='fashion_mini'); w.sites();"
        "print(w.digest, 'torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == [digest, "False"]
