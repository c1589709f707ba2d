"""Downloads from a server on loopback: the first good address wins, nothing bad is kept."""

import pytest

from search.api.errors import ConfigError
from search.workloads.data.download import download


@pytest.fixture
def site(tmp_path, serve):
    root = tmp_path / "site"
    root.mkdir()
    (root / "good").write_bytes(b"good")
    (root / "bad").write_bytes(b"bad")
    with serve(root) as address:
        yield address


def accept(data):
    if data != b"good":
        raise ConfigError(f"got {data!r}")


def test_takes_the_first_address_that_works(site, tmp_path):
    target = tmp_path / "cache" / "file"
    download([f"{site}/none", f"{site}/bad", f"{site}/good"], target, accept=accept)
    assert target.read_bytes() == b"good"
    assert list(target.parent.iterdir()) == [target]


def test_names_every_failure_and_keeps_nothing(site, tmp_path):
    target = tmp_path / "cache" / "file"
    urls = [f"{site}/none", f"{site}/bad", "file:///etc/hostname", "http://[", "http://127.0.0.1:9"]
    with pytest.raises(ConfigError) as caught:
        download(urls, target, accept=accept, timeout_s=5)
    text = str(caught.value)
    assert "none: HTTP Error 404" in text
    assert "bad: got b'bad'" in text
    assert "only http and https are fetched (got file)" in text
    assert "127.0.0.1:9: " in text
    assert not target.parent.exists()


def test_says_when_there_is_no_address(tmp_path):
    with pytest.raises(ConfigError, match="urls: download of f failed .no address given"):
        download([], tmp_path / "f", accept=accept)


def test_unwritable_cache_is_named(site, tmp_path):
    (tmp_path / "cache").write_text("a file, not a folder")
    with pytest.raises(ConfigError, match="cannot keep the download"):
        download([f"{site}/good"], tmp_path / "cache" / "f", accept=accept)
