"""Networks that lie inside one another in one file of weights, and how to take one out.

The file (safetensors) holds, for K members, sparsest first:

- ``level/<weight>``: uint8 of the weight's shape: 0 for no member, 1 from the sparsest member on,
  2 from the second on, and so forth;
- ``value/<weight>``: the entries of level above 0, in C order, shared by all members that have
  them;
- ``relu_level/<site>``: uint8 of the site's shape: from which member on an element is ReLU;
- ``member<k>/<name>``: what each member has for itself: batch norms with their statistics, biases
  and coefficients of polynomials;

and its metadata say the format and the densities. Member k is an ordinary network in canonical
form whose weights of higher level are zero.

Source: AdaPI (ICCAD 2024): shared weights, private batch norms. The file's form is ours.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from search.api.errors import ConfigError, EvaluationError
from search.workloads.masked import MaskedActivation

FORMAT = "nested"
_MOST_LEVELS = 255  # of a uint8
_MASK = ".mask"

State = dict[str, Tensor]


@dataclass
class NestedWeights:
    """All members' weights.

    Args:
        densities: of the members, rising.
        shared: name of a weight -> its values; entries of level 0 do not count.
        levels: name of a weight -> uint8, see the module.
        relu_levels: masked site -> uint8, see the module.
        private: for each member, name -> value of all other state; of masked sites as
            :class:`MaskedActivation` has it, the mask left out.

    Raises:
        ConfigError: shapes or numbers of members do not agree.
    """

    densities: tuple[float, ...]
    shared: State
    levels: State
    relu_levels: State
    private: tuple[State, ...]

    def __post_init__(self) -> None:
        if not 0 < len(self.densities) <= _MOST_LEVELS or len(self.private) != len(self.densities):
            raise ConfigError(
                f"nested weights: {len(self.private)} sets of private state for "
                f"{len(self.densities)} members (expected as many, from 1 to {_MOST_LEVELS})"
            )
        for name, level in self.levels.items():
            if level.dtype != torch.uint8 or level.shape != self.shared[name].shape:
                raise ConfigError(
                    f"nested weights: levels of {name} are {level.dtype} {tuple(level.shape)} "
                    f"(expected uint8 {tuple(self.shared[name].shape)})"
                )

    def weight(self, name: str, level: int) -> Tensor:
        """Weight ``name`` of member ``level``: zero where it does not reach."""
        given, value = self.levels[name], self.shared[name]
        return torch.where((given > 0) & (given <= level), value, torch.zeros_like(value))

    def mask(self, site: str, level: int) -> Tensor:
        """Bool mask of member ``level`` at ``site``, true where it is ReLU."""
        given = self.relu_levels[site]
        return (given > 0) & (given <= level)

    def nonzeros(self, level: int) -> dict[str, int]:
        """Name of a weight -> entries that member ``level`` has."""
        return {n: int(((v > 0) & (v <= level)).sum()) for n, v in self.levels.items()}

    def member(self, level: int) -> State:
        """State of member ``level`` as an ordinary network: where all or none of a site's
        elements are ReLU there is no mask any more.

        Raises:
            EvaluationError: there is no such member.
        """
        if not 1 <= level <= len(self.densities):
            raise EvaluationError(
                f"no member of level {level} (expected 1 to {len(self.densities)})"
            )
        state = {name: self.weight(name, level) for name in self.shared}
        state |= self.private[level - 1]
        for site in self.relu_levels:
            mask = self.mask(site, level)
            if bool(mask.any()) and not bool(mask.all()):
                state[site + _MASK] = mask
            else:
                _unmask(state, site, "kept" if bool(mask.any()) else "replacement")
        return state


def shared_weights(network: nn.Module) -> dict[str, nn.Parameter]:
    """Name -> weight of every convolution and linear layer: what members share."""
    layers = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
    return {
        f"{name}.weight": cast(nn.Parameter, module.weight)
        for name, module in network.named_modules()
        if isinstance(module, layers)
    }


def private_state(network: nn.Module) -> State:
    """A copy of all that a member has for itself: the state but shared weights and masks."""
    masks = {n + _MASK for n, m in network.named_modules() if isinstance(m, MaskedActivation)}
    left = masks | shared_weights(network).keys()
    return {
        name: value.detach().clone()
        for name, value in network.state_dict().items()
        if name not in left
    }


def save_nested(nested: NestedWeights, path: Path) -> Path:
    """Write ``nested`` to ``path``; atomic, from any device."""
    from safetensors.torch import save_file

    tensors: State = {}
    for name, level in nested.levels.items():
        tensors[f"level/{name}"] = level
        tensors[f"value/{name}"] = nested.shared[name][level > 0]
    tensors |= {f"relu_level/{site}": level for site, level in nested.relu_levels.items()}
    for number, private in enumerate(nested.private, start=1):
        tensors |= {f"member{number}/{name}": value for name, value in private.items()}
    plain = {n: v.detach().to("cpu", copy=True).contiguous() for n, v in tensors.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    metadata = {"format": FORMAT, "schema": "1", "densities": json.dumps(list(nested.densities))}
    try:
        save_file(plain, scratch, metadata)
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)
    return path


def load_nested(path: Path) -> NestedWeights:
    """What :func:`save_nested` wrote, on the CPU.

    Raises:
        EvaluationError: the file is missing, unreadable or no such file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata: Mapping[str, str] = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise EvaluationError(
                    f"weights {path}: no nested networks (format "
                    f"{metadata.get('format', 'of one network')!r}; expected {FORMAT!r})"
                )
            densities = tuple(float(d) for d in json.loads(metadata["densities"]))
            tensors: State = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise EvaluationError(f"weights {path}: no such file") from error
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise EvaluationError(f"weights {path}: not readable: {error}") from error
    levels = _part(tensors, "level/")
    shared = {name: _spread(level, tensors[f"value/{name}"]) for name, level in levels.items()}
    private = tuple(_part(tensors, f"member{k}/") for k in range(1, len(densities) + 1))
    return NestedWeights(densities, shared, levels, _part(tensors, "relu_level/"), private)


