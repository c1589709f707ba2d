"""The predicted rung: time from operations, precision from a model of noise, on real images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from evaluators.fhe.calibration import Corrections, corrections, find_times
from evaluators.fhe.costs import Latency
from evaluators.fhe.extremes import extreme_inputs
from evaluators.fhe.levels import circuit_of
from evaluators.fhe.measured import Case, case_of
from evaluators.fhe.noise import LATTIGO, SEAL
from evaluators.fhe.prediction import (
    Bits,
    Method,
    modelled_bits,
    predicted_latency,
    simulated_bits,
)
from evaluators.trained import need_workload
from search.api.candidate import Candidate
from search.api.errors import ConfigError
from search.api.metric import Evidence, Fidelity, Measurement, Metric
from search.api.protocols import Context

if TYPE_CHECKING:
    from evaluators.fhe.packed import PackedNetwork

LIBRARIES = {"tenseal": SEAL, "orion": LATTIGO}
_SAMPLES = 1000  # images that extreme inputs are picked from or made of


class CkksPredictedConfig(BaseModel):
    """Options of ``{name: ckks_predicted}``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    images: int = Field(4, ge=1, description="validation images that noise is followed on")
    extreme: int = Field(
        2, ge=0, description="further inputs that make values large, for the worst precision"
    )
    method: Method = Field(
        "model",
        description="model: variances, all at once; simulation: noise drawn for every operation",
    )
    repeats: int = Field(3, ge=1, description="draws of a simulation")
    approximation_images: int = Field(
        64, ge=1, description="validation images for the error of polynomial activations"
    )
    calibration: str = Field(
        "auto",
        description="operation times: auto (of this host if measured, else the shipped table), "
        "none (the shipped table), or a path to a .json or .toml",
    )
    back_end: Literal["tenseal", "orion"] = Field(
        "tenseal", description="library whose times and noise are predicted"
    )
    learnt: bool = Field(
        True,
        description="correct time and precision by what encrypted runs on this host have shown",
    )


