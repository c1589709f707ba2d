"""What docs/ray.md shows is what the runners take and give."""

import re
from pathlib import Path

import yaml

from search.config import Plugin, plugin_options
from search.registry import load

PAGE = Path(__file__).parents[3] / "docs" / "ray.md"


def test_its_options_exist() -> None:
    text = PAGE.read_text(encoding="utf-8")
    sections = [
        yaml.safe_load(block)["runner"] for block in re.findall(r"```yaml\n(.*?)```", text, re.S)
    ]
    assert len(sections) >= 4
    for section in sections:
        plugin = Plugin.model_validate(Plugin.read(section))
        options = plugin_options("runner", plugin, "runner")
        load("runner", plugin.name).from_config(options, None)


def test_its_metrics_exist() -> None:
    from search.runners import ray_metrics

    shown = set(re.findall(r"`ray_(cipher_search_\w+)`", PAGE.read_text(encoding="utf-8")))
    assert shown == set(re.findall(r"``(cipher_search_\w+)``", ray_metrics.__doc__ or ""))
    assert shown == {f"cipher_search_{kind}" for kind in (*ray_metrics._GAUGES, "rung_seconds")}
