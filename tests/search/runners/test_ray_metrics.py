import time
import urllib.request
from pathlib import Path

import pytest

from search.runners.ray_tasks import RayTasks
from search.testing.jobs import ListedJobs, TinyWorker, jobs


def _exported(study: str, wanted: list[str]) -> list[str]:
    """Lines of a study at the endpoint of the driver's node, once all ``wanted`` are there."""
    import ray

    info = ray.init(ignore_reinit_error=True, logging_level="ERROR").address_info
    url = f"http://{info['node_ip_address']}:{info['metrics_export_port']}/metrics"
    lines: list[str] = []
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with urllib.request.urlopen(url, timeout=10) as answer:
            text = answer.read().decode()
        ours = [line for line in text.splitlines() if line.startswith("ray_cipher_search")]
        lines = [line for line in ours if f'"{study}"' in line]
        if all(any(word in line for line in lines) for word in wanted):
            break
        time.sleep(0.3)
    return lines


@pytest.mark.ray
@pytest.mark.usefixtures("two_nodes")
def test_numbers_of_the_study_reach_prometheus(tmp_path: Path) -> None:
    class Metered(ListedJobs):
        def metrics(self) -> dict[str, float]:
            return {"best_latency_2pc": 41.5, "trials_complete": 7.0, "other": 1.0}

    source = Metered(jobs("complete", "raise"))
    RayTasks(slots=1).drain(source, TinyWorker(tmp_path, study_name="metered"))
    # All kinds of lines, and of each the last one pushed.
    lines = _exported("metered", ["_best{", 'status="failed"', "_rung_seconds_count{"])

    def value(*words: str) -> float:
        (line,) = [line for line in lines if all(word in line for word in words)]
        return float(line.rpartition(" ")[2])

    assert value("_best{", 'objective="latency_2pc"') == 41.5
    assert value("_trials{", 'status="complete"') == 7.0
    assert value("_trials{", 'status="failed"') == 1.0
    assert value("_rung_seconds_count{", 'rung="only"') == 1.0
    assert not [line for line in lines if "other" in line]
