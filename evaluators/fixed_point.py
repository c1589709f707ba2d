"""Accuracy of a candidate in the fixed-point arithmetic that two parties compute in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from evaluators.accuracy import accuracy_measurement
from evaluators.trained import need_workload, trained_network
from search.api.candidate import Candidate
from search.api.errors import ConfigError, EvaluationError
from search.api.metric import Fidelity, Measurement, Metric
from search.api.protocols import Context

if TYPE_CHECKING:
    import torch

    from evaluators.lowered.program import Program
    from evaluators.mpc.ring import Ring
    from search.workloads.data.splits import Split

ACCURACY_FIXED = Metric(
    "accuracy_fixed", "%", "max", "top-1 accuracy on the validation split in fixed point"
)
OVERFLOW_SHARE = Metric(
    "overflow_share",
    "%",
    "min",
    "values that wrapped around in the ring or were truncated wrongly, of all computed",
)
OUTPUT_ERROR = Metric(
    "output_error_fixed", "1", "min", "largest difference of a logit from floating point"
)


class FixedPointConfig(BaseModel):
    """Options of ``{name: fixed_point}``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ring_bits: int = Field(64, ge=8, le=64, description="values are integers modulo 2^this")
    fraction_bits: int = Field(16, ge=0, le=62, description="bits behind the binary point")
    truncation: Literal["local", "probabilistic", "exact"] = Field(
        "local",
        description="how products are scaled back: local, each party divides its own share "
        "(CrypTen; rarely wrong altogether, often in a small ring); probabilistic, up by the "
        "chance of the fraction; exact, down",
    )
    relu_bits: int | None = Field(
        None,
        ge=2,
        le=64,
        description="bits of the shares that comparisons look at, where the plan says nothing; "
        "absent: all",
    )
    headroom_bits: int = Field(
        1, ge=0, le=32, description="bits above the largest value seen that a comparison keeps"
    )
    calibration_images: int = Field(
        256, ge=1, description="training images that tell the largest value of each site"
    )
    images: int | None = Field(None, ge=1, description="images to measure on; absent: all")
    batch_size: int = Field(250, ge=1, description="images at once")


@dataclass(frozen=True)
class FixedRun:
    """What a run in fixed point gave.

    Args:
        correct: images classified right.
        n: images.
        overflow_share: 0 to 1.
        output_error: largest difference of a logit from the floating-point network.
    """

    correct: int
    n: int
    overflow_share: float
    output_error: float


