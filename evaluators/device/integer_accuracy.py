"""Accuracy of a mode of EVE in the integers that the device computes with, bit for bit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, Self

from pydantic import Field

from evaluators.accuracy import accuracy_measurement
from evaluators.device.integer_family import IntegerOptions, family_for
from evaluators.trained import need_workload
from search.api.candidate import Candidate
from search.api.errors import EvaluationError
from search.api.metric import Fidelity, Measurement, Metric
from search.api.protocols import Context
from spaces.eve.family import ModePlan

INTEGER_ACCURACY = Metric(
    "integer_accuracy",
    "%",
    "max",
    "top-1 accuracy on the validation split in the device's integers",
)


class IntegerAccuracyConfig(IntegerOptions):
    """Options of ``{name: integer_accuracy}``."""

    images: int | None = Field(None, ge=1, description="images to measure on; absent: all")
    batch_size: int = Field(256, ge=1, description="images at once")


class IntegerAccuracy:
    """Top-1 accuracy [%] of one mode in integers; inside ``members`` that of every mode.

    The exported C program gives the same outputs, bit for bit. Of equal outputs the first counts.

    Args:
        workload: builds the network and holds the data.
        options: those of ``Config``.
    """

    Config: ClassVar[type[IntegerAccuracyConfig]] = IntegerAccuracyConfig
    metrics: Sequence[Metric] = (INTEGER_ACCURACY,)
    needs: frozenset[str] = frozenset({"weights", "data"})

    def __init__(self, workload: Any, **options: Any) -> None:
        self._workload = need_workload(workload, "integer_accuracy")
        self._options = IntegerAccuracyConfig(**options)

    @classmethod
    def from_config(cls, config: IntegerAccuracyConfig, workload: Any) -> Self:
        """The evaluator for ``workload``.

        Raises:
            ConfigError: there is no workload.
        """
        return cls(workload, **config.model_dump())

    def evaluate(
        self, candidate: Candidate[Any], fidelity: Fidelity, ctx: Context
    ) -> Sequence[Measurement]:
        """The accuracy on the validation split; evidence ``simulated``.

        Raises:
            EvaluationError: no mode of a family, no weights, weights that do not fit, a layer
                without integer form, or sums that may overflow.
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
        payload = candidate.payload
        if not isinstance(payload, ModePlan):
            raise EvaluationError(
                f"candidate {candidate.digest}: integer_accuracy measures a mode (got "
                f"{type(payload).__name__}). Put it into the evaluator members for a family"
            )
        if candidate.weights is None:
            raise EvaluationError(
                f"candidate {candidate.digest}: integer_accuracy needs trained weights (got none)"
            )
        split = getattr(self._workload.data, name)
        count = min(len(split), self._options.images or len(split))
        if not count:
            raise EvaluationError("the split is empty: no accuracy without images")
        device = ctx.device
        family = family_for(
            self._workload, payload, candidate.weights, self._options, device=device
        )
        mode = family.prepare(payload.level, device)
        correct = 0
        for start in range(0, count, self._options.batch_size):
            part = slice(start, min(count, start + self._options.batch_size))
            outputs = mode.run(family.quantise(split.x[part].to(device)))
            # argmax of integers promises no order among equals; the least index is the device's.
            best = outputs == outputs.amax(dim=1, keepdim=True)
            correct += int((best.int().argmax(dim=1) == split.y[part].to(device)).sum())
        found = accuracy_measurement(correct, count, fidelity=fidelity.name, split=name)
        return (replace(found, metric=INTEGER_ACCURACY.name, evidence="simulated"),)
