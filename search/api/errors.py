"""Everything the project raises on purpose. One base class, a few cases, each with a where."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from search.api.candidate import Violation


class SearchError(Exception):
    """Base of all errors meant for people; shown as one message without a traceback."""

    exit_code = 1


class PlacedError(SearchError):
    """Something is wrong at a place of a configuration.

    Args:
        message: what is wrong (got X; expected Y), with a hint if there is one.
        path: dotted YAML path such as ``ladder[0].evaluators[1].name``; empty for the whole file.
        source: file name, or a word for where the configuration came from.
    """

    exit_code = 2

    def __init__(self, message: str, *, path: str = "", source: str = "") -> None:
        self.message, self.path, self.source = message, path, source
        super().__init__(": ".join(part for part in (source, path, message) if part))

    def within(self, path: str = "", source: str = "") -> Self:
        """The same error as seen from outside: ``path`` comes before its own path."""
        whole = ".".join(part for part in (path, self.path) if part)
        return type(self)(self.message, path=whole, source=source or self.source)


class ConfigError(PlacedError):
    """A configuration is wrong."""


class PluginError(SearchError):
    """A plugin is unknown, registered twice, fails to load, or breaks its protocol."""

    exit_code = 2


class MissingExtra(PlacedError, PluginError):
    """An optional dependency is not installed; the message names the command that installs it."""


class InfeasibleCandidate(SearchError):
    """A point cannot be built. A result, not a failure: the trial is marked infeasible."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        self.violations = tuple(violations)
        super().__init__("; ".join(f"{v.rule}: {v.detail}" for v in self.violations))

    def __reduce__(self) -> tuple[type[InfeasibleCandidate], tuple[tuple[Violation, ...]]]:
        """Pickle by violations: exceptions cross processes, and the message alone is not enough."""
        return type(self), (self.violations,)


class EvaluationError(SearchError):
    """An evaluator or a method failed for one candidate; its trial fails, the study goes on."""


class StoreError(SearchError):
    """A run directory or a database cannot be opened, read or written."""


class BudgetExceeded(SearchError):
    """A hard limit of the study was reached while work was under way."""


class TooManyFailures(SearchError):
    """The study was stopped since ``max_failures`` trials failed in a row."""

    exit_code = 3
