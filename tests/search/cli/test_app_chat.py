"""The options of ``search chat``."""

from __future__ import annotations

from typer.testing import CliRunner

from search.cli.app import app


def test_help_and_wrong_controllers() -> None:
    shown = CliRunner().invoke(app, ["chat", "--help"])
    assert shown.exit_code == 0
    assert "--yes" in shown.output
    assert "/help lists what can be said" in shown.output.replace("\n  ", " ")
    wrong = CliRunner().invoke(
        app, ["chat", "configs/smoke/ckks_digits.yaml", "--controller", "gpt"]
    )
    assert wrong.exit_code == 2
    assert "unknown controller 'gpt' (known: auto, expert" in wrong.output
