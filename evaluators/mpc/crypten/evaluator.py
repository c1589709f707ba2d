"""The measured rung: a candidate is really run between two parties."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field

from evaluators.mpc.crypten.shim import need_crypten
from evaluators.mpc.networks import Network, NetworkConfig, find_network
from evaluators.trained import need_workload, trained_network
from search.api.candidate import Candidate
from search.api.errors import EvaluationError
from search.api.metric import Evidence, Fidelity, Measurement, Metric
from search.api.protocols import Context

if TYPE_CHECKING:
    from torch import Tensor

    from evaluators.mpc.crypten.run import TwoPartyRun

SOURCE = "CrypTen 0.4.1, two processes on one host"
LATENCY = Metric(
    "measured_latency_2pc", "ms", "min", "online time of one private inference, as run", SOURCE
)
BYTES = Metric("measured_bytes_2pc", "MB", "min", "bytes sent in both directions, counted", SOURCE)
ROUNDS = Metric("measured_rounds_2pc", "1", "min", "sequential messages, counted", SOURCE)
ERROR = Metric(
    "output_error_2pc", "1", "min", "largest |secure - plaintext| output on validation images",
    SOURCE,
)  # fmt: skip
AGREEMENT = Metric(
    "agreement_2pc", "%", "max", "validation images with the same class as in plaintext", SOURCE
)


class Crypten2PCConfig(BaseModel):
    """Options of ``{name: crypten_2pc}``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    images: int = Field(8, ge=1, description="validation images that are inferred in secret")
    repeats: int = Field(5, ge=1, description="timed inferences, of one image each")
    network: str | NetworkConfig = Field(
        "loopback",
        description="link to play: a profile such as lan, wan, or "
        "{bandwidth: 100 Mbit/s, round_trip: 20 ms}; latency is then simulated",
    )
    fraction_bits: int = Field(
        16, ge=8, le=24, description="bits behind the point of the ring of 64 bits"
    )
    timeout_s: float = Field(300.0, gt=0, description="seconds for one candidate, set-up included")
    port: int | None = Field(
        None, ge=1, le=65535, description="where the parties meet; free ones if absent"
    )


class Crypten2PC:
    """Latency, traffic and exactness of private inference, by running it between two parties.

    The network's weights are one party's secret, the images the other's; masks and coefficients of
    activations are public. Triples are made before the clock starts. Give it a rung of its own on
    top: a candidate takes seconds and two cores.

    Args:
        workload: builds the network and holds the data.
        images: validation images that are inferred in secret.
        repeats: timed inferences, of one image each.
        network: a slower link to play; None for loopback as it is.
        fraction_bits: bits behind the point, see ``run_two_party``.
        timeout_s: seconds for one candidate.
        port: where the parties meet; None for free ones.

    Raises:
        ConfigError: there is no workload.
    """

    Config: ClassVar[type[Crypten2PCConfig]] = Crypten2PCConfig
    metrics: Sequence[Metric] = (LATENCY, BYTES, ROUNDS, ERROR, AGREEMENT)
    needs: frozenset[str] = frozenset({"weights", "data"})

    def __init__(
        self,
        workload: Any,
        *,
        images: int = 8,
        repeats: int = 5,
        network: Network | None = None,
        fraction_bits: int = 16,
        timeout_s: float = 300.0,
        port: int | None = None,
    ) -> None:
        self._workload = need_workload(workload, "crypten_2pc")
        self._images, self._repeats, self._network = images, repeats, network
        self._timeout_s, self._port = timeout_s, port
        self._fraction_bits = fraction_bits

    @classmethod
    def from_config(cls, config: Crypten2PCConfig, workload: Any) -> Self:
        """The evaluator for ``workload``.

        Raises:
            ConfigError: there is no workload, or the network is unknown.
            MissingExtra: CrypTen is not installed.
        """
        need_crypten()
        return cls(
            workload,
            images=config.images,
            repeats=config.repeats,
            network=find_network(config.network),
            fraction_bits=config.fraction_bits,
            timeout_s=config.timeout_s,
            port=config.port,
        )

    def evaluate(
        self, candidate: Candidate[Any], fidelity: Fidelity, ctx: Context
    ) -> Sequence[Measurement]:
        """One measurement per metric: ``measured``, but latency on a played link ``simulated``.

        Raises:
            MissingExtra: CrypTen is not installed.
            EvaluationError: the candidate has no weights or an operator without a secure form, a
                party died, or the time was up.
        """
        import torch

        from evaluators.lowered.lower import lower
        from evaluators.mpc.crypten.run import run_two_party

        network = trained_network(  # parties run on the CPU
            candidate,
            self._workload,
            "crypten_2pc",
            whole_ring="CrypTen compares in its whole ring of 64 bits",
        )
        images = self._workload.data.validation.x[: self._images].float().cpu()
        if not len(images):
            raise EvaluationError("crypten_2pc: the validation split is empty")
        run = run_two_party(
            lower(network, tuple(images.shape[1:])),
            images,
            repeats=self._repeats,
            fraction_bits=self._fraction_bits,
            timeout_s=self._timeout_s,
            network=self._network,
            port=self._port,
            should_stop=ctx.should_stop,
        )
        with torch.inference_mode():
            plain = network(images)
        ctx.note("crypten_2pc_setup_s", round(run.setup_seconds, 3))
        ctx.note("crypten_2pc_triples_s", round(run.triples_seconds, 3))
        return _measurements(run, plain, fidelity.name)


def _measurements(run: TwoPartyRun, plain: Tensor, rung: str) -> tuple[Measurement, ...]:
    error = float((run.outputs - plain).abs().max())
    same = run.outputs.argmax(dim=1) == plain.argmax(dim=1)
    timing: Evidence = "simulated" if run.shaped else "measured"
    count = len(run.repeats)
    deviation = statistics.stdev(run.repeats) / math.sqrt(count) if count > 1 else None
    return (
        Measurement(
            LATENCY.name, 1e3 * run.seconds, "ms", rung, timing,
            std=None if deviation is None else 1e3 * deviation, n=count,
        ),
        Measurement(BYTES.name, 1e-6 * run.bytes, "MB", rung, "measured"),
        Measurement(ROUNDS.name, float(run.rounds), "1", rung, "measured"),
        Measurement(
            ERROR.name, error, "1", rung, "measured", n=len(plain), split="validation"
        ),
        Measurement(
            AGREEMENT.name, 100.0 * float(same.float().mean()), "%", rung, "measured",
            n=len(plain), split="validation",
        ),
    )  # fmt: skip
