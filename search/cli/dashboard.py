"""``search dashboard``: optuna-dashboard on a run's storage and artefacts."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from search.api.errors import MissingExtra, SearchError


def serve(run: Path, *, host: str, port: int, storage: str | None) -> None:
    """Serve until Ctrl-C; prints the address first.

    Raises:
        StoreError: no run directory, or its database cannot be opened.
        SearchError: the port is taken.
        MissingExtra: optuna-dashboard is not installed.
    """
    from search.run_directory import RunDirectory
    from search.study import Study

    Study.read(run, storage)  # refuses what is no run before a server starts
    directory = RunDirectory.open(run, storage, lock=False)
    server = _server(_application(directory), host, port)
    url = f"http://{host}:{server.server_port}/dashboard/"
    print(f"dashboard of {directory.study}: {url} (Ctrl-C ends it)", flush=True)
    # In a thread of its own: wsgiref swallows a Ctrl-C that comes while a request is answered.
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        thread.join()
    except KeyboardInterrupt:
        print("dashboard ended")
    finally:
        server.shutdown()
        server.server_close()


class _SilentHandler(WSGIRequestHandler):
    """Requests are not logged: the dashboard asks every few seconds."""

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


def _application(directory: Any) -> Any:
    """The dashboard as a WSGI application on the run's storage."""
    try:
        from optuna_dashboard import wsgi
    except ImportError as error:
        raise MissingExtra(
            "optuna-dashboard is not installed. Run: pip install optuna-dashboard"
        ) from error
    from optuna.artifacts import FileSystemArtifactStore

    from search.database import open_storage

    artifacts = directory.path / "artifacts"
    store = FileSystemArtifactStore(artifacts) if artifacts.is_dir() else None
    return wsgi(open_storage(directory), artifact_store=store)


def _server(application: Any, host: str, port: int) -> WSGIServer:
    try:
        return make_server(host, port, application, handler_class=_SilentHandler)
    except OSError as error:
        raise SearchError(
            f"cannot listen on {host}:{port}: {error.strerror}. Choose another --port (0: any)"
        ) from error
