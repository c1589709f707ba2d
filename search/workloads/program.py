"""A network as a file that runs without its Python code: torch.export and ONNX.

Every file is read back and run beside the network before it counts, at a batch size other than
the one it was traced with.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from search.api.errors import EvaluationError

TOLERANCE = 1e-3
"""Largest difference of an output, relative to the largest output, that still counts as equal."""


def write_program(network: nn.Module, input_shape: tuple[int, ...], path: Path) -> float:
    """Write ``network`` by ``torch.export``, for any batch size.

    Args:
        network: in evaluation mode, on the CPU; maps ``[n, *input_shape]`` to one tensor.
        input_shape: of one sample.
        path: file to write.

    Returns:
        largest absolute difference between program and network on random inputs.

    Raises:
        EvaluationError: the network cannot be exported, or the program gives other outputs.
    """
    with _quiet(), _failing("torch.export", path):
        program = _exported(network, input_shape)
        torch.export.save(program, path)
        module = torch.export.load(path).module()
        x = _inputs(input_shape, 3)
        with torch.inference_mode():
            return _compare(module(x), network(x))


def write_onnx(network: nn.Module, input_shape: tuple[int, ...], path: Path) -> float | None:
    """Write ``network`` as ONNX, for any batch size.

    Returns:
        largest absolute difference as run by onnxruntime; None where that is not installed (the
        file is then checked for form only).

    Raises:
        EvaluationError: the extra is not installed, or the network cannot be exported.
    """
    for package in ("onnx", "onnxscript"):
        if importlib.util.find_spec(package) is None:
            raise EvaluationError(
                f"{package} is not installed. Run: pip install 'cipher-search[onnx]'"
            )
    import onnx

    with _quiet(), _failing("torch.onnx", path):
        program = torch.onnx.export(
            network,
            (_inputs(input_shape, 2),),
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            verbose=False,
        )
        if program is None:
            raise EvaluationError("torch.onnx gave no program")
        program.save(str(path))
        onnx.checker.check_model(str(path))
        return _onnx_difference(network, input_shape, path)


def _exported(network: nn.Module, input_shape: tuple[int, ...]) -> torch.export.ExportedProgram:
    batch = torch.export.Dim("batch")
    return torch.export.export(
        network, (_inputs(input_shape, 2),), dynamic_shapes=({0: batch},), strict=False
    )


def _onnx_difference(network: nn.Module, input_shape: tuple[int, ...], path: Path) -> float | None:
    if importlib.util.find_spec("onnxruntime") is None:
        return None
    onnxruntime = importlib.import_module("onnxruntime")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    x = _inputs(input_shape, 3)
    (given,) = session.run(None, {"images": x.numpy()})
    with torch.inference_mode():
        return _compare(torch.from_numpy(given), network(x))


def _inputs(input_shape: tuple[int, ...], n: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn((n, *input_shape), generator=generator)


def _compare(given: Tensor, expected: Tensor) -> float:
    difference = float((given - expected).abs().max())
    limit = TOLERANCE * max(1.0, float(expected.abs().max()))
    if not difference <= limit:  # NaN is not within any limit
        raise EvaluationError(
            f"the file gives other outputs than the network (largest difference {difference:.3g}; "
            f"allowed {limit:.3g})"
        )
    return difference


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporters' own remarks off the screen; what matters comes as an exception."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


@contextlib.contextmanager
def _failing(what: str, path: Path) -> Iterator[None]:
    """Any failure of an exporter as one line; no half-written file stays."""
    try:
        yield
    except Exception as error:
        path.unlink(missing_ok=True)
        if isinstance(error, (EvaluationError, OSError)):
            raise
        first = str(error).strip().partition("\n")[0]
        raise EvaluationError(f"{what} failed: {type(error).__name__}: {first}") from error
