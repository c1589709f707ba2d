"""YAML is read as plain data, or refused with file, line and path."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.api.errors import ConfigError
from search.yaml_file import MAX_BYTES, parse_scalar, parse_yaml, read_yaml


def test_scalars_follow_yaml_1_2() -> None:
    data = parse_yaml("a: 1e-3\nb: on\nc: 010\nd: 12:30\ne: no\nf: 1_000\ng: ~\nh: .inf\n", "f")
    assert data == {
        "a": 0.001, "b": "on", "c": 10, "d": "12:30", "e": "no", "f": "1_000", "g": None,
        "h": float("inf"),
    }  # fmt: skip


def test_duplicate_key_names_line_and_path() -> None:
    with pytest.raises(ConfigError) as error:
        parse_yaml("a:\n  b: 1\n  b: 2\n", "x.yaml")
    assert error.value.path == "a.b"
    assert error.value.source == "x.yaml:3"


@pytest.mark.parametrize(
    "text",
    [
        "a: !!python/object/apply:os.system ['true']",
        "a: !!python/name:os.system ''",
        "a: !mine 3",
        "a: [1, 2",
        "a: &x [*x]",
        "a: \x00",
        "- just\n- a list",
        "words",
        "{[1]: 2}",
        "? {a: 1}\n: 2",
    ],
)
def test_anything_but_a_plain_mapping_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_yaml(text, "x.yaml")


def test_alias_bomb_is_refused_before_it_expands() -> None:
    levels = ["l0: &l0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 10)}]" for i in range(1, 12)]
    with pytest.raises(ConfigError, match="aliases expand"):
        parse_yaml("\n".join(levels), "bomb.yaml")


def test_small_aliases_are_fine() -> None:
    assert parse_yaml("a: &x {k: 1}\nb: *x\n", "f") == {"a": {"k": 1}, "b": {"k": 1}}


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(ConfigError, match="deep"):
        parse_yaml("a: " + "[" * 500 + "]" * 500, "x.yaml")


def test_file_problems(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        read_yaml(tmp_path / "absent.yaml")
    with pytest.raises(ConfigError, match="directory"):
        read_yaml(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9\n")
    with pytest.raises(ConfigError, match="UTF-8"):
        read_yaml(tmp_path / "latin.yaml")
    (tmp_path / "big.yaml").write_bytes(b"a: 1\n" + b"#" * MAX_BYTES)
    with pytest.raises(ConfigError, match="too large"):
        read_yaml(tmp_path / "big.yaml")
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    with pytest.raises(ConfigError, match="empty"):
        read_yaml(tmp_path / "empty.yaml")


def test_parse_scalar_reads_values_of_overrides() -> None:
    assert parse_scalar("1e-2") == 0.01
    assert parse_scalar("[1, 2]") == [1, 2]
    assert parse_scalar("words") == "words"
