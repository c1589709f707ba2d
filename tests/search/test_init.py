"""The package ``search``: public names, loaded when they are used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import search


@pytest.mark.parametrize("name", search.__all__)
def test_public_names_load(name: str) -> None:
    assert getattr(search, name).__name__ == name


def test_unknown_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = search.Nothing


def test_names_are_loaded_on_first_use_only() -> None:
    code = (
        "import sys, search\n"
        "assert 'search.study' not in sys.modules\n"
        "assert search.Metric.__module__ == 'search.api.metric'\n"
        "assert 'search.study' not in sys.modules\n"
        "from search import Study\n"
        "assert 'search.study' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_all_four_packages_say_who_ships_them() -> None:
    import agents
    import evaluators
    import spaces

    assert {p.__dist__ for p in (search, spaces, evaluators, agents)} == {"cipher-search"}
