"""What ``search export`` writes of a family of EVE besides weights and facts: a program in C."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluators.device.export.runnable import IMAGES, write_runnable
from evaluators.device.integer_family import IntegerOptions, family_for
from search.api.candidate import Candidate
from search.api.errors import ConfigError, EvaluationError
from search.api.exporting import Exported
from spaces.eve.family import ModeFamily, ModePlan

if TYPE_CHECKING:
    from torch import nn

DEVICE = "device"
_WHAT = "C arrays of all modes and a portable runner: `make check`"
_USAGE = """\
Every mode in the device's integers, in C99, without PyTorch and without cipher-search:

```sh
cd device
make check                 # shipped samples, every mode, bit for bit
./eve 1 < sample.txt       # mode 1 is the sparsest
```"""


class EveExport:
    """Families of EVE: weights once, levels, schedules and a runner in C99."""

    def network(self, workload: Any, payload: Any, weights: Path) -> nn.Module:
        """The float network of one mode, in evaluation mode.

        Raises:
            ConfigError: the payload is a family, or no mode of one.
            EvaluationError: the weights do not fit.
        """
        from search.workloads.plan import network_of

        if isinstance(payload, Mapping) and "members" in payload:
            raise ConfigError("the payload is a family of modes (expected one of its members)")
        return network_of(workload, ModePlan.decode(payload), weights)

    def export(
        self, candidate: Candidate[Any], workload: Any, spec: Mapping[str, Any], directory: Path
    ) -> Exported:
        """See :class:`search.api.exporting.Exporter`.

        Raises:
            ConfigError: the payload is no family of modes.
        """
        family = ModeFamily.decode(candidate.payload)
        try:
            if workload is None or not hasattr(workload, "build"):
                raise EvaluationError("the study has no network")
            if candidate.weights is None:
                raise EvaluationError("the trial trained no weights")
            integers = family_for(workload, family, candidate.weights, options_of(spec))
            images = workload.data.validation.x[:IMAGES]
            write_runnable(directory / DEVICE, integers, images, workload.data)
        except EvaluationError as error:
            return Exported({}, {DEVICE: str(error)})
        return Exported({DEVICE: _WHAT}, usage=_USAGE)


def options_of(spec: Mapping[str, Any]) -> IntegerOptions:
    """How the study's ``integer_accuracy`` made integers, so that the export is what it measured.

    The defaults where the study has none; of several the one of the highest rung.
    """
    for rung in reversed(spec.get("ladder") or ()):
        for entry in _evaluators(rung.get("evaluators") or ()):
            if entry.get("name") == "integer_accuracy":
                known = IntegerOptions.model_fields
                return IntegerOptions(**{k: v for k, v in entry.items() if k in known})
    return IntegerOptions()


def _evaluators(entries: Any) -> Iterator[Mapping[str, Any]]:
    """Evaluators of a rung, and those inside ``members``."""
    for entry in entries:
        if isinstance(entry, Mapping):
            yield entry
            yield from _evaluators(entry.get("of") or ())
