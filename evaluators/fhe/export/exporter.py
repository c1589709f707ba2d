"""What ``search export`` writes of a CKKS configuration besides weights and facts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluators.fhe.failures import BackendFailure
from search.api.candidate import Candidate
from search.api.errors import ConfigError, EvaluationError
from search.api.exporting import Exported
from spaces.ckks.params import CkksParams
from spaces.ckks.security import Security

if TYPE_CHECKING:
    from torch import nn

    from evaluators.fhe.packed import PackedNetwork

PARAMETERS, CONTEXT, DATA = "parameters.json", "tenseal_context.py", "tenseal_context.json"
ORION, RUNNABLE = "orion.yaml", "encrypted"
_WHAT = {
    PARAMETERS: "the configuration: every prime, security, levels, packing layer by layer",
    CONTEXT: "makes the context in TenSEAL, low-level with the exact primes, and high-level",
    DATA: "the same as data",
    ORION: "the configuration for Orion",
    RUNNABLE: "runs encrypted inference with numpy and tenseal alone: `python infer.py --sample`",
}
_USAGE = """\
Encrypted, each start with fresh keys, without PyTorch and without cipher-search:

```sh
pip install numpy tenseal
python encrypted/infer.py --sample      # shipped samples: class, latency, agreement
python encrypted/infer.py image.npy     # your own input, normalised as above
```"""


class CkksExport:
    """CKKS configurations: parameters for TenSEAL and Orion, and a folder that runs encrypted."""

    def network(self, workload: Any, payload: Any, weights: Path) -> nn.Module:
        """The network as trained, with its own activations, in evaluation mode.

        Raises:
            EvaluationError: the weights do not fit.
        """
        from search.workloads.plan import load_weights

        CkksParams.decode(payload)
        network: nn.Module = load_weights(workload.build(0), weights).eval()
        return network

    def export(
        self, candidate: Candidate[Any], workload: Any, spec: Mapping[str, Any], directory: Path
    ) -> Exported:
        """See :class:`search.api.exporting.Exporter`.

        Raises:
            ConfigError: the payload is no CKKS configuration.
        """
        params = CkksParams.decode(candidate.payload)
        left_out: dict[str, str] = {}
        packed = _packed(candidate, params, workload, spec, left_out)
        try:
            written = _parameters(params, packed, spec, directory)
        except EvaluationError as error:
            left_out[f"{PARAMETERS}: levels and packing"], packed = str(error), None
            written = _parameters(params, None, spec, directory)
        written += _orion(params, directory, left_out)
        written += _seal(params, packed, workload, directory, left_out)
        usage = _USAGE if RUNNABLE in written else ""
        return Exported({name: _WHAT[name] for name in written}, left_out, usage)


def _packed(
    candidate: Candidate[Any],
    params: CkksParams,
    workload: Any,
    spec: Mapping[str, Any],
    left_out: dict[str, str],
) -> PackedNetwork | None:
    """The network in slots, as the study's encrypted runs had it; None where it cannot be had."""
    from evaluators.fhe.calibration import find_times
    from evaluators.fhe.network import graph_for
    from evaluators.fhe.packing import pack

    known: Candidate[Any] = Candidate(candidate.kind, params, candidate.weights)
    try:
        if workload is None or not hasattr(workload, "build"):
            raise EvaluationError("the study has no network")
        graph = graph_for(known, workload, "export")
        return pack(graph, params.slots, params, find_times(_times(spec)))
    except (ConfigError, EvaluationError) as error:
        left_out[f"{PARAMETERS}: levels and packing"] = str(error)
        return None


def _parameters(
    params: CkksParams, packed: PackedNetwork | None, spec: Mapping[str, Any], directory: Path
) -> list[str]:
    from evaluators.fhe.export.parameters import parameters, plan

    data = parameters(params, _security(spec))
    if packed is not None:
        data["plan"] = plan(packed, params)
    return _write(directory / PARAMETERS, json.dumps(data, indent=1) + "\n")


def _orion(params: CkksParams, directory: Path, left_out: dict[str, str]) -> list[str]:
    from evaluators.fhe.export.orion_yaml import orion_yaml

    try:
        return _write(directory / ORION, orion_yaml(params))
    except BackendFailure as error:
        left_out[ORION] = str(error)
        return []


def _seal(
    params: CkksParams,
    packed: PackedNetwork | None,
    workload: Any,
    directory: Path,
    left_out: dict[str, str],
) -> list[str]:
    """What runs on SEAL; nothing of it if SEAL does not take ``params``."""
    from evaluators.fhe.export.tenseal_context import context_data, context_script
    from evaluators.fhe.seal.program import rotations
    from evaluators.fhe.seal.run import CAPABILITIES

    lacking = CAPABILITIES.lacks(params)
    if lacking:
        left_out.update(dict.fromkeys((CONTEXT, DATA, RUNNABLE), f"SEAL has no {lacking}"))
        return []
    steps, relinearise = None, None
    if packed is not None:
        steps = rotations(packed)
        relinearise = any(n.kind in ("square", "polynomial") for n in packed.graph.nodes)
    data = context_data(params, steps, relinearise)
    written = _write(directory / DATA, json.dumps(data, indent=1) + "\n")
    written += _write(directory / CONTEXT, context_script(params, steps, relinearise))
    if packed is None:
        left_out[RUNNABLE] = left_out[f"{PARAMETERS}: levels and packing"]
        return written
    return written + _runnable(params, packed, workload, directory, left_out)


def _runnable(
    params: CkksParams,
    packed: PackedNetwork,
    workload: Any,
    directory: Path,
    left_out: dict[str, str],
) -> list[str]:
    from evaluators.fhe.export.runnable import write_runnable

    try:
        write_runnable(directory / RUNNABLE, packed, params, workload)
    except BackendFailure as error:
        left_out[RUNNABLE] = str(error)
        return []
    return [RUNNABLE]


def _security(spec: Mapping[str, Any]) -> Security:
    """What the study's space demands; the default where it is another one."""
    space = spec.get("space")
    options = space.get("security") if isinstance(space, Mapping) else None
    return Security(**options) if isinstance(options, Mapping) else Security()


def _times(spec: Mapping[str, Any]) -> str:
    """Whose operation times chose the layouts of the highest rung."""
    for rung in reversed(spec.get("ladder") or ()):
        for evaluator in rung.get("evaluators") or ():
            if isinstance(evaluator, Mapping) and str(evaluator.get("name")).startswith("ckks_"):
                times = evaluator.get("times")
                if times is not None:
                    return str(times)
    return "auto"


def _write(file: Path, text: str) -> list[str]:
    file.write_text(text, encoding="utf-8")
    return [file.name]
