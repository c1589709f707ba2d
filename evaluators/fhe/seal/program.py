"""A packed network with its modulus chain as plain files, so that a bare process can run it.

``program.json`` holds the structure; arrays are ``.npy`` files beside it, mapped into memory and
never all in memory at once. There is no pickle: the files can be read by anybody.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from evaluators.fhe.instructions import Instruction

if TYPE_CHECKING:
    from evaluators.fhe.graph import Node
    from evaluators.fhe.packed import PackedLinear, PackedNetwork

_FILE = "program.json"
_VERSION = 2


class Level(Protocol):
    """Limbs and scales of one node, as ``evaluators.fhe.levels.assign`` gives them."""

    @property
    def limbs_in(self) -> int:
        """Limbs of the operands, after switching to common ones."""
        ...

    @property
    def limbs_out(self) -> int:
        """Limbs of the result."""
        ...

    @property
    def scale_in(self) -> float:
        """Scale of the operands."""
        ...

    @property
    def scale_out(self) -> float:
        """Scale of the result."""
        ...

    @property
    def weight_scale(self) -> float:
        """Scale at which the diagonals of a linear map are encoded."""
        ...


@dataclass(frozen=True)
class Step:
    """One node, ready to run.

    Args:
        node: its name.
        kind: ``linear``, ``square``, ``polynomial`` or ``add``.
        inputs: names of the values it reads.
        ciphertexts: of its result.
        limbs_in, limbs_out: of operands and result.
        scale_in, scale_out: of operands and result; the scale itself, not its logarithm.
        weight_scale: of the diagonals of a linear map.
        folds: rotations of the rotate-and-add steps of a linear map.
        early: whether its inner sums are rescaled before their giant rotation.
        fold_first: whether its folds come before rescaling.
        plan: instructions of a polynomial; the last one gives its result.
    """

    node: str
    kind: str
    inputs: tuple[str, ...]
    ciphertexts: int
    limbs_in: int
    limbs_out: int
    scale_in: float
    scale_out: float
    weight_scale: float = 1.0
    folds: tuple[int, ...] = ()
    early: bool = False
    fold_first: bool = False
    plan: tuple[Instruction, ...] = ()


@dataclass(frozen=True)
class Program:
    """What the child process runs.

    Args:
        folder: where its arrays are.
        log_n: log2 of the ring dimension.
        primes: the data primes, that which is never dropped first.
        special: the primes for key switching.
        source: name of the input.
        input_limbs, input_scale: of the client's ciphertexts.
        steps: in execution order.
        rotations: steps that need a Galois key, in [1, slots).
        relinearise: whether products of ciphertexts occur.
    """

    folder: Path
    log_n: int
    primes: tuple[int, ...]
    special: tuple[int, ...]
    source: str
    input_limbs: int
    input_scale: float
    steps: tuple[Step, ...]
    rotations: tuple[int, ...]
    relinearise: bool

    @property
    def slots(self) -> int:
        """Numbers in one ciphertext."""
        return int(2 ** (self.log_n - 1))

    def terms(self, index: int) -> np.ndarray:
        """Terms of step ``index``: ``[terms, 4]`` of source, result, baby, giant."""
        return np.asarray(np.load(self.folder / f"{index}.terms.npy"))

    def diagonals(self, index: int) -> np.ndarray:
        """Diagonals of step ``index``: ``[terms, slots]``, float64, mapped from the file."""
        return np.asarray(np.load(self.folder / f"{index}.diagonals.npy", mmap_mode="r"))

    def bias(self, index: int) -> np.ndarray:
        """Bias of step ``index``: ``[ciphertexts, slots]``, float64."""
        return np.asarray(np.load(self.folder / f"{index}.bias.npy"))

    @classmethod
    def read(cls, folder: Path) -> Program:
        """The program in ``folder``.

        Raises:
            OSError, ValueError, TypeError, KeyError: there is none, or it is damaged.
        """
        data = json.loads((folder / _FILE).read_text(encoding="utf-8"))
        if data.pop("version") != _VERSION:
            raise ValueError(f"{folder / _FILE}: another version (expected {_VERSION})")
        steps = tuple(
            Step(
                **{
                    **step,
                    "inputs": tuple(step["inputs"]),
                    "folds": tuple(step["folds"]),
                    "plan": tuple(_instruction(one) for one in step["plan"]),
                }
            )
            for step in data.pop("steps")
        )
        for key in ("primes", "special", "rotations"):
            data[key] = tuple(data[key])
        return cls(folder=folder, steps=steps, **data)


def write(
    folder: Path,
    packed: PackedNetwork,
    *,
    log_n: int,
    primes: Sequence[int],
    special: Sequence[int],
    levels: Mapping[str, Level],
) -> Program:
    """Write ``packed`` under a modulus chain into ``folder``, which must exist.

    Args:
        folder: where to.
        packed: the network in slots.
        log_n: log2 of the ring dimension.
        primes: the data primes, that which is never dropped first.
        special: the primes for key switching.
        levels: limbs and scales of every node.
    """
    graph = packed.graph
    first = graph.nodes[0]
    steps = tuple(
        _step(folder, index, node, packed, levels[node.name], primes)
        for index, node in enumerate(graph.nodes[1:])
    )
    kinds = {step.kind for step in steps}
    program = Program(
        folder=folder,
        log_n=log_n,
        primes=tuple(primes),
        special=tuple(special),
        source=first.name,
        input_limbs=levels[first.name].limbs_out,
        input_scale=levels[first.name].scale_out,
        steps=steps,
        rotations=rotations(packed),
        relinearise=bool(kinds & {"square", "polynomial"}),
    )
    data = {"version": _VERSION, **asdict(program)}
    del data["folder"]
    (folder / _FILE).write_text(json.dumps(data, allow_nan=False), encoding="utf-8")
    return program


def rotations(packed: PackedNetwork) -> tuple[int, ...]:
    """Distinct rotations of ``packed`` in [1, slots), sorted."""
    found = {
        step % packed.slots
        for linear in packed.linears.values()
        for step in (
            *(baby for _, baby in linear.babies),
            *(giant for _, giant in linear.giants),
            *linear.folds,
        )
    }
    return tuple(sorted(found - {0}))


def _step(
    folder: Path,
    index: int,
    node: Node,
    packed: PackedNetwork,
    level: Level,
    primes: Sequence[int],
) -> Step:
    linear = packed.linears[node.name] if node.kind == "linear" else None
    if linear is not None:
        _write_linear(folder, index, linear, packed.slots)
    return Step(
        node=node.name,
        kind=node.kind,
        inputs=tuple(node.inputs),
        ciphertexts=packed.layouts[node.name].ciphertexts,
        limbs_in=level.limbs_in,
        limbs_out=level.limbs_out,
        scale_in=level.scale_in,
        scale_out=level.scale_out,
        weight_scale=level.weight_scale if linear else 1.0,
        folds=tuple(f % packed.slots for f in linear.folds) if linear else (),
        early=linear.early if linear else False,
        fold_first=linear.fold_first if linear else False,
        plan=_instructions(node, level, primes),
    )


def _instructions(node: Node, level: Level, primes: Sequence[int]) -> tuple[Instruction, ...]:
    if node.polynomial is None:
        return ()
    from evaluators.fhe.polynomial_plan import plan  # the child does not need it

    found = plan(node.polynomial)
    return found.instructions(level.limbs_in, level.scale_in, primes, level.scale_out)


def _instruction(data: Mapping[str, Any]) -> Instruction:
    return Instruction(**{**data, "operands": tuple(data["operands"])})


def _write_linear(folder: Path, index: int, linear: PackedLinear, slots: int) -> None:
    """Terms, bias, and the diagonals one after another."""
    terms = np.array(
        [(t.source, t.result, t.baby % slots, t.giant % slots) for t in linear.terms],
        dtype=np.int64,
    )
    np.save(folder / f"{index}.terms.npy", terms.reshape(-1, 4))
    np.save(folder / f"{index}.bias.npy", np.asarray(linear.bias(), dtype=np.float64))
    file = np.lib.format.open_memmap(
        folder / f"{index}.diagonals.npy", "w+", np.float64, (len(linear.terms), slots)
    )
    for term in range(len(linear.terms)):
        file[term] = linear.diagonal(term)
    file.flush()
    del file