class FixedPoint:
    """Accuracy [%] and worst output error in the fixed-point arithmetic of two-party computation.

    Every product is truncated as the protocol does it and wraps around in the ring; batch
    normalisation is folded, and polynomials are evaluated as in the real run. A site with
    ``relu_bits`` compares that many bits of the shares only (HummingBird); the highest of them is
    placed just above the largest value that training images give there.

    Args:
        workload: builds the network and holds the data.
        options: those of ``Config``.
    """

    Config: ClassVar[type[FixedPointConfig]] = FixedPointConfig
    metrics: Sequence[Metric] = (ACCURACY_FIXED, OVERFLOW_SHARE, OUTPUT_ERROR)
    needs: frozenset[str] = frozenset({"weights", "data"})

    def __init__(self, workload: Any, **options: Any) -> None:
        self._workload = need_workload(workload, "fixed_point")
        self._options = FixedPointConfig(**options)
        if self._options.fraction_bits >= self._options.ring_bits - 1:
            raise ConfigError(
                f"evaluator fixed_point: {self._options.fraction_bits} fraction bits leave no "
                f"room in a ring of {self._options.ring_bits} bits",
                path="fraction_bits",
            )

    @classmethod
    def from_config(cls, config: FixedPointConfig, workload: Any) -> Self:
        """The evaluator for ``workload``.

        Raises:
            ConfigError: there is no workload, or the fraction does not fit the ring.
        """
        return cls(workload, **config.model_dump())

    def evaluate(
        self, candidate: Candidate[Any], fidelity: Fidelity, ctx: Context
    ) -> Sequence[Measurement]:
        """All three metrics on the validation split; evidence ``simulated``.

        Raises:
            EvaluationError: no weights, weights that do not fit, or an operator without a secure
                form.
        """
        return self._measure("validation", candidate, fidelity, ctx)

    def evaluate_test(
        self, candidate: Candidate[Any], fidelity: Fidelity, ctx: Context
    ) -> Sequence[Measurement]:
        """The same on the test split; called once for a candidate that the search has chosen.

        Raises:
            EvaluationError: as :meth:`evaluate`.
        """
        return self._measure("test", candidate, fidelity, ctx)

    def _measure(
        self, name: str, candidate: Candidate[Any], fidelity: Fidelity, ctx: Context
    ) -> Sequence[Measurement]:
        network = trained_network(candidate, self._workload, "fixed_point", device=ctx.device)
        found = self.run(
            network, name, widths=self._widths(candidate.payload), seed=ctx.seed, device=ctx.device
        )
        accuracy = accuracy_measurement(found.correct, found.n, fidelity=fidelity.name, split=name)

        def one(metric: Metric, value: float) -> Measurement:
            return Measurement(
                metric.name, value, metric.unit, fidelity.name, "simulated", n=found.n, split=name
            )

        return (
            replace(accuracy, metric=ACCURACY_FIXED.name, evidence="simulated"),
            one(OVERFLOW_SHARE, 100.0 * found.overflow_share),
            one(OUTPUT_ERROR, found.output_error),
        )

    def run(
        self,
        network: torch.nn.Module,
        part: str,
        *,
        widths: Mapping[str, int] | None = None,
        seed: int = 0,
        device: str = "cpu",
    ) -> FixedRun:
        """``network`` (in evaluation mode, on ``device``) in fixed point on one split.

        Args:
            network: what the workload builds, with weights.
            part: ``train``, ``validation`` or ``test``.
            widths: site -> bits that its comparison looks at; absent sites look at all.
            seed: of the shares drawn.
            device: where to run.

        Raises:
            EvaluationError: the split is empty, or an operator has no secure form.
        """
        import torch

        from evaluators.lowered.lower import lower
        from evaluators.mpc.fixed_program import FixedProgram

        split = getattr(self._workload.data, part)
        count = min(len(split), self._options.images or len(split))
        if not count:
            raise EvaluationError("the split is empty: no accuracy without images")
        program = lower(network, tuple(split.x.shape[1:]))
        windows = self._windows(program, dict(widths or {}), seed, device)
        ring = self._ring(seed, device)
        machine = FixedProgram(program, ring, windows, device)
        network.to(device)
        correct, worst = 0, 0.0
        with torch.inference_mode():
            for start in range(0, count, self._options.batch_size):
                x = split.x[start : min(count, start + self._options.batch_size)].to(device)
                y = split.y[start : start + len(x)].to(device)
                fixed, floating = machine.run(x), network(x).double()
                if not bool(torch.isfinite(floating).all()):
                    raise EvaluationError(
                        "the network returns NaN or infinity: its training diverged"
                    )
                worst = max(worst, float((fixed - floating).abs().max()))
                correct += int((fixed.argmax(dim=1) == y).sum())
        return FixedRun(correct, count, ring.overflow_share, worst)

    def _widths(self, payload: Any) -> dict[str, int]:
        """Site -> ``relu_bits`` of the plan."""
        choices = getattr(payload, "choices", ())
        return {c.site: c.relu_bits for c in choices if c.relu_bits is not None}

    def _windows(
        self, program: Program, widths: dict[str, int], seed: int, device: str
    ) -> dict[str, tuple[int, int]]:
        """Site -> lowest bit and number of bits that its comparison looks at."""
        import torch

        from evaluators.mpc.fixed_program import FixedProgram

        everywhere = self._options.relu_bits
        if everywhere is None and not widths:
            return {}
        machine = FixedProgram(program, self._ring(seed, device), {}, device)
        images: Split = self._workload.data.train
        with torch.inference_mode():
            machine.run(images.x[: self._options.calibration_images])
        found = {}
        for site, largest in machine.compared.items():
            width = widths.get(site, everywhere)
            if width is None or width >= self._options.ring_bits:
                continue
            top = largest.bit_length() + 1 + self._options.headroom_bits  # one for the sign
            found[site] = (max(0, min(top, self._options.ring_bits) - width), width)
        return found

    def _ring(self, seed: int, device: str) -> Ring:
        from evaluators.mpc.ring import Ring

        o = self._options
        return Ring(o.ring_bits, o.fraction_bits, truncation=o.truncation, seed=seed, device=device)
