"""``search dashboard``: optuna-dashboard on a run's storage and artefacts."""

from __future__ import annotations

import socket
from pathlib import Path

from search.api.errors import MissingExtra, SearchError


def serve(run: Path, *, host: str, port: int, storage: str | None) -> None:
    """Serve until Ctrl-C; prints the address first.

    Raises:
        StoreError: no run directory, or its database cannot be opened.
        SearchError: the port is taken.
        MissingExtra: optuna-dashboard is not installed.
    """
    try:
        from optuna_dashboard import run_server
    except ImportError as error:
        raise MissingExtra(
            "optuna-dashboard is not installed. Run: pip install optuna-dashboard"
        ) from error
    from optuna.artifacts import FileSystemArtifactStore

    from search.database import open_storage
    from search.run_directory import RunDirectory
    from search.study import Study

    Study.read(run, storage)  # refuses what is no run before a server starts
    directory = RunDirectory.open(run, storage, lock=False)
    artifacts = directory.path / "artifacts"
    free = free_port(host, port)
    print(f"dashboard of {directory.study}: http://{host}:{free}/dashboard/ (Ctrl-C ends it)",
          flush=True)  # fmt: skip
    run_server(
        open_storage(directory),
        host=host,
        port=free,
        artifact_store=FileSystemArtifactStore(artifacts) if artifacts.is_dir() else None,
    )


def free_port(host: str, port: int) -> int:
    """``port`` if it can be listened on; any free one for 0.

    Raises:
        SearchError: it is taken, or ``host`` is no address of this machine.
    """
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            return int(probe.getsockname()[1])
    except OSError as error:
        raise SearchError(
            f"cannot listen on {host}:{port}: {error.strerror}. Choose another --port (0: any)"
        ) from error
