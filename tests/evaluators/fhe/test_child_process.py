"""A child's ways to end: each becomes a typed failure, and no process is left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evaluators.fhe.backends import Limits
from evaluators.fhe.child_process import kind_of, run_child
from evaluators.fhe.failures import BackendFailure
from search.api.errors import EvaluationError

LIMITS = Limits(seconds=20, memory_mb=2000)


def child(code: str) -> list[str]:
    return [sys.executable, "-c", f"import os, sys, time\n{code}"]


def failure(code: str, folder: Path, limits: Limits = LIMITS) -> BackendFailure:
    with pytest.raises(BackendFailure) as found:
        run_child(child(code), folder, limits)
    return found.value


def gone(pid: int) -> bool:
    for _ in range(200):
        try:
            state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1]
        except OSError:
            return True
        if state.split()[0] == "Z":
            return True
        time.sleep(0.01)
    return False


def test_a_good_end_tells_time_and_memory(tmp_path: Path) -> None:
    ended = run_child(child("time.sleep(0.3)"), tmp_path, LIMITS)
    assert 0.3 <= ended.seconds < 20
    assert 1 < ended.peak_mb < 2000


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        ("os.abort()", "crash", "SIGABRT"),
        ("os.kill(os.getpid(), 9)", "crash", "SIGKILL"),
        ("sys.exit(5)", "crash", "code 5"),
        ("raise ValueError('scale mismatch')", "scale_mismatch", "scale mismatch"),
        ("print('fatal error: out of memory\\n\\nstack'); sys.stdout.flush(); os.abort()",
         "memory", "fatal error: out of memory"),
        ("print('panic: cannot GenModuli: no primes\\nmain()'); sys.stdout.flush(); os.abort()",
         "no_primes", "panic: cannot GenModuli"),
        ("open(sys.argv[1] + '/stages.txt', 'w').write('keys\\nfc1\\n'); os.abort()",
         "crash", "in stage fc1"),
        ("import resource, signal\n"
         "resource.setrlimit(resource.RLIMIT_CPU, (1, 5))\nwhile True: pass",
         "timeout", "SIGXCPU"),
    ],
)  # fmt: skip
def test_every_bad_end_has_a_kind(tmp_path: Path, code: str, kind: str, words: str) -> None:
    found = failure(code, tmp_path)
    assert found.kind == kind
    assert words in found.detail


def test_what_a_child_says_of_itself_counts(tmp_path: Path) -> None:
    code = (
        "from evaluators.fhe.child_process import tell_failure\nfrom pathlib import Path\n"
        "tell_failure(Path(sys.argv[1]), 'depth', 'no limb is left')"
    )
    found = failure(code, tmp_path)
    assert (found.kind, found.detail) == ("depth", "no limb is left (before its first stage)")


def test_a_hang_ends_in_time_with_all_it_forked(tmp_path: Path) -> None:
    code = (
        "pid = os.fork()\nif pid: open(sys.argv[1] + '/pid', 'w').write(str(pid))\ntime.sleep(60)"
    )
    found = failure(code, tmp_path, Limits(seconds=1.0))
    assert found.kind == "timeout"
    assert "1 s" in found.detail
    assert gone(int((tmp_path / "pid").read_text()))


def test_memory_is_watched(tmp_path: Path) -> None:
    found = failure("x = b'1' * 200_000_000\ntime.sleep(20)", tmp_path, Limits(20, 100))
    assert found.kind == "memory"
    assert "allowed are 100 MB" in found.detail


def test_memory_is_refused_by_the_kernel(tmp_path: Path) -> None:
    code = (
        "from evaluators.fhe.child_process import limit_self\n"
        "from evaluators.fhe.backends import Limits\n"
        "limit_self(Limits(20, 100))\nx = b'1' * 200_000_000"
    )
    with pytest.raises(BackendFailure, match="MemoryError"):
        run_child(child(code), tmp_path, LIMITS)


def test_a_stop_is_heard(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="stopped"):
        run_child(child("time.sleep(60)"), tmp_path, LIMITS, should_stop=lambda: True)


def test_a_child_dies_with_whoever_started_it(tmp_path: Path) -> None:
    code = (
        "from evaluators.fhe.child_process import end_with_parent\nend_with_parent()\n"
        "open(sys.argv[1] + '/pid', 'w').write(str(os.getpid()))\ntime.sleep(60)"
    )
    parent = (
        "import sys\nfrom pathlib import Path\nfrom evaluators.fhe.child_process import run_child\n"
        "from evaluators.fhe.backends import Limits\n"
        f"run_child([sys.executable, '-c', {('import os, sys, time' + chr(10) + code)!r}],"
        f" Path({str(tmp_path)!r}), Limits())"
    )
    process = subprocess.Popen([sys.executable, "-c", parent])
    for _ in range(1000):
        if (tmp_path / "pid").exists() and (tmp_path / "pid").read_text():
            break
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert gone(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("scale out of bounds", "scale_mismatch"),
        ("encryption parameters are not set correctly", "no_primes"),
        ("failed to find enough qualifying primes", "no_primes"),
        ("end of modulus switching chain reached", "depth"),
        ("encoded values are too large", "overflow"),
        ("std::bad_alloc", "memory"),
        ("anything else", "crash"),
    ],
)
def test_sayings_have_meanings(message: str, kind: str) -> None:
    assert kind_of(message) == kind


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="needs Linux's /proc")
def test_peak_memory_is_that_of_the_child_alone() -> None:
    child = "from evaluators.fhe.child_process import own_peak_mb; print(own_peak_mb())"
    parent = (
        "import subprocess, sys\nx = b'1' * 400_000_000\n"
        f"subprocess.run([sys.executable, '-c', {child!r}], check=True)"
    )
    told = subprocess.run(
        [sys.executable, "-c", parent], check=True, capture_output=True, text=True
    ).stdout
    assert 5 < float(told) < 300
