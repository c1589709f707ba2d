"""What ``search export`` writes of a pruned network besides weights and facts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluators.pruning.layer_files import LOADER, SPARSE, TABLE, write_layers
from search.api.candidate import Candidate
from search.api.errors import EvaluationError
from search.api.exporting import Exported
from spaces.pruning.plan import PruningPlan

if TYPE_CHECKING:
    from torch import fx, nn

SMALL, PROGRAM, ONNX = "small", "program.pt2", "model.onnx"
_WHAT = {
    SMALL: "the really smaller network, channels that zeros leave unused removed: torch.export "
    "and ONNX",
    SPARSE: "the weights without their zeros: positions, and values or codes of levels",
    LOADER: "reads it with numpy and safetensors alone",
    TABLE: "layer by layer: what is kept, zeros, bits, bytes, filters that are removed",
}
_USAGE = """\
`small/` gives the outputs of the whole network with fewer channels. The pruned weights in the
network's own shapes, zeros put back:

```sh
pip install numpy safetensors
python load_sparse.py sparse.safetensors dense.safetensors
```"""


class PruningExport:
    """Pruned networks: smaller network, sparse weights, table of layers."""

    def network(self, workload: Any, payload: Any, weights: Path) -> nn.Module:
        """The workload's network with the pruned weights, zeros included, in evaluation mode.

        Raises:
            ConfigError: the payload is no pruning plan.
            EvaluationError: the weights do not fit.
        """
        from search.workloads.plan import network_of

        return network_of(workload, PruningPlan.decode(payload), weights)

    def export(
        self, candidate: Candidate[Any], workload: Any, spec: Mapping[str, Any], directory: Path
    ) -> Exported:
        """See :class:`search.api.exporting.Exporter`.

        Raises:
            ConfigError: the payload is no pruning plan.
        """
        plan = PruningPlan.decode(candidate.payload)
        try:
            network = self._trained(candidate, workload)
        except EvaluationError as error:
            return Exported({}, dict.fromkeys(_WHAT, str(error)))
        left_out: dict[str, str] = {}
        written = _small(network, tuple(workload.input_shape), directory / SMALL, left_out)
        left_out |= write_layers(network, plan, tuple(workload.input_shape), directory)
        written += [SPARSE, LOADER, TABLE]
        return Exported({name: _WHAT[name] for name in written}, left_out, _USAGE)

    def _trained(self, candidate: Candidate[Any], workload: Any) -> fx.GraphModule:
        if workload is None or not hasattr(workload, "build"):
            raise EvaluationError("the study has no network")
        if candidate.weights is None:
            raise EvaluationError("the trial trained no weights")
        network: Any = self.network(workload, candidate.payload, candidate.weights)
        return network  # type: ignore[no-any-return]


def _small(
    network: fx.GraphModule, shape: tuple[int, ...], folder: Path, left_out: dict[str, str]
) -> list[str]:
    """Programs of the smaller network; the folder if at least one could be written."""
    from search.workloads.program import write_onnx, write_program
    from search.workloads.pruning.shrink import shrink

    small = shrink(network, shape)
    folder.mkdir()
    for name, write in ((PROGRAM, write_program), (ONNX, write_onnx)):
        try:
            write(small, shape, folder / name)
        except EvaluationError as error:
            left_out[f"{SMALL}/{name}"] = str(error)
    if any(folder.iterdir()):
        return [SMALL]
    folder.rmdir()
    return []
