"""Places and checksums that the datasets share."""

from pathlib import Path

import pytest

from search.api.errors import ConfigError
from search.workloads.data.options import SplitOptions, cache_directory, locate, sha256_of


def test_cache_directory_follows_the_environment(monkeypatch):
    monkeypatch.setenv("CIPHER_SEARCH_CACHE", "/own")
    assert cache_directory() == Path("/own")
    monkeypatch.delenv("CIPHER_SEARCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_directory() == Path("/xdg/cipher-search")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert cache_directory() == Path("/home/me/.cache/cipher-search")


def test_locate_finds_the_inner_folder(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "a").touch()
    assert locate(tmp_path, "inner", ["a"], what="X", hint="") == tmp_path / "inner"


def test_locate_names_the_file_that_is_lost(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "a").touch()
    with pytest.raises(ConfigError, match=r"directory: X is not there: no b in .*inner\. Do it"):
        locate(tmp_path, "inner", ["a", "b"], what="X", hint="Do it")


def test_sha256_of_depends_on_content_and_order(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(b"1")
    b.write_bytes(b"2")
    assert sha256_of([a, b]) != sha256_of([b, a])
    before = sha256_of([a])
    a.write_bytes(b"3")
    assert sha256_of([a]) != before
    with pytest.raises(ConfigError, match="gone: cannot read the file"):
        sha256_of([tmp_path / "gone"])


def test_options_give_sizes():
    assert SplitOptions(train=3).sizes == {"train": 3, "validation": None, "test": None}
