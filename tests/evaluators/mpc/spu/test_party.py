"""The script of the parties, as far as it runs without SPU."""

import os
import socket
import subprocess
import sys
import time

import pytest

from evaluators.mpc.spu import party


def test_received_bytes_are_those_on_own_connections() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as one,
        server.accept()[0] as other,
    ):
        before, interface = party.received_bytes(), party.interface_bytes()
        one.sendall(bytes(30_000))
        got = 0
        while got < 30_000:
            got += len(other.recv(65536))
        assert party.received_bytes() - before == 30_000
        assert party.interface_bytes() - interface >= 30_000


def test_it_ends_at_once_without_its_parent() -> None:
    command = [sys.executable, "-I", party.__file__, "prepare", "nowhere", str(os.getpid() + 1)]
    assert subprocess.run(command, check=False, capture_output=True).returncode == 70


def test_it_dies_with_its_parent() -> None:
    """Its parent is a process of ours that is killed; the script sleeps in its place."""
    child = (
        "import runpy, os, sys, time; m = runpy.run_path(sys.argv[1]); "
        "m['_die_with'](os.getppid()); print(os.getpid(), flush=True); time.sleep(60)"
    )
    parent = (
        "import subprocess, sys, time; "
        "subprocess.Popen([sys.executable, '-c', sys.argv[1], sys.argv[2]]); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", parent, child, party.__file__], stdout=subprocess.PIPE, text=True
    ) as started:
        assert started.stdout is not None
        pid = int(started.stdout.readline())
        started.kill()
        end = time.monotonic() + 10
        while time.monotonic() < end and _runs(pid):
            time.sleep(0.02)
        assert not _runs(pid)


def _runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.spu
def test_failures_are_told_in_a_file(tmp_path: object) -> None:
    command = [sys.executable, "-I", party.__file__, "prepare", str(tmp_path), str(os.getpid())]
    done = subprocess.run(command, check=False, capture_output=True)
    assert done.returncode == 1
    with open(f"{tmp_path}/prepare.{party.ERROR}") as file:
        assert "Error: " in file.read()
