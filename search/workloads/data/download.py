"""Fetch a file over HTTP(S): bounded in size and time, never trusted before it is checked."""

from __future__ import annotations

import http.client
import os
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

from search.api.errors import ConfigError

_LIMIT_BYTES = 2**30


def download(
    urls: Sequence[str], target: Path, *, accept: Callable[[bytes], None], timeout_s: float = 30.0
) -> None:
    """Write to ``target`` what the first of ``urls`` that works gives.

    Args:
        urls: ``http`` or ``https`` addresses of the same file, tried in order.
        target: written at once, so that nobody ever sees half a file.
        accept: raises ConfigError if the bytes are not the file wanted.
        timeout_s: of each connection and each wait for data.

    Raises:
        ConfigError: none worked; names each address and why.
    """
    failures = []
    for url in urls:
        try:
            data = _get(url, timeout_s)
            accept(data)
        # ValueError: an address that cannot be parsed.
        except (OSError, http.client.HTTPException, ValueError, ConfigError) as error:
            failures.append(f"{url}: {error}")
            continue
        _write(target, data)
        return
    raise ConfigError(
        f"download of {target.name} failed ({'; '.join(failures) or 'no address given'})",
        path="urls",
    )


def _get(url: str, timeout_s: float) -> bytes:
    """The body, if it is not too large."""
    scheme = urllib.parse.urlsplit(url).scheme
    if scheme not in ("http", "https"):
        raise ConfigError(f"only http and https are fetched (got {scheme or 'no scheme'})")
    with urllib.request.urlopen(url, timeout=timeout_s) as reply:  # noqa: S310 - checked above
        data: bytes = reply.read(_LIMIT_BYTES + 1)
    if len(data) > _LIMIT_BYTES:
        raise ConfigError(f"the file is larger than {_LIMIT_BYTES} bytes")
    return data


def _write(target: Path, data: bytes) -> None:
    """Write beside the target, then rename."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.replace(name, target)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise ConfigError(f"cannot keep the download ({error})", source=str(target)) from error
