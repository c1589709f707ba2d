"""What the encrypted rungs share: options, the task of a candidate, images, and a verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from evaluators.fhe.backends import Backend, EncryptedRun, Inference, Limits, Task
from evaluators.fhe.failures import BackendFailure
from search.api.candidate import Candidate
from search.api.errors import EvaluationError
from search.api.protocols import Context

if TYPE_CHECKING:
    import numpy as np

    from evaluators.fhe.graph import Graph
    from evaluators.fhe.precision import Precision

BackendName = Literal["seal", "orion"]
ClockName = Literal["wall", "cpu"]


class RunConfig(BaseModel):
    """Options of every evaluator that computes on ciphertexts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    images: int = Field(8, ge=1, description="validation images that are inferred encrypted")
    repeats: int = Field(
        3, ge=1, description="sets of fresh keys; each takes its share of the images"
    )
    timeout_s: float = Field(600.0, gt=0, description="seconds for one candidate, keys included")
    memory_mb: float = Field(8000.0, gt=0, description="memory that the child process may take")
    floor_bits: float = Field(
        4.0, description="mean precision below which an answer is none: the trial is imprecise"
    )
    times: str = Field(
        "auto",
        description="operation times that packing is chosen by: auto (of this host if calibrated, "
        "else the shipped table), none (the shipped table), or a file",
    )


@dataclass(frozen=True)
class Case:
    """A candidate ready to be run.

    Args:
        task: network and configuration.
        samples: ``[n, elements]``, validation images, float64.
    """

    task: Task
    samples: np.ndarray

    @property
    def graph(self) -> Graph:
        """The network."""
        return self.task.graph


def case_of(
    candidate: Candidate[Any],
    workload: Any,
    evaluator: str,
    ctx: Context,
    *,
    times: str,
    own_layouts: bool,
) -> Case:
    """What ``evaluator`` runs of ``candidate``.

    Args:
        candidate: with weights.
        workload: network and data.
        evaluator: name for messages.
        ctx: of the trial.
        times: see :class:`RunConfig`.
        own_layouts: whether the back end takes the ``torch`` network and lays it out itself.

    Raises:
        EvaluationError: there are no validation images, or the network cannot be had.
        BackendFailure: the network cannot be laid out.
    """
    from evaluators.fhe.network import graph_for

    graph = graph_for(candidate, workload, evaluator, ctx)
    params = candidate.payload
    images = workload.data.validation.x
    if not len(images):
        raise EvaluationError(f"{evaluator}: the validation split is empty")
    samples = images.reshape(len(images), -1).double().cpu().numpy()
    if own_layouts and candidate.weights is not None:
        from search.workloads.plan import load_weights

        network = load_weights(workload.build(0), candidate.weights).eval()
        return Case(Task(graph, params, network=network), samples)
    from evaluators.fhe.calibration import find_times
    from evaluators.fhe.packing import pack

    packed = pack(graph, params.slots, params, find_times(times))
    return Case(Task(graph, params, packed=packed), samples)


def back_end(name: BackendName, processes: int = 1) -> Backend:
    """The back end of that name.

    Raises:
        MissingExtra: it is not installed.
    """
    if name == "orion":
        from evaluators.fhe.orion.run import Orion

        return Orion()
    from evaluators.fhe.seal.run import Seal

    return Seal(processes=processes)


def limits_of(config: RunConfig) -> Limits:
    """Limits of the child process."""
    return Limits(config.timeout_s, config.memory_mb)


def server_cpu_ms(inference: Inference) -> float:
    """Processor time of the server's part, in ms."""
    return 1e3 * sum(s.cpu_seconds for s in inference.stages if s.place == "server")


def precision_of(run: EncryptedRun, exact: np.ndarray, images: int) -> tuple[Precision, Precision]:
    """Precision on the first ``images`` inputs, and on all of them.

    Args:
        run: its inferences.
        exact: ``[n, outputs]``, of the network in the clear.
        images: how many of the inputs are ordinary ones.
    """
    usual = [i for i in run.inferences if i.image < images]
    return _compared(usual, exact), _compared(run.inferences, exact)


def _compared(inferences: Any, exact: np.ndarray) -> Precision:
    import numpy as np

    from evaluators.fhe.precision import compare

    found = np.stack([i.output for i in inferences])
    return compare(found, exact[[i.image for i in inferences]])


def require_precise(found: Precision, floor_bits: float, least_agreement: float = 0.0) -> None:
    """Refuse an answer that is not the network's.

    Raises:
        BackendFailure: kind ``imprecise``.
    """
    if found.mean < floor_bits:
        raise BackendFailure(
            "imprecise",
            f"{found.mean:.1f} bits on average (expected at least {floor_bits:g}): values exceed "
            "the modulus, or noise exceeds values. Raise the bits of the first prime, of the "
            "scale, or of the special prime",
        )
    if found.agreement < least_agreement:
        raise BackendFailure(
            "imprecise",
            f"{100 * found.agreement:.0f} % of {found.inputs} images keep their class "
            f"(expected at least {100 * least_agreement:.0f} %) at {found.mean:.1f} bits",
        )


def require_unwrapped(every: Precision, largest: float) -> None:
    """Refuse a configuration under which an output, extreme inputs included, wraps around.

    A value that wraps is off by at least the modulus over the scale, and head-room is above the
    outputs: an error beyond half of the largest output is no noise.

    Args:
        every: precision over all inputs.
        largest: largest absolute output in the clear.

    Raises:
        BackendFailure: kind ``overflow``.
    """
    error = 2.0**-every.worst
    if error > max(largest, 1.0) / 2:
        raise BackendFailure(
            "overflow",
            f"an output is off by {error:.3g} where outputs reach {largest:.3g}: it wraps around "
            "without an error. Raise the bits of the first prime",
        )
