"""CrypTen as this project uses it: whether it is there, and how it is imported.

CrypTen 0.4.1 requires a distribution that can no longer be installed (``sklearn``), so a plain
``pip install crypten`` fails, and its ONNX converter, imported on ``import crypten`` and never used
here, looks for modules that PyTorch has moved.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
import warnings
from typing import Any

from search.api.errors import MissingExtra

VERSION = "0.4.1"
"""The version whose traffic and behaviour are known."""

INSTALL = "search doctor --install crypten"
"""The command that installs CrypTen so that it can be imported."""

_MOVED = "torch.onnx._internal.registration"
_PRESENT = "torch.onnx._internal.torchscript_exporter.registration"


def installed() -> bool:
    """Whether CrypTen and what it imports can be found; nothing is imported."""
    return all(importlib.util.find_spec(name) for name in ("crypten", "omegaconf", "onnx"))


def need_crypten() -> None:
    """Check that CrypTen is installed.

    Raises:
        MissingExtra: it is not; the message names the command that installs it.
    """
    if not installed():
        raise MissingExtra(f"CrypTen is not installed: real two-party runs need it. Run: {INSTALL}")


def import_crypten() -> Any:
    """The module ``crypten``.

    Raises:
        MissingExtra: it is not installed, or cannot be imported with this PyTorch.
    """
    need_crypten()
    _mend_torch()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # escapes in its docstrings, old calls of PyTorch
            return importlib.import_module("crypten")
    except (ImportError, AttributeError, SyntaxError) as error:
        raise MissingExtra(
            f"CrypTen is installed but cannot be imported ({error}). Run: {INSTALL}"
        ) from error


def _mend_torch() -> None:
    """Put back the two names of ``torch.onnx`` that CrypTen's converter imports."""
    onnx = importlib.import_module("torch.onnx")
    if not hasattr(onnx, "OperatorExportTypes"):
        vars(onnx)["OperatorExportTypes"] = types.SimpleNamespace(ONNX=0)
    if _MOVED in sys.modules:
        return
    try:
        importlib.import_module(_MOVED)  # PyTorch up to 2.8 has it in its old place
    except ModuleNotFoundError:
        sys.modules[_MOVED] = importlib.import_module(_PRESENT)
