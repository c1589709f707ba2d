"""Orion as the user has it though the tests' cache is another; without it, tests are skipped."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from evaluators.fhe.orion.environment import VARIABLE, need_orion
from search.api.errors import MissingExtra


@functools.cache
def _python() -> Path | str:
    """The interpreter the tests use; or why there is none."""
    try:
        return need_orion().python
    except MissingExtra as error:
        return str(error)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs Orion where it is not installed."""
    marked = [item for item in items if item.get_closest_marker("orion")]
    if marked and isinstance(found := _python(), str):
        for item in marked:
            item.add_marker(pytest.mark.skip(reason=found))


@pytest.fixture(autouse=True)
def _found_though_the_cache_moves(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if request.node.get_closest_marker("orion"):
        monkeypatch.setenv(VARIABLE, str(_python()))
