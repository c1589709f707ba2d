"""The contract of those who write a candidate in the forms that others run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from search.api.candidate import Candidate


@dataclass(frozen=True)
class Exported:
    """What an exporter wrote.

    Args:
        files: path below the folder, of a file or of a folder of files -> what it is, one line.
        left_out: what could not be written -> why, one sentence.
        usage: how to use it, as Markdown for the README.
    """

    files: Mapping[str, str]
    left_out: Mapping[str, str] = field(default_factory=dict)
    usage: str = ""


class Exporter(Protocol):
    """Writes candidates of one kind; its plugin name is that kind (``Candidate.kind``).

    What every trial has (weights, plan, facts) is written without it.
    """

    def network(self, workload: Any, payload: Any, weights: Path) -> Any:
        """The trained ``torch.nn.Module`` of a candidate, in evaluation mode, on the CPU.

        Args:
            workload: builds the network.
            payload: of the candidate, as JSON data.
            weights: of the candidate.

        Raises:
            ConfigError: the payload is no single network.
            EvaluationError: the weights do not fit.
        """
        ...

    def export(
        self, candidate: Candidate[Any], workload: Any, spec: Mapping[str, Any], directory: Path
    ) -> Exported:
        """Write files into ``directory``, which holds none of these names.

        Args:
            candidate: its payload as JSON data; its weights are a file, or None.
            workload: of the study, or None without one.
            spec: the study's normalised specification (plain YAML data).
            directory: of the exported trial.

        Raises:
            ConfigError: the payload is not of this kind.
        """
        ...


@runtime_checkable
class SharesWeights(Protocol):
    """A method whose candidates all have the same weights, kept outside of the trials."""

    def shared_weights(self) -> Path | None:
        """The file, named as in the candidates; None if it is not there (any more)."""
        ...
