"""Every example in README.md and docs/ works as it stands."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from search.config import StudySpec

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LANGUAGES = {"", "python", "console", "yaml", "sh", "toml", "text", "json", "mermaid"}

# Runs the blocks of one page in order, in one process, in an empty folder.
DRIVER = """
import contextlib, io, json, shlex, subprocess, sys, traceback
from pathlib import Path

def console(block, page):
    lines = block["text"].splitlines()
    starts = [i for i, line in enumerate(lines) if line.startswith("$ ")]
    for start, end in zip(starts, [*starts[1:], len(lines)]):
        words = shlex.split(lines[start][2:], comments=True)
        if words[0] != "search":
            raise SystemExit(f"{page}:{block['line'] + start}: only `$ search ...` is run")
        done = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True)
        output = done.stdout + done.stderr
        if done.returncode != block["exit_code"]:
            raise SystemExit(f"{page}:{block['line'] + start}: exit {done.returncode}\\n{output}")
        # Lines shown below the command must be in its output; "..." stands for anything.
        squeezed = " ".join(output.split())
        for line in lines[start + 1 : end]:
            for part in line.split("..."):
                if " ".join(part.split()) not in squeezed:
                    raise SystemExit(f"{page}: not in the output: {line!r}\\n{output}")

if __name__ == "__main__":
    page, blocks = json.loads(Path("blocks.json").read_text())
    names = {"__name__": "__main__"}
    for block in blocks:
        if block["file"]:
            Path(block["file"]).write_text(block["text"])
        elif block["language"] == "python":
            code = "\\n" * (block["line"] - 1) + block["text"]
            exec(compile(code, page, "exec"), names)
        else:
            console(block, page)
"""


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_examples_run(page: Path, blocks: Callable[[Path], list[Any]], tmp_path: Path) -> None:
    wanted = [b for b in blocks(page) if b.runs and (b.file or b.language in ("python", "console"))]
    if not wanted:
        pytest.skip("no examples on this page")
    plain = [
        {"language": b.language, "text": b.text, "line": b.line, "file": b.file,
         "exit_code": b.exit_code}
        for b in wanted
    ]  # fmt: skip
    (tmp_path / "blocks.json").write_text(json.dumps([str(page.relative_to(ROOT)), plain]))
    (tmp_path / "driver.py").write_text(DRIVER)
    done = subprocess.run(
        [sys.executable, "driver.py"], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "CIPHER_SEARCH_DEBUG": "0"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_blocks_say_their_language(page: Path, blocks: Callable[[Path], list[Any]]) -> None:
    for block in blocks(page):
        assert block.language in LANGUAGES, f"line {block.line}"
        assert block.runs or len(block.comment) > len("not run: "), "say why it is not run"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_yaml_has_known_sections(page: Path, blocks: Callable[[Path], list[Any]]) -> None:
    for block in blocks(page):
        if block.language == "yaml" and block.runs:
            data = yaml.safe_load(block.text)
            assert set(data) <= set(StudySpec.model_fields), f"line {block.line}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    inside = [t.partition("#")[0] for t in targets if "://" not in t and not t.startswith("#")]
    missing = [t for t in inside if not (page.parent / t).exists()]
    assert not missing


def test_commands_of_the_readme_are_one_line_each(blocks: Callable[[Path], list[Any]]) -> None:
    lines = [b.text.strip() for b in blocks(ROOT / "README.md") if b.text.startswith("./bootstrap")]
    assert len(lines) == 2
    assert all("\n" not in line for line in lines)
    assert "search run configs/polympcnet.yaml" in lines[0]
    assert lines[1].endswith("/pytest")


def test_evidence_is_explained() -> None:
    from search.api.metric import EVIDENCE

    text = (ROOT / "docs/units_and_evidence.md").read_text(encoding="utf-8")
    assert all(f"`{word}`" in text for word in EVIDENCE)
