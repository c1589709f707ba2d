"""Top-1 accuracy of a trained candidate, with a confidence interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field

from evaluators.trained import need_workload, trained_network
from search.api.candidate import Candidate
from search.api.errors import EvaluationError
from search.api.metric import Fidelity, Measurement, Metric
from search.api.protocols import Context

if TYPE_CHECKING:
    import torch

    from search.workloads.data.splits import Split

ACCURACY = Metric("accuracy", "%", "max", "top-1 accuracy on the validation split")

# 97.5th percentile of the standard normal distribution: a two-sided 95 % interval.
_Z = 1.959963984540054


class AccuracyConfig(BaseModel):
    """Options of ``{name: accuracy}``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    batch_size: int = Field(256, ge=1, description="images per forward pass")


class Accuracy:
    """Top-1 accuracy [%] on the validation split; on the test split once, for finished searches.

    Args:
        workload: builds the network and holds the data (``build``, ``sites``, ``data``).
        batch_size: images per forward pass.
    """

    Config: ClassVar[type[AccuracyConfig]] = AccuracyConfig
    metrics: Sequence[Metric] = (ACCURACY,)
    needs: frozenset[str] = frozenset({"weights", "data"})

    def __init__(self, workload: Any, *, batch_size: int = 256) -> None:
        self._workload = need_workload(workload, "accuracy")
        self._batch_size = batch_size

    @classmethod
    def from_config(cls, config: AccuracyConfig, workload: Any) -> Self:
        """The evaluator for ``workload``.

        Raises:
            ConfigError: there is no workload.
        """
        return cls(workload, batch_size=config.batch_size)

    def evaluate(
        self, candidate: Candidate[Any], fidelity: Fidelity, ctx: Context
    ) -> Sequence[Measurement]:
        """Accuracy on the validation split; evidence ``measured``.

        Raises:
            EvaluationError: the candidate has no weights, the weights do not fit, or the network
                returns NaN or infinity.
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
        network = trained_network(candidate, self._workload, "accuracy", device=ctx.device)
        split = getattr(self._workload.data, name)
        correct = count_correct(network, split, batch_size=self._batch_size, device=ctx.device)
        found = accuracy_measurement(correct, len(split), fidelity=fidelity.name, split=name)
        return (found,)


def count_correct(network: torch.nn.Module, split: Split, *, batch_size: int, device: str) -> int:
    """How many images of ``split`` the network (in eval mode, on ``device``) classifies right.

    Raises:
        EvaluationError: the split is empty, or an output is NaN or infinite.
    """
    import torch

    if not len(split):
        raise EvaluationError("the split is empty: no accuracy without images")
    correct = torch.zeros((), dtype=torch.int64, device=device)
    finite = torch.ones((), dtype=torch.bool, device=device)
    # Kept on the device until the end: one synchronisation in all instead of one a batch.
    with torch.inference_mode():
        for start in range(0, len(split), batch_size):
            x = split.x[start : start + batch_size].to(device)
            y = split.y[start : start + batch_size].to(device)
            logits = network(x)
            finite &= torch.isfinite(logits).all()
            correct += (logits.argmax(dim=1) == y).sum()
    if not bool(finite):
        raise EvaluationError("the network returns NaN or infinity: its training diverged")
    return int(correct)


def accuracy_measurement(correct: int, n: int, *, fidelity: str, split: str) -> Measurement:
    """``correct`` of ``n`` as a measurement in %, with standard error and 95 % interval."""
    share = correct / n
    low, high = wilson_interval(correct, n)
    return Measurement(
        ACCURACY.name,
        100.0 * share,
        "%",
        fidelity,
        "measured",
        std=100.0 * math.sqrt(share * (1.0 - share) / n),
        n=n,
        split=split,
        low=100.0 * low,
        high=100.0 * high,
    )


def wilson_interval(correct: int, n: int) -> tuple[float, float]:
    """95 % score interval of a proportion, as shares in [0, 1].

    Unlike the normal approximation it stays within [0, 1] and has width at 0 and at ``n``.

    Source: E. B. Wilson, Journal of the American Statistical Association 22 (1927), 209-212.
    """
    share = correct / n
    centre = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))