def levels_of(order: Tensor, counts: Sequence[int]) -> Tensor:
    """Levels of entries whose ``order`` (indices, best first) fills members one after the other.

    Args:
        order: a permutation of all entries.
        counts: how many entries each member has, never falling.

    Returns:
        uint8 vector: 1 for the first ``counts[0]``, 2 for the next ones, ..., 0 for the rest.

    Raises:
        ConfigError: the counts fall, or are more than there are entries.
    """
    ends = [0, *counts]
    if any(a > b for a, b in zip(ends, ends[1:], strict=False)) or ends[-1] > len(order):
        raise ConfigError(
            f"members of {list(counts)} entries are not nested in {len(order)} "
            "(expected rising counts)"
        )
    level = torch.zeros(len(order), dtype=torch.uint8, device=order.device)
    for number, (start, end) in enumerate(zip(ends, ends[1:], strict=False), start=1):
        level[order[start:end]] = number
    return level


def _unmask(state: State, site: str, branch: str) -> None:
    """Let ``branch`` of a masked site take the site's name; the other branch goes."""
    for name in [n for n in state if n.startswith((f"{site}.kept.", f"{site}.replacement."))]:
        value = state.pop(name)
        if name.startswith(f"{site}.{branch}."):
            state[f"{site}.{name.removeprefix(f'{site}.{branch}.')}"] = value


def _part(tensors: State, prefix: str) -> State:
    return {n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)}


def _spread(level: Tensor, values: Tensor) -> Tensor:
    """Values of the kept entries at their places, zeros elsewhere."""
    if values.dim() != 1 or len(values) != int((level > 0).sum()):
        raise EvaluationError(
            f"nested weights: {values.numel()} values for {int((level > 0).sum())} kept entries"
        )
    dense = torch.zeros(level.shape, dtype=values.dtype)
    dense[level > 0] = values
    return dense