class CkksPredicted:
    """Latency and precision of encrypted inference, modelled for one host and one library.

    Times are sums over operations. The precision is that of the encryption alone; what polynomials
    in place of activations cost is ``approximation_error``.

    Args:
        workload: builds the network and holds the data.
        config: options.

    Raises:
        ConfigError: there is no workload, or the calibration cannot be read.
    """

    Config: ClassVar[type[CkksPredictedConfig]] = CkksPredictedConfig
    needs: frozenset[str] = frozenset({"weights", "data"})

    def __init__(self, workload: Any, config: CkksPredictedConfig | None = None) -> None:
        self._workload = need_workload(workload, "ckks_predicted")
        self._config = config or CkksPredictedConfig()
        self._times = find_times(self._config.calibration, self._config.back_end)
        self._learnt = corrections(self._config.back_end) if self._config.learnt else Corrections()

    @classmethod
    def from_config(cls, config: CkksPredictedConfig, workload: Any) -> Self:
        """The evaluator for ``workload``.

        Raises:
            ConfigError: there is no workload, or the calibration cannot be read.
        """
        return cls(workload, config)

    @property
    def metrics(self) -> Sequence[Metric]:
        """predicted_latency_ckks and predicted_server_ms [ms], predicted_precision and
        predicted_worst_precision [bit], approximation_error [1].
        """
        times, noise = self._times.describe(), f"{self._config.method} of noise"
        if self._learnt.runs:
            times += f"; x {self._learnt.latency:.3g} by {self._learnt.runs} encrypted runs"
            noise += f"; {self._learnt.bits:+.2f} bit by {self._learnt.runs} encrypted runs"
        return (
            Metric(
                "predicted_latency_ckks", "ms", "min",
                "CPU time of one inference, client and server", times,
            ),
            Metric("predicted_server_ms", "ms", "min", "the server's part of it", times),
            Metric(
                "predicted_precision", "bit", "max",
                "-log2 of the mean absolute error that encryption adds to outputs", noise,
            ),
            Metric(
                "predicted_worst_precision", "bit", "max",
                "-log2 of the largest error, extreme inputs included", noise,
            ),
            Metric(
                "approximation_error", "1", "min",
                "mean absolute difference of outputs by polynomials from the network's own",
            ),
        )  # fmt: skip

    def evaluate(
        self, candidate: Candidate[Any], fidelity: Fidelity, ctx: Context
    ) -> Sequence[Measurement]:
        """One measurement per metric; ``model`` or ``simulated``.

        Raises:
            BackendFailure: the network does not fit the chain or the slots.
            EvaluationError: the candidate has no weights, or there are no images.
        """
        config = self._config
        case = case_of(
            candidate, self._workload, "ckks_predicted", ctx,
            times=config.calibration if config.back_end == "tenseal" else "auto",
            own_layouts=False,
        )  # fmt: skip
        packed = case.task.packed
        if packed is None:
            raise ConfigError("ckks_predicted: the network was not laid out", path="evaluators")
        time = predicted_latency(packed, candidate.payload, self._times)
        usual, every = self._precision(case, packed)
        ctx.note("ckks_predicted", self._breakdown(case, packed, time, usual))
        learnt, rung = self._learnt, fidelity.name
        evidence: Evidence = "model" if config.method == "model" else "simulated"
        images = min(config.images, len(case.samples))
        approximation, seen = self._approximation(candidate, case)
        return (
            Measurement(
                "predicted_latency_ckks", time.total * learnt.latency, "ms", rung, "model"
            ),
            Measurement("predicted_server_ms", time.server * learnt.latency, "ms", rung, "model"),
            Measurement(
                "predicted_precision", usual.mean + learnt.bits, "bit", rung, evidence,
                n=images, split="validation",
            ),
            Measurement(
                "predicted_worst_precision", every.worst + learnt.bits, "bit", rung, evidence,
                n=images + config.extreme, split="validation",
            ),
            Measurement(
                "approximation_error", approximation, "1", rung, "simulated",
                n=seen, split="validation",
            ),
        )  # fmt: skip

    def _precision(self, case: Case, packed: PackedNetwork) -> tuple[Bits, Bits]:
        """On usual inputs, and on these with extreme ones."""
        config, params = self._config, case.task.params
        library = LIBRARIES[config.back_end]
        usual = case.samples[: config.images]
        extreme = extreme_inputs(case.graph, case.samples[:_SAMPLES], config.extreme)
        found = []
        for inputs in (usual, np.concatenate([usual, extreme])):
            if config.method == "model":
                found.append(modelled_bits(packed, [params], inputs, library)[0])
            else:
                found.append(
                    simulated_bits(packed, params, inputs, library=library, repeats=config.repeats)
                )
        return found[0], found[1]

    def _approximation(self, candidate: Candidate[Any], case: Case) -> tuple[float, int]:
        """Mean absolute difference of polynomial network and network, and on how many images."""
        from evaluators.fhe import reference
        from search.workloads.plan import load_weights

        if candidate.weights is None:
            raise ConfigError("ckks_predicted: no weights", path="evaluators")
        images = self._workload.data.validation.x[: self._config.approximation_images]
        network = load_weights(self._workload.build(0), candidate.weights).eval().double()
        import torch

        with torch.no_grad():
            own = network(images.double().cpu()).numpy()
        found = reference.run(case.graph, images.reshape(len(images), -1).double().cpu().numpy())
        return float(np.abs(found - own).mean()), len(images)

    def _breakdown(
        self, case: Case, packed: PackedNetwork, time: Latency, precision: Bits
    ) -> Mapping[str, Any]:
        """Where time goes and error arises, by layer, and where each stands in the chain."""
        nodes = {"input": case.graph.nodes[0].name}
        total = max(time.total, 1e-12)
        stood = {stage.node: stage for stage in circuit_of(packed, case.task.params).stages}
        return {
            "times": self._times.describe(),
            "corrections": {"latency": self._learnt.latency, "bits": self._learnt.bits,
                            "runs": self._learnt.runs},
            "stages": [
                {
                    "node": stage.node,
                    "kind": stage.kind,
                    "place": stage.place,
                    "limbs_in": stood[stage.node].limbs_in,
                    "limbs_out": stood[stage.node].limbs_out,
                    "scale_in": round(stood[stage.node].scale_in, 3),
                    "scale_out": round(stood[stage.node].scale_out, 3),
                    "ms": round(stage.milliseconds, 4),
                    "share": round(stage.milliseconds / total, 4),
                    "error_share": round(
                        precision.by_node.get(nodes.get(stage.node, stage.node), 0.0), 4
                    ),
                }
                for stage in time.stages
            ],
        }  # fmt: skip
