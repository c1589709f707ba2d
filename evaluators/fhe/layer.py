"""The rung between prediction and proof: one block of the network is really encrypted."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any, ClassVar, Self

from pydantic import Field

from evaluators.fhe.backends import median_stages, shared_out
from evaluators.fhe.measured import (
    RunConfig,
    case_of,
    limits_of,
    precision_of,
    require_precise,
    server_cpu_ms,
)
from evaluators.trained import need_workload
from search.api.candidate import Candidate
from search.api.metric import Fidelity, Measurement, Metric
from search.api.protocols import Context

LATENCY = Metric(
    "layer_latency_ckks", "ms", "min",
    "processor time of the most expensive linear map and its square, encrypted",
)  # fmt: skip
RATIO = Metric(
    "layer_latency_ratio", "1", "min",
    "measured over predicted time of that block: 1 if the model holds on this host",
)  # fmt: skip
PRECISION = Metric(
    "layer_precision_ckks", "bit", "max",
    "-log2 of the mean absolute error of that block alone",
)  # fmt: skip
GAP = Metric(
    "layer_precision_gap", "bit", "max",
    "measured minus predicted precision of that block: 0 if the model holds",
)  # fmt: skip


class CkksLayerConfig(RunConfig):
    """Options of ``{name: ckks_layer}``."""

    images: int = Field(2, ge=1, description="validation images whose inner values are taken")
    repeats: int = Field(1, ge=1, description="sets of fresh keys; each takes its share")
    learn: bool = Field(
        True, description="keep the ratio, so that predictions on this host get better"
    )


class CkksLayer:
    """Runs the most expensive block of the network encrypted, with its layout, limbs and scales.

    The block gets the exact values that it would get in the network, freshly encrypted. A small
    part of the time of a whole run tells how far predictions are off on this host.

    Args:
        workload: builds the network and holds the data.
        config: options.

    Raises:
        ConfigError: there is no workload.
    """

    Config: ClassVar[type[CkksLayerConfig]] = CkksLayerConfig
    metrics: Sequence[Metric] = (LATENCY, RATIO, PRECISION, GAP)
    needs: frozenset[str] = frozenset({"weights", "data"})

    def __init__(self, workload: Any, config: CkksLayerConfig | None = None) -> None:
        self._workload = need_workload(workload, "ckks_layer")
        self._config = config or CkksLayerConfig()

    @classmethod
    def from_config(cls, config: CkksLayerConfig, workload: Any) -> Self:
        """The evaluator for ``workload``.

        Raises:
            ConfigError: there is no workload.
        """
        return cls(workload, config)

    def evaluate(
        self, candidate: Candidate[Any], fidelity: Fidelity, ctx: Context
    ) -> Sequence[Measurement]:
        """One measurement per metric, all ``measured``.

        Raises:
            BackendFailure: the back end gave no usable answer.
            EvaluationError: the candidate has no weights, or there are no images.
        """
        from evaluators.fhe import reference
        from evaluators.fhe.block import most_expensive, predicted_bits
        from evaluators.fhe.calibration import find_times, learn
        from evaluators.fhe.seal.run import data_primes, run_encrypted

        config, params = self._config, candidate.payload
        case = case_of(
            candidate, self._workload, "ckks_layer", ctx, times=config.times, own_layouts=False
        )
        packed = case.task.packed
        if packed is None:
            raise TypeError("ckks_layer: a case without layouts")
        block = most_expensive(packed, params, find_times(config.times), data_primes(params))
        values = reference.values(case.graph, case.samples[: config.images])
        given, exact = values[block.source], values[block.nodes[-1]]
        run = run_encrypted(
            block.packed, params, given, levels=block.levels,
            schedule=shared_out(range(len(exact)), config.repeats), limits=limits_of(config),
            should_stop=ctx.should_stop,
        )  # fmt: skip
        found, _ = precision_of(run, exact, len(exact))
        ctx.note("ckks_block", list(block.nodes))
        ctx.note("ckks_block_stages", median_stages(run))
        require_precise(found, config.floor_bits)
        measured = statistics.median(server_cpu_ms(i) for i in run.inferences)
        expected = predicted_bits(block, case.graph, params, given, exact)
        if config.learn:
            learn((block.predicted_ms, expected), (measured, found.mean))
        rung, count = fidelity.name, len(run.inferences)
        ratio = measured / block.predicted_ms
        return (
            Measurement(LATENCY.name, measured, "ms", rung, "measured", n=count),
            Measurement(RATIO.name, ratio, "1", rung, "measured", n=count),
            Measurement(
                PRECISION.name, found.mean, "bit", rung, "measured", n=count, split="validation"
            ),
            Measurement(
                GAP.name, found.mean - expected, "bit", rung, "measured",
                n=count, split="validation",
            ),
        )  # fmt: skip
