"""Measured latency of the really smaller network on this host."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator

from evaluators.pruning.timing import Clock, clock_of, spread, times_in_turn
from evaluators.trained import need_workload, trained_network
from search.api.candidate import Candidate
from search.api.errors import EvaluationError, MissingExtra
from search.api.metric import Fidelity, Measurement, Metric
from search.api.protocols import Context

if TYPE_CHECKING:
    from torch import fx, nn

Backend = Literal["torch", "onnxruntime"]

LATENCY = {
    "torch": Metric(
        "latency_host", "ms", "min", "median latency of the smaller network, PyTorch, this host"
    ),
    "onnxruntime": Metric(
        "latency_onnx",
        "ms",
        "min",
        "median latency of the smaller network, ONNX Runtime, this host",
    ),
}
SPEEDUP = {
    "torch": Metric(
        "speedup_host", "1", "max", "dense latency by smaller latency, PyTorch, taken in turn"
    ),
    "onnxruntime": Metric("speedup_onnx", "1", "max", "the same through ONNX Runtime"),
}
PARAMETERS = Metric(
    "parameters_left", "1", "min", "parameters of the smaller network, remaining zeros included"
)
MACS = Metric(
    "macs_structured", "1", "min", "multiply-accumulates of the smaller network, zeros included"
)


class HostLatencyConfig(BaseModel):
    """Options of ``{name: host_latency}``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    backends: tuple[Backend, ...] = Field(
        ("torch",), description="what runs the network: `torch`, `onnxruntime`; none counts only"
    )
    batch_size: int = Field(1, ge=1, description="images per call")
    repeats: int = Field(50, ge=1, description="timed numbers behind the median")
    warm_up: int = Field(5, ge=0, description="calls before timing")
    shortest_ms: float = Field(
        2.0, ge=0, description="calls are timed together until they take this long [ms]"
    )
    threads: int = Field(1, ge=1, description="threads of the backend")
    clock: Clock = Field(
        "wall", description="`wall` time, or `cpu`: processor time, steadier on a busy host"
    )
    relative: bool = Field(
        False, description="also time the dense network, in turn with the smaller one"
    )

    @field_validator("backends")
    @classmethod
    def _once(cls, value: tuple[Backend, ...]) -> tuple[Backend, ...]:
        if len(set(value)) < len(value):
            raise ValueError(f"each backend once (got {', '.join(value)})")
        return value


class HostLatency:
    """Latency [ms] of the network without the channels that its zeros leave unused.

    Zeros that stay in the smaller network cost what other weights do. Absolute times are those of
    the host and of what else runs on it; ratios (``relative``) are far steadier.

    Args:
        workload: builds the network.
        config: see :class:`HostLatencyConfig`.

    Raises:
        ConfigError: there is no workload.
        MissingExtra: a backend is not installed.
    """

    Config: ClassVar[type[HostLatencyConfig]] = HostLatencyConfig
    needs: frozenset[str] = frozenset({"weights"})

    def __init__(self, workload: Any, config: HostLatencyConfig | None = None) -> None:
        self._workload = need_workload(workload, "host_latency")
        self._config = config or HostLatencyConfig()
        if "onnxruntime" in self._config.backends:
            _need("onnx", "onnxscript", "onnxruntime")

    @classmethod
    def from_config(cls, config: HostLatencyConfig, workload: Any) -> Self:
        """The evaluator for ``workload``.

        Raises:
            ConfigError: there is no workload.
            MissingExtra: a backend is not installed.
        """
        return cls(workload, config)

    @property
    def metrics(self) -> Sequence[Metric]:
        """A latency for each backend, its speed-up with ``relative``, and both counts."""
        backends = self._config.backends
        timed = [LATENCY[b] for b in backends]
        timed += [SPEEDUP[b] for b in backends if self._config.relative]
        return (*timed, PARAMETERS, MACS)

    def evaluate(
        self, candidate: Candidate[Any], fidelity: Fidelity, ctx: Context
    ) -> Sequence[Measurement]:
        """Latencies (and speed-ups) ``measured``, with ``n`` repeats and a 95 % interval of the
        median; the counts are exact for these weights: ``bound``.

        Raises:
            EvaluationError: no weights, weights that do not fit, or a network that ONNX does not
                take.
        """
        from search.workloads.pruning.shrink import mac_count, parameter_count, shrink

        shape = tuple(self._workload.input_shape)
        dense = trained_network(candidate, self._workload, "host_latency")
        small = shrink(_traced(dense), shape)
        found: list[Measurement] = []
        for backend in self._config.backends:
            found += self._timed(backend, dense, small, fidelity.name)
        counts = ((PARAMETERS, parameter_count(small)), (MACS, mac_count(small, shape)))
        found += [
            Measurement(metric.name, float(value), metric.unit, fidelity.name, "bound")
            for metric, value in counts
        ]
        return tuple(found)

    def _timed(
        self, backend: Backend, dense: nn.Module, small: nn.Module, fidelity: str
    ) -> list[Measurement]:
        config = self._config
        networks = [small, dense] if config.relative else [small]
        shape = (config.batch_size, *self._workload.input_shape)
        with _programs(backend, networks, shape, config.threads) as programs:
            times = times_in_turn(
                programs,
                repeats=config.repeats,
                warm_up=config.warm_up,
                shortest_s=config.shortest_ms / 1e3,
                now=clock_of(config.clock, config.threads),
            )
        found = [_measurement(LATENCY[backend], [1e3 * t for t in times[0]], fidelity)]
        if config.relative:
            ratios = [long / max(short, 1e-9) for short, long in zip(*times, strict=True)]
            found.append(_measurement(SPEEDUP[backend], ratios, fidelity))
        return found


def _measurement(metric: Metric, values: Sequence[float], fidelity: str) -> Measurement:
    of = spread(values)
    return Measurement(
        metric.name, of.value, metric.unit, fidelity, "measured",
        std=of.error, n=of.n, low=of.low, high=of.high,
    )  # fmt: skip


@contextmanager
def _programs(
    backend: Backend, networks: Sequence[nn.Module], shape: tuple[int, ...], threads: int
) -> Iterator[list[Callable[[], object]]]:
    """The networks as calls without arguments, all on the same random input."""
    import torch

    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    if backend == "onnxruntime":
        yield [_session(network, x, threads) for network in networks]
        return
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.inference_mode():
            yield [lambda network=network: network(x) for network in networks]  # type: ignore[misc]
    finally:
        torch.set_num_threads(before)


def _session(network: nn.Module, x: Any, threads: int) -> Callable[[], object]:
    import onnxruntime

    from search.workloads.program import write_onnx

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        write_onnx(network, tuple(x.shape[1:]), file)
        session = onnxruntime.InferenceSession(
            str(file), options, providers=["CPUExecutionProvider"]
        )
    given: Mapping[str, Any] = {"images": x.numpy()}
    return lambda: session.run(None, given)


def _traced(network: nn.Module) -> fx.GraphModule:
    from torch import fx

    if not isinstance(network, fx.GraphModule):
        raise EvaluationError(
            f"host_latency: the network is no traced one (got {type(network).__name__}; expected "
            "what the workload's build() gives)"
        )
    return network


def _need(*packages: str) -> None:
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise MissingExtra(
                f"host_latency through ONNX Runtime needs {package}. "
                "Run: pip install 'cipher-search[pruning]'",
                path="backends",
            )
