"""How channels go through a network: which are constant, which are read, which go together.

A channel is an index of axis 1 of what a node of the graph gives. Three questions are answered by
one walk each:

- *constant*: its value is the same for every input and every pixel (a filter of zeros gives its
  bias, and what follows a constant is a constant, except at borders that are padded with zeros);
- *needed*: some weight that is not zero carries it on to the output;
- *slot*: channels that must go or stay together since an addition, a normalisation, a depthwise
  filter or a flatten ties them.

What is not known here (attention, layer norms, general groups, modules called twice, shared
parameters) is a barrier: it reads all channels, and none of those it reads or gives can go.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

from search.workloads.pruning import products
from search.workloads.pruning.steps import Step, node_shapes, steps_of


@dataclass(frozen=True)
class Constants:
    """Which channels of a node are constant.

    Args:
        known: whether it is, bool ``[C]``.
        value: the constant, float64 ``[C]``; 0 where it is none.
    """

    known: Tensor
    value: Tensor


class Channels:
    """The channels of a traced network.

    Args:
        network: in canonical form. It is not changed; weights are read anew by each method.
        input_shape: of one sample.

    Raises:
        ConfigError: the network does not run on inputs of this shape.
    """

    def __init__(self, network: fx.GraphModule, input_shape: tuple[int, ...]) -> None:
        self.network = network
        with evaluating(network):
            self._shapes = node_shapes(network, input_shape)
        self.steps: tuple[Step, ...] = steps_of(network, self._shapes)
        self._slots, self._pinned, self._size = _slots(self.steps)

    def constants(self) -> dict[fx.Node, Constants]:
        """Node -> its constant channels, as in evaluation mode."""
        found: dict[fx.Node, Constants] = {}
        with evaluating(self.network), torch.no_grad():
            for step in self.steps:
                if step.width:
                    found[step.node] = self._constants(step, [found[s] for s in step.sources])
        return found

    def _constants(self, step: Step, sources: list[Constants]) -> Constants:
        if step.kind in ("input", "barrier"):
            return _none(step.width)
        if step.kind == "flatten":
            repeat = step.width // len(sources[0].known)
            return Constants(
                sources[0].known.repeat_interleave(repeat),
                sources[0].value.repeat_interleave(repeat),
            )
        if step.kind == "cat":
            return Constants(
                torch.cat([s.known for s in sources]), torch.cat([s.value for s in sources])
            )
        if step.kind == "pad":
            front, back = step.pad
            return Constants(
                nn.functional.pad(sources[0].known, (front, back), value=True),
                nn.functional.pad(sources[0].value, (front, back)),
            )
        if step.kind == "add":
            known = sources[0].known & sources[1].known
            return Constants(known, (sources[0].value + sources[1].value) * known)
        if step.kind == "product":
            assert isinstance(step.module, products.Product)
            return Constants(*products.constants(step.module, sources[0].known, sources[0].value))
        if step.kind == "pool":
            known = sources[0].known & (step.uniform | (sources[0].value == 0))
            return Constants(known, sources[0].value * known)
        return self._mapped(step, sources[0])

    def _mapped(self, step: Step, source: Constants) -> Constants:
        """Through what acts on each element by itself: run it on the constants."""
        assert step.module is not None
        ndim = len(self._shapes[step.node])
        like = next((p for p in self.network.parameters()), torch.empty(0))
        given = source.value.to(like).reshape(1, -1, *(1,) * (ndim - 2))
        value = step.module(given).reshape(-1).double()
        return Constants(source.known, torch.where(source.known, value, 0.0))

    def needed(self) -> dict[fx.Node, Tensor]:
        """Node -> whether each channel can influence the output, bool ``[C]``."""
        found = {s.node: torch.zeros(s.width, dtype=torch.bool) for s in self.steps if s.width}
        for step in reversed(self.steps):
            own = found.get(step.node, torch.zeros(0, dtype=torch.bool))
            for place, source in enumerate(step.sources):
                if source in found:
                    found[source] |= _read(step, own, place, found[source])
        return found

    def kept(self) -> dict[fx.Node, Tensor]:
        """Node -> which channels a smaller network must have, bool ``[C]``; at least one of each.

        A channel goes if no channel of its slot is needed.
        """
        alive = torch.zeros(self._size, dtype=torch.bool)
        alive[self._pinned] = True
        for node, need in self.needed().items():
            alive[self._slots[node][need]] = True
        for slots in self._slots.values():
            if not alive[slots].any():  # no layer can have no channel at all
                alive[slots[:1]] = True
        return {node: alive[slots] for node, slots in self._slots.items()}

    def slots(self, node: fx.Node) -> Tensor:
        """Number of the slot of each channel of ``node``, int64 ``[C]``."""
        return self._slots[node]


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """``network`` in evaluation mode for a while; the mode of each module comes back."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def _none(width: int) -> Constants:
    return Constants(torch.zeros(width, dtype=torch.bool), torch.zeros(width, dtype=torch.float64))


