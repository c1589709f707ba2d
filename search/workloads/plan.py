"""Put a nonlinearity plan into a network, and keep its weights in files."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from search.api.errors import ConfigError, EvaluationError
from search.api.network import Site
from search.workloads.masked import check_masks
from search.workloads.nested import load_nested
from search.workloads.operators import make_operator, operator_of

M = TypeVar("M", bound=nn.Module)


def apply_plan(
    network: M,
    choices: Mapping[str, str],
    sites: Sequence[Site],
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> M:
    """Put the chosen operators at their sites, in place; all other weights stay.

    A site that already does what is chosen keeps its module, so trained polynomials and an
    original pool's exact window survive. Sites without a choice stay as they are.

    Args:
        network: a network in canonical form.
        choices: site name -> operator name, see :data:`search.workloads.operators.OPERATORS`.
        sites: the network's sites.
        options: operator name -> options of its new modules.

    Returns:
        ``network`` itself. New modules are on the device, of the float type and in the mode
        (training or evaluation) of the network.

    Raises:
        ConfigError: a site is unknown or fixed, or an operator is unknown. Nothing is changed.
    """
    by_name = {site.name: site for site in sites}
    made: dict[str, nn.Module] = {}
    for name, choice in choices.items():
        if name not in by_name:
            raise ConfigError(_unknown_site(name, by_name))
        own_options = (options or {}).get(choice.removeprefix("relu/"), {})
        new = make_operator(choice, by_name[name], **own_options)
        if operator_of(_module_at(network, name)) != choice:
            made[name] = new
    like = next((p for p in network.parameters() if p.is_floating_point()), torch.empty(0))
    for name, module in made.items():
        module.to(device=like.device, dtype=like.dtype).train(network.training)
        network.set_submodule(name, module, strict=True)
    return network


class Placed(Protocol):
    """A payload that says which operator stands at which site, masks included."""

    def as_mapping(self) -> Mapping[str, str]:
        """Site name -> operator."""
        ...

    def masks(self) -> Mapping[str, str]:
        """Site name -> digest of its mask, for masked sites."""
        ...


def network_of(workload: Any, payload: Placed, weights: Path, *, device: str = "cpu") -> nn.Module:
    """The network of a plan with its trained weights, in evaluation mode on ``device``.

    Args:
        workload: gives the network (``build``) and its sites.
        payload: the plan; one with a ``level`` is a member of nested networks.
        weights: what :func:`save_weights` wrote for that plan; for a member what
            :func:`~search.workloads.nested.save_nested` wrote for all members.
        device: where.

    Raises:
        EvaluationError: the weights do not fit, or hold other masks than the plan's.
        ConfigError: the plan does not fit the network.
    """
    network: nn.Module = workload.build(0)
    apply_plan(network, payload.as_mapping(), workload.sites())
    load_weights(network, weights, level=getattr(payload, "level", None))
    check_masks(network, payload.masks())
    return network.to(device).eval()


def save_weights(module: nn.Module, path: Path) -> Path:
    """Write all parameters and buffers to ``path`` (safetensors); atomic, from any device.

    Tensors that share memory are written once for each of their names.
    """
    from safetensors.torch import save_file

    state = {
        name: value.detach().to("cpu", copy=True).contiguous()
        for name, value in module.state_dict().items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        save_file(state, scratch)
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)
    return path


def load_weights(module: M, path: Path, *, level: int | None = None) -> M:
    """Read what :func:`save_weights` wrote into ``module``, on whatever device that is.

    Args:
        module: the network.
        path: the file.
        level: of the member to take out of a file of nested networks; None for one network.

    Returns:
        ``module`` itself.

    Raises:
        EvaluationError: the file is missing or unreadable, or names or shapes differ; the module
            is unchanged then.
    """
    state = _read(path) if level is None else load_nested(path).member(level)
    problems = _differences(module.state_dict(), state)
    if problems:
        raise EvaluationError(
            f"weights {path}: do not fit the network: {'; '.join(problems)}. "
            "Apply the plan the weights were trained with first"
        )
    module.load_state_dict(state)
    return module


def _read(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path, device="cpu")
    except FileNotFoundError as error:
        raise EvaluationError(f"weights {path}: no such file") from error
    except (SafetensorError, OSError) as error:
        raise EvaluationError(f"weights {path}: not readable as safetensors: {error}") from error


def _module_at(network: nn.Module, name: str) -> nn.Module:
    try:
        return network.get_submodule(name)
    except AttributeError as error:
        raise ConfigError(
            f"site {name}: the network has no module of that name. "
            "Bring it into canonical form first"
        ) from error


def _unknown_site(name: str, known: Mapping[str, Site]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"site {name!r}: the network has no such site.{hint}"


def _differences(own: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> list[str]:
    """What keeps ``other`` from fitting, in words; a few names each."""
    found = []
    missing, unexpected = sorted(own.keys() - other.keys()), sorted(other.keys() - own.keys())
    for word, names in (("missing", missing), ("unexpected", unexpected)):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            found.append(f"{word} {', '.join(names[:3])}{more}")
    for name in sorted(own.keys() & other.keys()):
        if own[name].shape != other[name].shape:
            found.append(
                f"{name} has shape {tuple(other[name].shape)} (expected {tuple(own[name].shape)})"
            )
            break
    return found
