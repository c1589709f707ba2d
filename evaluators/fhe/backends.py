"""What a back end for encrypted inference is: what it can do, what it is given, what it answers."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np

    from evaluators.fhe.graph import Graph
    from evaluators.fhe.packed import PackedNetwork
    from spaces.ckks.params import CkksParams, RingType

Place = Literal["client", "server", "setup"]


@dataclass(frozen=True)
class Capabilities:
    """What parameters a back end takes.

    Args:
        name: of the back end.
        log_n: smallest and largest log2 of the ring dimension.
        prime_bits: smallest and largest size of a prime.
        special: largest number of special primes.
        rings: types of ring.
        sparse_secrets: whether the secret may be sparse.
        bootstraps: whether it can refresh ciphertexts.
        pairs: whether a square may wait for the linear map behind it to be rescaled.
    """

    name: str
    log_n: tuple[int, int]
    prime_bits: tuple[int, int]
    special: int
    rings: tuple[RingType, ...]
    sparse_secrets: bool
    bootstraps: bool
    pairs: bool = False

    def lacks(self, params: CkksParams) -> str:
        """What ``params`` ask for that the back end does not have; empty if nothing."""
        low, high = self.log_n
        if not low <= params.log_n <= high:
            return f"ring dimension 2^{params.log_n} (it has 2^{low} to 2^{high})"
        if params.ring not in self.rings:
            return f"ring {params.ring!r} (it has {', '.join(self.rings)})"
        if params.secret_weight is not None and not self.sparse_secrets:
            return f"a sparse secret of weight {params.secret_weight} (its secrets are dense)"
        if params.bootstraps and not self.bootstraps:
            return f"bootstrapping at {', '.join(params.bootstraps)} (it has none)"
        if params.drops == "paired" and not self.pairs:
            return "paired drops (it rescales after every step)"
        chain = params.chain
        if not 1 <= len(chain.special) <= self.special:
            return f"{len(chain.special)} special primes (it takes 1 to {self.special})"
        small, large = self.prime_bits
        for bits in (chain.first, *chain.levels, *chain.special):
            if not small <= bits <= large:
                return f"a prime of {bits} bits (it takes {small} to {large})"
        return ""


@dataclass(frozen=True)
class Limits:
    """What a child process may use before it is ended.

    Args:
        seconds: of wall-clock time in all.
        memory_mb: resident memory, in MB (10^6 bytes).
    """

    seconds: float = 600.0
    memory_mb: float = 8000.0


@dataclass(frozen=True)
class Task:
    """What is to be run encrypted.

    Args:
        graph: the network.
        params: the configuration.
        packed: the network in slots, for back ends that take our layouts.
        network: the ``torch.nn.Module``, for back ends with a compiler of their own.
    """

    graph: Graph
    params: CkksParams
    packed: PackedNetwork | None = None
    network: Any = None


@dataclass(frozen=True)
class StageTime:
    """What one stage of one inference took.

    Args:
        stage: name of a node; ``encrypt`` and ``decrypt`` for what the client does for an input;
            ``encode_weights`` and ``keys`` for what is done once.
        kind: of the node; the name of the stage for the others.
        place: who does it; ``setup`` for what is done once for many inputs.
        seconds: wall-clock time.
        cpu_seconds: processor time of the process.
    """

    stage: str
    kind: str
    place: Place
    seconds: float
    cpu_seconds: float


@dataclass(frozen=True)
class Inference:
    """One encrypted inference.

    Args:
        image: row of the inputs.
        repeat: which keys.
        output: ``[outputs]``, decrypted.
        stages: in order, client's ones included.
    """

    image: int
    repeat: int
    output: np.ndarray
    stages: tuple[StageTime, ...]

    @property
    def seconds(self) -> float:
        """Wall-clock time of client and server together."""
        return sum(stage.seconds for stage in self.stages)

    @property
    def server_seconds(self) -> float:
        """Wall-clock time of the server."""
        return sum(stage.seconds for stage in self.stages if stage.place == "server")

    @property
    def cpu_seconds(self) -> float:
        """Processor time of client and server together."""
        return sum(stage.cpu_seconds for stage in self.stages)


@dataclass(frozen=True)
class EncryptedRun:
    """What a back end gave.

    Args:
        inferences: repeat by repeat, in the order of the schedule.
        setup: encoding of weights (once) and making of keys (once per repeat).
        peak_mb: largest resident memory of the process, in MB (10^6 bytes).
        notes: further facts, JSON-safe.
    """

    inferences: tuple[Inference, ...]
    setup: tuple[StageTime, ...]
    peak_mb: float
    notes: Mapping[str, Any] = field(default_factory=dict)


class Backend(Protocol):
    """A library that runs networks encrypted, in a process of its own."""

    def capabilities(self) -> Capabilities:
        """What parameters it takes."""
        ...

    def run(
        self,
        task: Task,
        inputs: np.ndarray,
        *,
        schedule: Sequence[Sequence[int]],
        limits: Limits,
        should_stop: Callable[[], bool] | None = None,
    ) -> EncryptedRun:
        """Encrypted inferences of rows of ``inputs`` ``[n, elements]``.

        Args:
            task: network and configuration.
            inputs: flattened inputs, float64.
            schedule: one list of rows for each set of fresh keys.
            limits: of the process.
            should_stop: asked now and then; true ends the run.

        Raises:
            BackendFailure: there is no usable answer.
            EvaluationError: a stop was asked for.
        """
        ...


def shared_out(images: Sequence[int], keys: int, always: Sequence[int] = ()) -> list[list[int]]:
    """A schedule: each set of keys takes its share of ``images`` and all of ``always``.

    So every image is seen under some keys, and further keys cost no further images.

    Args:
        images: rows of the inputs.
        keys: sets of fresh keys; at least 1.
        always: rows that every set of keys takes.
    """
    shares = [[*images[k::keys], *always] for k in range(keys)]
    return [share for share in shares if share]


def median_stages(run: EncryptedRun) -> list[dict[str, Any]]:
    """Median times of each stage over all inferences of ``run``, in ms, as JSON-safe rows."""
    rows = []
    for stages in zip(*(inference.stages for inference in run.inferences), strict=True):
        wall = statistics.median(stage.seconds for stage in stages)
        cpu = statistics.median(stage.cpu_seconds for stage in stages)
        rows.append(
            {
                "stage": stages[0].stage,
                "kind": stages[0].kind,
                "place": stages[0].place,
                "ms": round(1e3 * wall, 3),
                "cpu_ms": round(1e3 * cpu, 3),
            }
        )
    return rows