def _read(step: Step, own: Tensor, place: int, source: Tensor) -> Tensor:
    """Which channels of one source ``step`` needs if its own ``own`` are needed."""
    width = len(source)
    if step.kind in ("barrier", "output"):
        return torch.ones(width, dtype=torch.bool)
    if step.kind == "product":
        assert isinstance(step.module, products.Product)
        return products.reads(step.module, own)
    if step.kind == "norm":
        gamma = getattr(step.module, "weight", None)
        return own if gamma is None else own & (gamma.detach() != 0)
    if step.kind == "flatten":
        return own.reshape(width, -1).any(1)
    if step.kind == "cat":
        return own[step.offsets[place] : step.offsets[place] + width]
    if step.kind == "pad":
        return own[step.pad[0] : step.pad[0] + width]
    return own if step.kind != "size" else torch.zeros(width, dtype=torch.bool)


def _slots(steps: tuple[Step, ...]) -> tuple[dict[fx.Node, Tensor], Tensor, int]:
    """(Node -> slot of each channel, slots that must stay, number of slots)."""
    sets = _Sets()
    own: dict[fx.Node, list[int]] = {}
    pinned: list[int] = []
    for step in steps:
        sources = [own[s] for s in step.sources if s in own]
        if step.kind in ("barrier", "output"):
            pinned += [slot for source in sources for slot in source]
        if not step.width:
            continue
        slots = _own_slots(step, sources, sets)
        if step.kind in ("input", "barrier"):
            pinned += slots
        own[step.node] = slots
    root = torch.tensor([sets.find(slot) for slot in range(len(sets.parents))], dtype=torch.int64)
    return {node: root[slots] for node, slots in own.items()}, root[pinned], len(root)


def _own_slots(step: Step, sources: list[list[int]], sets: _Sets) -> list[int]:
    if step.kind == "flatten":
        repeat = step.width // len(sources[0])
        return [slot for slot in sources[0] for _ in range(repeat)]
    if step.kind == "cat":
        return [slot for source in sources for slot in source]
    if step.kind == "pad":
        return [*sets.make(step.pad[0]), *sources[0], *sets.make(step.pad[1])]
    if step.kind == "add":
        for one, other in zip(*sources, strict=True):
            sets.join(one, other)
        return sources[0]
    if step.kind in ("map", "norm", "pool"):
        return sources[0]
    if step.kind == "product" and step.depthwise:
        repeat = step.width // len(sources[0])
        return [slot for slot in sources[0] for _ in range(repeat)]
    return sets.make(step.width)


class _Sets:
    """Disjoint sets of numbers."""

    def __init__(self) -> None:
        self.parents: list[int] = []

    def make(self, count: int) -> list[int]:
        first = len(self.parents)
        self.parents.extend(range(first, first + count))
        return list(range(first, first + count))

    def find(self, number: int) -> int:
        while self.parents[number] != number:
            self.parents[number] = self.parents[self.parents[number]]
            number = self.parents[number]
        return number

    def join(self, one: int, other: int) -> None:
        self.parents[self.find(other)] = self.find(one)
