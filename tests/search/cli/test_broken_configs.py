"""Broken configurations: exit code 2, one message with file and path, nothing started, quick."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml


@dataclass(frozen=True)
class Broken:
    """A broken file: its content, and what the message must contain."""

    content: bytes | Callable[[dict[str, Any]], Any]
    where: str
    what: str


def put(path: str, value: Any) -> Callable[[dict[str, Any]], Any]:
    """Set one key of the good configuration; ``a.0.b`` goes through lists."""

    def change(data: dict[str, Any]) -> Any:
        *way, last = path.split(".")
        target: Any = data
        for key in way:
            inner = isinstance(target, list)
            target = target[int(key)] if inner else target.setdefault(key, {})
        target[int(last) if isinstance(target, list) else last] = value
        return data

    return change


def drop(key: str) -> Callable[[dict[str, Any]], Any]:
    def change(data: dict[str, Any]) -> Any:
        del data[key]
        return data

    return change


def text(content: str) -> bytes:
    return content.encode()


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9)
)

CASES: dict[str, Broken] = {
    # unknown keys, at every level
    "unknown section": Broken(put("objectivs", ["error"]), "objectivs", "mean 'objectives'"),
    "unknown key of study": Broken(put("study.sed", 1), "study.sed", "Did you mean 'seed'"),
    "unknown key of budget": Broken(put("budget.trails", 9), "budget.trails", "'trials'"),
    "unknown key of rung": Broken(put("ladder.0.gate", []), "ladder[0].gate", "'gates'"),
    "unknown option of space": Broken(put("space.parms", {}), "space.parms", "'params'"),
    "unknown option of evaluator": Broken(
        put("ladder.0.evaluators.0", {"name": "hills", "slep": 1}),
        "ladder[0].evaluators[0].slep",
        "'sleep'",
    ),
    "unknown option of searcher": Broken(
        put("searcher", {"name": "random", "n_startup": 3}), "searcher.n_startup", "unknown key"
    ),
    "unknown option of runner": Broken(
        put("runner", {"name": "process", "slot": 3}), "runner.slot", "'slots'"
    ),
    "unknown option of method": Broken(
        put("method", {"name": "direct", "epochs": 3}), "method.epochs", "unknown key"
    ),
    "unknown key of a parameter": Broken(
        put("space.params.x", {"real": [0, 1], "logg": True}), "space.params.x", "logg"
    ),
    "unknown key of a baseline": Broken(
        put("baselines", {"b": {"sercher": "random"}}), "baselines.b.sercher", "'searcher'"
    ),
    "unknown parameter narrowed": Broken(put("params", {"z": 1}), "params.z", "known: kind, x"),
    "unknown option of network": Broken(
        put("workload", {"name": "image_classification", "data": "fashion_mini",
                         "network": {"name": "lenet5", "widht": 3}}),
        "workload.network", "widht",
    ),
    # names
    "unknown evaluator": Broken(
        put("ladder.0.evaluators.0", "hils"), "ladder[0].evaluators[0]", "Did you mean 'hills'"
    ),
    "unknown searcher": Broken(put("searcher", "tpee"), "searcher", "Did you mean 'tpe'"),
    "unknown space": Broken(put("space", "relu_plcement"), "space", "'relu_placement'"),
    "unknown method": Broken(put("method", "pasnet"), "method", "unknown method 'pasnet'"),
    "unknown runner": Broken(put("runner", "ray"), "runner", "unknown runner 'ray'"),
    "unknown workload": Broken(put("workload", "images"), "workload", "unknown workload"),
    "unknown dataset": Broken(
        put("workload", {"name": "image_classification", "data": "mnist", "network": "lenet5"}),
        "workload.data", "unknown dataset 'mnist'",
    ),
    "an import path in place of a name": Broken(
        put("method", "os:system"), "method", "unknown method 'os:system'"
    ),
    # metrics, units, bounds
    "objective that is not measured": Broken(
        put("objectives", ["accuracy"]), "objectives[0]", "not measured at the top rung"
    ),
    "objective twice": Broken(put("objectives", ["error", "error"]), "objectives[1]", "twice"),
    "no objective": Broken(put("objectives", []), "objectives", "at least 1"),
    "constraint in a wrong unit": Broken(
        put("constraints", ["delay <= 5 MB"]), "constraints[0]", "measured in 'ms'"
    ),
    "constraint without unit": Broken(
        put("constraints", ["delay <= 5"]), "constraints[0]", "no unit"
    ),
    "constraint that cannot be read": Broken(
        put("constraints", ["delay < 5 ms"]), "constraints[0]", "cannot read"
    ),
    "constraint on nothing measured": Broken(
        put("constraints", ["energy <= 5 J"]), "constraints[0]", "not measured"
    ),
    "gate in a wrong unit": Broken(
        put("ladder.0.gates", ["error <= 5 ms"]), "ladder[0].gates[0]", "measured in '%'"
    ),
    "known rule on no parameter": Broken(put("known", ["y <= 3"]), "known", "y"),
    # types and budgets
    "seed is text": Broken(put("study.seed", "seven"), "study.seed", "'seven'"),
    "seed is a fraction": Broken(put("study.seed", 1.5), "study.seed", "1.5"),
    "no trials": Broken(put("budget.trials", 0), "budget.trials", "greater than or equal to 1"),
    "negative epochs": Broken(
        put("ladder.0.budget.epochs", -1), "ladder[0].budget", "at least 0"
    ),
    "infinite epochs": Broken(
        put("ladder.0.budget.epochs", float("inf")), "ladder[0].budget", "finite"
    ),
    "wall clock without unit": Broken(
        put("budget.wall_clock", 10), "budget.wall_clock", "with its unit"
    ),
    "wall clock of nothing": Broken(
        put("budget.wall_clock", "0 s"), "budget.wall_clock", "with its unit"
    ),
    "section of the wrong type": Broken(put("ladder", "full"), "ladder", "'full'"),
    "empty ladder": Broken(put("ladder", []), "ladder", "at least 1"),
    "rung twice": Broken(
        lambda d: {**d, "ladder": [d["ladder"][0], copy.deepcopy(d["ladder"][0])]},
        "ladder[1]",
        "twice",
    ),
    "section missing": Broken(drop("space"), "space", "required"),
    "domain upside down": Broken(
        put("space.params.x", {"real": [1, 0]}), "space.params.x", "low must not exceed high"
    ),
    "domain of an unknown kind": Broken(
        put("space.params.x", {"float": [0, 1]}), "space.params.x", "float"
    ),
    "name that is a path": Broken(put("study.name", "../../etc"), "study.name", "pattern"),
    "storage of an unknown kind": Broken(
        put("study.storage", "mysql://u:secret@h/d"), "study.storage", "got 'mysql'"
    ),
    "baseline called main": Broken(put("baselines", {"main": {}}), "baselines.main", "not 'main'"),
    # the file itself
    "empty file": Broken(b"", "", "file is empty"),
    "a list at the top": Broken(b"- a\n- b\n", "", "expected a mapping at the top"),
    "duplicate key": Broken(
        text("study: {name: a}\nstudy: {name: b}\n"), "study", "stands twice"
    ),
    "duplicate key inside": Broken(
        text("study:\n  name: a\n  seed: 1\n  seed: 2\n"), "study.seed", "stands twice"
    ),
    "not YAML": Broken(b"study: [1, 2\nspace: }\n", "", "not valid YAML"),
    "tab for indentation": Broken(b"study:\n\tname: a\n", "", "not valid YAML"),
    "python object tag": Broken(
        text("study: !!python/object/apply:os.system ['touch hacked']\n"), "", "only plain values"
    ),
    "python name tag": Broken(text("study: !!python/name:os.system\n"), "", "only plain values"),
    "unknown tag": Broken(text("study: !include other.yaml\n"), "", "only plain values"),
    "YAML bomb": Broken(text(BOMB), "", "too many values"),
    "alias that contains itself": Broken(text("study: &a {name: *a}\n"), "study", "itself"),
    "not UTF-8": Broken("study: {name: café}".encode("latin-1"), "", "not UTF-8"),
    "UTF-16": Broken("study: {name: a}".encode("utf-16"), "", "not UTF-8"),
    "NUL bytes": Broken(b"study: {name: a\x00}\n", "", "not valid YAML"),
    "10 MB": Broken(b"# padding\n" * 1_048_576, "", "file is too large"),
    "nested too deeply": Broken(b"a: " + b"[" * 2000 + b"]" * 2000, "", "nested too deeply"),
    "a million brackets": Broken(b"[" * 200_000, "", ""),
    "a number of a million digits": Broken(
        b"study: {name: a, seed: " + b"9" * 200_000 + b"}\n", "", ""
    ),
}  # fmt: skip


def base() -> dict[str, Any]:
    """The good configuration (as in conftest, which is no module to import from)."""
    return {
        "study": {"name": "tiny", "seed": 1},
        "space": {
            "name": "parameters",
            "params": {"x": {"real": [0, 1]}, "kind": {"choice": ["a", "b"]}},
        },
        "objectives": ["error", "delay"],
        "ladder": [{"rung": "full", "budget": {"epochs": 1}, "evaluators": ["hills"]}],
        "searcher": "random",
        "budget": {"trials": 4},
    }


def content_of(case: Broken) -> bytes:
    if isinstance(case.content, bytes):
        return case.content
    return yaml.safe_dump(case.content(base()), sort_keys=False).encode()


def check_failure(case: Broken, code: int, out: str, err: str, file: str) -> None:
    assert code == 2, err
    assert out == ""
    assert err.startswith(f"error: {file}"), err
    assert case.where in err
    assert case.what in err
    assert "Traceback" not in err
    assert "secret" not in err
    assert len(err.strip().splitlines()) == 1
    assert len(err) < 700


def test_the_base_is_good(shell: Any) -> None:
    shell.write(base())
    assert shell.run("check", shell.config, "--plugin", shell.plugin).exit_code == 0


@pytest.mark.parametrize("command", ["run", "check"])
@pytest.mark.parametrize("name", CASES)
def test_broken(shell: Any, name: str, command: str) -> None:
    shell.config.write_bytes(content_of(CASES[name]))
    result = shell.run(command, shell.config, "--plugin", shell.plugin)
    check_failure(CASES[name], result.exit_code, result.stdout, result.stderr, str(shell.config))
    assert sorted(p.name for p in shell.folder.iterdir() if p.name != "__pycache__") == [
        "plug.py",
        "tiny.yaml",
    ]


@pytest.mark.parametrize(
    "name", ["unknown key of study", "constraint in a wrong unit", "YAML bomb", "python object tag"]
)
def test_broken_in_a_process_of_its_own(shell: Any, name: str) -> None:
    shell.config.write_bytes(content_of(CASES[name]))
    code, out, err = shell.call("run", "tiny.yaml", "--plugin", "plug.py")
    check_failure(CASES[name], code, out, err, "tiny.yaml")
    assert not (shell.folder / "runs").exists()
    assert not (shell.folder / "hacked").exists()


@pytest.mark.parametrize("command", ["run", "check"])
def test_files_that_are_no_files(shell: Any, command: str) -> None:
    for name, what in [("missing.yaml", "no such file"), (".", "is a directory")]:
        result = shell.run(command, name)
        assert result.exit_code == 2
        assert result.stderr == f"error: {name}: {what}{result.stderr.partition(what)[2]}"
    secret = Path("unreadable.yaml")
    secret.symlink_to("unreadable.yaml")
    result = shell.run(command, secret)
    assert result.exit_code == 2
    assert "cannot be read" in result.stderr


@pytest.mark.parametrize(
    ("word", "where"),
    [
        ("budget.trials", "--set: expected path=value"),
        ("=3", "--set: expected path=value"),
        ("study.name.deep=3", "study.name"),
        ("ladder[7].rung=x", "--set: ladder[7].rung: no entry"),
        ("budget.trials=many", "budget.trials"),
        ("budget.trials=[", "--set"),
        ("budget.trials=!!python/name:os.system", "--set"),
        ("study.sed=3", "study.sed: unknown key"),
    ],
)
def test_broken_overrides(shell: Any, word: str, where: str) -> None:
    result = shell.run("run", shell.config, "--plugin", shell.plugin, "--set", word)
    assert result.exit_code == 2
    assert where in result.stderr
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("source", "what"),
    [
        (None, "no such file"),
        ("def broken(", "SyntaxError"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import no_such_module_anywhere", "no_such_module_anywhere"),
        ("from search import register\n@register('evaluatr', 'x')\nclass X: ...", "evaluatr"),
        ("from search import register\n@register('evaluator', 'accuracy')\nclass X: ...", "taken"),
    ],
)
def test_broken_plugin_files(shell: Any, source: str | None, what: str) -> None:
    file = Path("mine.py")
    if source is not None:
        file.write_text(source)
    result = shell.run("run", shell.config, "--plugin", file)
    assert result.exit_code == 2
    assert what in result.stderr
    assert "Traceback" not in result.stderr
    assert not Path("runs").exists()
