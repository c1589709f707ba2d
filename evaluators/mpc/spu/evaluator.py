"""The measured rung under SPU: a candidate is really run under SEMI2K or Cheetah."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from evaluators.mpc.spu.environment import VERSION, need_spu
from evaluators.trained import need_workload, trained_network
from search.api.candidate import Candidate
from search.api.errors import EvaluationError
from search.api.metric import Fidelity, Measurement, Metric
from search.api.protocols import Context

if TYPE_CHECKING:
    from torch import Tensor

    from evaluators.mpc.spu.run import SpuRun

SOURCE = f"SPU {VERSION}, two processes on one host"
LATENCY = Metric(
    "spu_latency_2pc", "ms", "min", "online time of one private inference, as run", SOURCE
)
BYTES = Metric(
    "spu_bytes_2pc", "MB", "min", "payload in both directions, as the kernel counts it", SOURCE
)
ERROR = Metric(
    "output_error_spu", "1", "min", "largest |secure - plaintext| output on validation images",
    SOURCE,
)  # fmt: skip
SETUP = Metric(
    "setup_spu", "s", "min", "base transfers and keys before the first inference", SOURCE
)

Protocol = Literal["semi2k", "cheetah_fm64", "cheetah_fm32"]


class Spu2PCConfig(BaseModel):
    """Options of ``{name: spu_2pc}``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    protocol: Protocol = Field(
        "semi2k", description="semi2k (triples from a dealer), or Cheetah (no dealer, minutes)"
    )
    images: int = Field(2, ge=1, description="validation images that are inferred in secret")
    repeats: int = Field(3, ge=1, description="timed inferences, of one image each, at least")
    timeout_s: float = Field(600.0, gt=0, description="seconds for one candidate, set-up included")


class Spu2PC:
    """Latency, traffic and exactness of private inference, by running it between two parties.

    Weights and images are secret, masks and coefficients of activations public. Under SEMI2K
    triples come from a dealer whose work is not counted; under Cheetah they are made online and
    counted. Give it a rung of its own on top: a candidate takes seconds (SEMI2K) to minutes
    (Cheetah) and two cores. SPU lives in an environment of its own.

    Args:
        workload: builds the network and holds the data.
        protocol: ``semi2k``, ``cheetah_fm64`` or ``cheetah_fm32`` (8 bits behind the point).
        images: validation images that are inferred in secret.
        repeats: timed inferences, of one image each.
        timeout_s: seconds for one candidate.

    Raises:
        ConfigError: there is no workload.
    """

    Config: ClassVar[type[Spu2PCConfig]] = Spu2PCConfig
    metrics: Sequence[Metric] = (LATENCY, BYTES, ERROR, SETUP)
    needs: frozenset[str] = frozenset({"weights", "data"})

    def __init__(
        self,
        workload: Any,
        *,
        protocol: Protocol = "semi2k",
        images: int = 2,
        repeats: int = 3,
        timeout_s: float = 600.0,
    ) -> None:
        self._workload, self._protocol = need_workload(workload, "spu_2pc"), protocol
        self._images, self._repeats, self._timeout_s = images, repeats, timeout_s

    @classmethod
    def from_config(cls, config: Spu2PCConfig, workload: Any) -> Self:
        """The evaluator for ``workload``.

        Raises:
            ConfigError: there is no workload.
            MissingExtra: SPU is not installed.
        """
        need_spu()
        return cls(
            workload,
            protocol=config.protocol,
            images=config.images,
            repeats=config.repeats,
            timeout_s=config.timeout_s,
        )

    def evaluate(
        self, candidate: Candidate[Any], fidelity: Fidelity, ctx: Context
    ) -> Sequence[Measurement]:
        """One measurement per metric; evidence ``measured``.

        Raises:
            MissingExtra: SPU is not installed.
            EvaluationError: the candidate has no weights or an operator without a secure form, a
                party died, or the time was up.
        """
        import torch

        from evaluators.lowered.lower import lower
        from evaluators.mpc.spu.run import run_spu

        network = trained_network(  # parties run on the CPU
            candidate, self._workload, "spu_2pc", whole_ring="SPU compares in its whole ring"
        )
        images = self._workload.data.validation.x[: self._images].float().cpu()
        if not len(images):
            raise EvaluationError("spu_2pc: the validation split is empty")
        run = run_spu(
            lower(network, tuple(images.shape[1:])),
            images,
            protocol=self._protocol,
            repeats=self._repeats,
            timeout_s=self._timeout_s,
            should_stop=ctx.should_stop,
        )
        with torch.inference_mode():
            plain = network(images)
        ctx.note("spu_2pc_setup_MB", round(1e-6 * run.setup_bytes, 3))
        ctx.note("spu_2pc_private_network", run.interface_bytes is not None)
        if run.interface_bytes is not None:
            ctx.note("spu_2pc_interface_MB", round(1e-6 * run.interface_bytes, 6))
        return _measurements(run, plain, fidelity.name)


def _measurements(run: SpuRun, plain: Tensor, rung: str) -> tuple[Measurement, ...]:
    error = float((run.outputs - plain).abs().max())
    count = len(run.repeats)
    deviation = 1e3 * statistics.stdev(run.repeats) / math.sqrt(count) if count > 1 else None
    return (
        Measurement(
            LATENCY.name, 1e3 * run.seconds, "ms", rung, "measured", std=deviation, n=count
        ),
        Measurement(BYTES.name, 1e-6 * run.bytes, "MB", rung, "measured", n=count),
        Measurement(
            ERROR.name, error, "1", rung, "measured", n=len(plain), split="validation"
        ),
        Measurement(SETUP.name, run.setup_seconds, "s", rung, "measured"),
    )  # fmt: skip
