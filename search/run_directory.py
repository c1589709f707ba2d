"""The run directory: its lock, its ``run.json``, and repair after a crash.

``runs/<study>/`` holds ``run.json`` (which database, which study), the journal, ``artifacts/``,
``shared/`` (weights of all trials, if a method has such) and ``reports/``. One driver at a time
may write; the lock is the operating system's, so it cannot outlive its process.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import socket
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from search.api.errors import StoreError

JOURNAL = "study.journal"
SHARED = "shared"


@dataclass
class RunDirectory:
    """A run directory on disk.

    Args:
        path: the directory.
        storage: ``journal`` or a database URL, possibly with a password.
        study: name of the study inside the database.
        run_id: identifies this run among runs of the same name in one database.
    """

    path: Path
    storage: str
    study: str
    run_id: str
    _lock: IO[str] | None = field(default=None, repr=False)

    @classmethod
    def create(cls, path: Path, storage: str, study: str) -> RunDirectory:
        """Make a new run directory, or open the one that is there.

        Raises:
            StoreError: it cannot be made, or is in use by another process.
        """
        if (path / "run.json").exists():
            return cls.open(path, storage)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{path}: cannot be made: {error.strerror}") from error
        run = cls(path, storage, study, uuid.uuid4().hex[:12])
        run.lock()
        if not (path / "run.json").exists():
            write_atomically(
                path / "run.json",
                json.dumps(
                    {
                        "schema": 1,
                        "storage": without_password(storage),
                        "study": study,
                        "id": run.run_id,
                    },
                    indent=1,
                ),
            )
        return run

    @classmethod
    def open(cls, path: Path, storage: str | None = None, *, lock: bool = True) -> RunDirectory:
        """Open an existing run directory; ``storage`` overrides the recorded URL (a password).

        Raises:
            StoreError: it is no run directory, or is in use by another process.
        """
        try:
            data = json.loads((path / "run.json").read_text(encoding="utf-8"))
            recorded = str(data["storage"])
            if storage is not None and without_password(storage) != recorded:
                raise StoreError(
                    f"{path}: the run is stored in {recorded!r} "
                    f"(got {without_password(storage)!r}). Give the same storage, or another name"
                )
            run = cls(path, storage or recorded, str(data["study"]), str(data["id"]))
        except FileNotFoundError:
            raise StoreError(
                f"{path}: not a run directory (no run.json in it). `search run CONFIG` makes one"
            ) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{path / 'run.json'}: cannot be read: {error}") from error
        if lock:
            run.lock()
        return run

    def lock(self) -> None:
        """Take the write lock, and mend what a killed driver left behind.

        Raises:
            StoreError: another process holds it.
        """
        handle = (self.path / ".lock").open("a+", encoding="utf-8")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            handle.seek(0)
            holder = handle.read().strip() or "another process"
            handle.close()
            raise StoreError(
                f"{self.path}: in use by {holder}. One driver at a time may write to a run "
                "directory: wait for it, or choose another study name"
            ) from None
        handle.seek(0)
        handle.truncate()
        handle.write(f"process {os.getpid()} on {socket.gethostname()}")
        handle.flush()
        self._lock = handle
        self._mend()

    def release(self) -> None:
        """Give the lock back."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def keep_shared(self, file: Path | None) -> None:
        """Keep a copy of a file that all trials share, so that the run does without the cache."""
        if file is None or shared_file(self.path, file.name) is not None:
            return
        kept = self.path / SHARED / file.name
        kept.parent.mkdir(exist_ok=True)
        temporary = kept.with_name(f".{file.name}.{os.getpid()}")
        shutil.copyfile(file, temporary)
        temporary.replace(kept)

    def _mend(self) -> None:
        """Cut a torn last line off the journal, and drop locks and scratch of a dead driver."""
        journal = self.path / JOURNAL
        for stale in self.path.glob(f"{JOURNAL}.lock*"):
            stale.unlink(missing_ok=True)
        shutil.rmtree(self.path / "work", ignore_errors=True)
        if not journal.exists():
            return
        with journal.open("rb+") as f:
            f.seek(0, os.SEEK_END)
            end = f.tell()
            start = _last_line_start(f, end)
            f.seek(start)
            tail = f.read()
            if tail and not (tail.endswith(b"\n") and _is_json(tail)):
                f.truncate(start)
                os.fsync(f.fileno())


def shared_file(path: Path, name: str) -> Path | None:
    """The file ``name`` that all trials of the run at ``path`` share; None if there is none."""
    kept = path / SHARED / name
    return kept if kept.is_file() else None


def without_password(url: str) -> str:
    """A database URL with its password taken out."""
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1@", url)


def write_atomically(path: Path, text: str) -> None:
    """Write ``path`` so that a reader sees the old or the new text, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def _last_line_start(f: IO[bytes], end: int) -> int:
    """Offset of the last line, whether or not it is ended by a newline."""
    position = max(end - 1, 0)
    while position > 0:
        step = min(65_536, position)
        f.seek(position - step)
        found = f.read(step).rfind(b"\n")
        if found >= 0:
            return position - step + found + 1
        position -= step
    return 0


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True
