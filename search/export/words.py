"""The README and the loading script of an exported trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

_WHAT = {
    "plan.json": "what was chosen, site by site",
    "facts.json": "every measurement with unit and evidence, versions, checksums",
    "weights.safetensors": "trained weights (safetensors)",
    "program.pt2": "the network as a program of torch.export; runs with PyTorch alone",
    "model.onnx": "the network as ONNX",
    "load.py": "how to load them",
    "README.md": "this file",
}


def readme(
    facts: Mapping[str, Any],
    files: Sequence[str],
    more: Mapping[str, str] = MappingProxyType({}),
    usage: str = "",
) -> str:
    """The README as Markdown.

    Args:
        facts: as in ``facts.json``.
        files: what was written, by path below the folder.
        more: file or folder among them -> what it is, for those that only some kinds have.
        usage: how to use these.
    """
    what = {**_WHAT, **more}
    shown = [next((n for n in more if f"{name}/".startswith(f"{n}/")), name) for name in files]
    parts = [
        f"# Trial {facts['trial']} of {facts['study']}",
        f"Exported by {facts['versions']['exported by']}; study digest "
        f"`{facts['study_digest']}`, arm {facts['arm']}.",
        "## Measurements",
        _measurements(facts["measurements"]),
        "`evidence` says where a number comes from: `measured` (run for real), `simulated`, "
        "`model` (a formula and constants, never measured here) or `bound`.",
        "## Files",
        "\n".join(f"- `{name}`: {what.get(name, 'weights of a member')}"
                  for name in dict.fromkeys([*shown, "README.md", "facts.json"])),
    ]  # fmt: skip
    if facts["left_out"]:
        lines = [f"- `{name}`: {why}" for name, why in facts["left_out"].items()]
        parts += ["## Left out", "\n".join(lines)]
    if facts["workload"] is not None:
        parts += ["## Inputs", _inputs(facts["workload"])]
    if "program.pt2" in files:
        parts += ["## Use", _USE]
    if usage:
        parts.append(usage)
    if facts.get("members"):
        parts += ["## Members", _members_use(facts["members"])]
    return "\n\n".join(parts) + "\n"


def load_script(with_program: bool, members: int = 0) -> str:
    """``load.py``: standard library, torch, and cipher-search only where it is needed.

    Args:
        with_program: whether there is a ``program.pt2``.
        members: networks in the set; 0 for a single network.
    """
    program = _SCRIPT_PROGRAM if with_program else ""
    set_of = _SCRIPT_MEMBERS.format(count=members) if members else ""
    return _SCRIPT_HEAD + program + set_of + (_SCRIPT_TAIL_MEMBERS if members else _SCRIPT_TAIL)


def _members_use(count: int) -> str:
    return (
        f"`weights.safetensors` holds {count} networks that share their weights; member 1 is the "
        "sparsest and the cheapest. Each comes out as an ordinary network:\n\n"
        "```python\nfrom search.export import load_network\n\n"
        'network = load_network(".", member=1)\nlogits = network(images)\n```'
    )


def _measurements(found: Sequence[Mapping[str, Any]]) -> str:
    if not found:
        return "None."
    lines = ["| metric | value | unit | evidence | rung | split |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {m['metric']} | {m['value']:.6g} | {_unit(m)} | {m['evidence']} | {m['fidelity']} "
        f"| {m['split']} |"
        for m in found
    ]
    return "\n".join(lines)


def _unit(measurement: Mapping[str, Any]) -> str:
    """The unit for people: ``1`` stands for a plain number."""
    return "" if measurement["unit"] == "1" else str(measurement["unit"])


def _inputs(workload: Mapping[str, Any]) -> str:
    shape = ", ".join(map(str, workload["input_shape"]))
    text = f"float32 `[n, {shape}]`; outputs are `[n, {workload['classes']}]` logits."
    if "mean" in workload:
        text += (
            f" Images are normalised: subtract the mean {workload['mean']} and divide by the "
            f"standard deviation {workload['std']}, channel by channel."
        )
    return text


_USE = """```python
import torch

network = torch.export.load("program.pt2").module()
logits = network(images)  # float32, normalised as above
```"""

_SCRIPT_HEAD = '''"""Load this artefact. `python load.py` loads it once and says what it found."""

from __future__ import annotations

import json
from pathlib import Path

HERE = Path(__file__).resolve().parent


def load_plan():
    """What was chosen, as plain data."""
    return json.loads((HERE / "plan.json").read_text(encoding="utf-8"))


def load_facts():
    """Measurements with unit and evidence, versions, checksums."""
    return json.loads((HERE / "facts.json").read_text(encoding="utf-8"))

'''

_SCRIPT_PROGRAM = '''
def load_program():
    """The network as a program: needs PyTorch alone, runs in evaluation mode on the CPU."""
    import torch

    return torch.export.load(HERE / "program.pt2").module()


def load_network():
    """The network as a module, to train on or to take apart: needs cipher-search."""
    from search.export import load_network

    return load_network(HERE)

'''

_SCRIPT_MEMBERS = '''
MEMBERS = {count}


def load_network(member):
    """Member 1 (sparsest) to MEMBERS, as an ordinary module: needs cipher-search."""
    from search.export import load_network

    return load_network(HERE, member)

'''

_SCRIPT_TAIL_MEMBERS = """
if __name__ == "__main__":
    import torch

    facts = load_facts()
    print(f"trial {facts['trial']} of {facts['study']}: {MEMBERS} networks in one file")
    shape = facts["workload"]["input_shape"]
    for member in range(1, MEMBERS + 1):
        with torch.no_grad():
            logits = load_network(member)(torch.zeros(1, *shape))
        print(f"  member {member}, output for one zero image:", logits.tolist())
"""

_SCRIPT_TAIL = """
if __name__ == "__main__":
    facts = load_facts()
    print(f"trial {facts['trial']} of {facts['study']}")
    for m in facts["measurements"]:
        unit = "" if m["unit"] == "1" else " " + m["unit"]
        print(f"  {m['metric']}: {m['value']:.6g}{unit} ({m['evidence']})")
    if (HERE / "program.pt2").exists():
        import torch

        shape = facts["workload"]["input_shape"]
        print("  output for one zero image:", load_program()(torch.zeros(1, *shape)).tolist())
"""
