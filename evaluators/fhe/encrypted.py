"""The measured rung: the whole network is run on encrypted images."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field

from evaluators.fhe.backends import EncryptedRun, median_stages, shared_out
from evaluators.fhe.measured import (
    BackendName,
    ClockName,
    RunConfig,
    back_end,
    case_of,
    limits_of,
    precision_of,
    require_precise,
    require_unwrapped,
    server_cpu_ms,
)
from evaluators.trained import need_workload
from search.api.candidate import Candidate
from search.api.metric import Fidelity, Measurement, Metric
from search.api.protocols import Context

if TYPE_CHECKING:
    from evaluators.fhe.precision import Precision

LATENCY = Metric(
    "latency_ckks", "ms", "min",
    "encryption, computing and decryption of one image, as run; median over images",
)  # fmt: skip
SERVER = Metric("server_latency_ckks", "ms", "min", "the server's part of latency_ckks")
PRECISION = Metric(
    "precision_ckks", "bit", "max",
    "-log2 of the mean absolute error of outputs, against the network in the clear",
)  # fmt: skip
WORST = Metric(
    "worst_precision_ckks", "bit", "max",
    "-log2 of the largest absolute error of outputs, extreme inputs included",
)  # fmt: skip
AGREEMENT = Metric(
    "agreement_ckks", "%", "max", "validation images with the same class as in the clear"
)
MEMORY = Metric("memory_ckks", "MB", "min", "largest resident memory: keys, weights, ciphertexts")

_SAMPLES = 1000  # images that extreme inputs are picked from or made of


class CkksEncryptedConfig(RunConfig):
    """Options of ``{name: ckks_encrypted}``."""

    extreme: int = Field(
        4, ge=0, description="further inputs that make values large, under every set of keys"
    )
    least_agreement: float = Field(
        0.0, ge=0, le=100, description="% of classes kept below which the trial is imprecise"
    )
    back_end: BackendName = Field(
        "seal", description="seal (TenSEAL with our layouts) or orion (its own compiler)"
    )
    clock: ClockName = Field(
        "wall", description="latency by wall-clock or by processor time, for shared machines"
    )
    processes: int = Field(
        1, ge=1, description="processes that share the images; more disturb the times"
    )


class CkksEncrypted:
    """Latency, precision and memory of encrypted inference, by running it.

    Images are encrypted by a client with fresh keys, in a child process that keeps them. Precision
    is against the same network in the clear, polynomials included: what those cost is the
    approximation error, which other rungs tell.

    Args:
        workload: builds the network and holds the data.
        config: options.

    Raises:
        ConfigError: there is no workload.
    """

    Config: ClassVar[type[CkksEncryptedConfig]] = CkksEncryptedConfig
    metrics: Sequence[Metric] = (LATENCY, SERVER, PRECISION, WORST, AGREEMENT, MEMORY)
    needs: frozenset[str] = frozenset({"weights", "data"})

    def __init__(self, workload: Any, config: CkksEncryptedConfig | None = None) -> None:
        self._workload = need_workload(workload, "ckks_encrypted")
        self._config = config or CkksEncryptedConfig()

    @classmethod
    def from_config(cls, config: CkksEncryptedConfig, workload: Any) -> Self:
        """The evaluator for ``workload``.

        Raises:
            ConfigError: there is no workload.
            MissingExtra: the back end is not installed.
        """
        back_end(config.back_end)
        return cls(workload, config)

    def evaluate(
        self, candidate: Candidate[Any], fidelity: Fidelity, ctx: Context
    ) -> Sequence[Measurement]:
        """One measurement per metric, all ``measured``.

        Raises:
            BackendFailure: the back end gave no usable answer.
            EvaluationError: the candidate has no weights, or there are no images.
        """
        import numpy as np

        from evaluators.fhe import reference
        from evaluators.fhe.extremes import extreme_inputs

        config = self._config
        case = case_of(
            candidate, self._workload, "ckks_encrypted", ctx,
            times=config.times, own_layouts=config.back_end == "orion",
        )  # fmt: skip
        images = min(config.images, len(case.samples))
        extremes = extreme_inputs(case.graph, case.samples[:_SAMPLES], config.extreme)
        inputs = np.concatenate([case.samples[:images], extremes])
        run = back_end(config.back_end, config.processes).run(
            case.task,
            inputs,
            schedule=shared_out(range(images), config.repeats, range(images, len(inputs))),
            limits=limits_of(config),
            should_stop=ctx.should_stop,
        )
        exact = reference.run(case.graph, inputs)
        usual, every = precision_of(run, exact, images)
        _note(ctx, config, run, usual, every)
        require_precise(usual, config.floor_bits, config.least_agreement / 100)
        require_unwrapped(every, float(np.abs(exact).max()))
        return self._measurements(run, usual, every, images, fidelity.name)

    def _measurements(
        self, run: EncryptedRun, usual: Precision, every: Precision, images: int, rung: str
    ) -> tuple[Measurement, ...]:
        timed = [i for i in run.inferences if i.image < images]
        cpu = self._config.clock == "cpu"
        totals = [1e3 * (i.cpu_seconds if cpu else i.seconds) for i in timed]
        servers = [server_cpu_ms(i) if cpu else 1e3 * i.server_seconds for i in timed]
        split = "validation"
        return (
            _median(LATENCY, totals, rung),
            _median(SERVER, servers, rung),
            Measurement(
                PRECISION.name, usual.mean, "bit", rung, "measured", n=usual.inputs, split=split
            ),
            Measurement(
                WORST.name, every.worst, "bit", rung, "measured", n=every.inputs, split=split
            ),
            Measurement(
                AGREEMENT.name, 100 * usual.agreement, "%", rung, "measured",
                n=usual.inputs, split=split,
            ),
            Measurement(MEMORY.name, run.peak_mb, "MB", rung, "measured"),
        )  # fmt: skip


def _median(metric: Metric, values: Sequence[float], rung: str) -> Measurement:
    """Median with the standard error of a median of normal values."""
    deviation = statistics.stdev(values) if len(values) > 1 else None
    error = None if deviation is None else math.sqrt(math.pi / 2 / len(values)) * deviation
    return Measurement(
        metric.name, statistics.median(values), metric.unit, rung, "measured",
        std=error, n=len(values),
    )  # fmt: skip


def _note(
    ctx: Context, config: CkksEncryptedConfig, run: EncryptedRun, usual: Precision, every: Precision
) -> None:
    """Where time and memory went, for the report."""
    stages = median_stages(run)
    ctx.note("ckks_back_end", config.back_end)
    ctx.note("ckks_stages", stages)
    ctx.note("ckks_cpu_ms", round(sum(row["cpu_ms"] for row in stages), 3))
    for stage in ("encode_weights", "keys"):
        spent = [s.cpu_seconds for s in run.setup if s.stage == stage]
        if spent:
            ctx.note(f"ckks_{stage}_cpu_s", round(statistics.median(spent), 3))
    ctx.note("ckks_precision_usual_worst_bit", round(usual.worst, 2))
    ctx.note("ckks_precision_extreme_mean_bit", round(every.mean, 2))
