"""A network as a list of plain steps: what the parties read. JSON and safetensors, never pickle.

What a party may know decides in which file a tensor stands. Weights and biases are *private*: one
file, which party 0 alone opens. Masks (which elements keep ReLU) and coefficients of activation
polynomials are *public*: both parties read them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

STRUCTURE, PUBLIC, PRIVATE = "program.json", "public.safetensors", "private.safetensors"
SCHEMA = 1


@dataclass(frozen=True)
class Step:
    """One operation on values.

    Args:
        site: name of the network's site it belongs to (for people and for traffic by site).
        operator: what is done: ``conv``, ``linear``, ``affine``, ``add``, ``flatten``, ...; the
            name of a function (``silu``) only for readers that asked for it.
        inputs: names of the values it reads; the network's input is ``x``.
        output: name of the value it makes.
        attributes: JSON data of the operation, such as stride and padding.
        shapes: role -> shape of its private tensors, which only party 0 has.
    """

    site: str
    operator: str
    inputs: tuple[str, ...]
    output: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Program:
    """Steps in order, and their tensors by the name ``<output of the step>:<role>``.

    Args:
        input_shape: of one sample.
        steps: in execution order.
        output: name of the value that is the result.
        private: weights and biases, float32 unless another type was asked for.
        public: masks as indices (int64) and polynomials' coefficients (float64).
    """

    input_shape: tuple[int, ...]
    steps: tuple[Step, ...]
    output: str
    private: Mapping[str, Tensor]
    public: Mapping[str, Tensor]

    def write(self, folder: Path) -> None:
        """Three files in ``folder``, which is made if need be."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        steps = [
            {
                "site": s.site,
                "operator": s.operator,
                "inputs": list(s.inputs),
                "output": s.output,
                "attributes": dict(s.attributes),
                "shapes": {role: list(shape) for role, shape in s.shapes.items()},
            }
            for s in self.steps
        ]
        structure = {
            "schema": SCHEMA,
            "input_shape": list(self.input_shape),
            "output": self.output,
            "steps": steps,
        }
        (folder / STRUCTURE).write_text(json.dumps(structure), encoding="utf-8")
        save_file(dict(self.public), folder / PUBLIC)
        save_file(dict(self.private), folder / PRIVATE)

    @classmethod
    def read(cls, folder: Path, *, private: bool) -> Program:
        """The program in ``folder``; without its private tensors unless ``private``.

        Raises:
            ValueError: the files are of another schema.
        """
        from safetensors.torch import load_file

        data = json.loads((folder / STRUCTURE).read_text(encoding="utf-8"))
        if data["schema"] != SCHEMA:
            raise ValueError(f"{folder}: schema {data['schema']} (expected {SCHEMA})")
        steps = tuple(
            Step(
                s["site"],
                s["operator"],
                tuple(s["inputs"]),
                s["output"],
                s["attributes"],
                {role: tuple(shape) for role, shape in s["shapes"].items()},
            )
            for s in data["steps"]
        )
        return cls(
            tuple(data["input_shape"]),
            steps,
            data["output"],
            load_file(folder / PRIVATE) if private else {},
            load_file(folder / PUBLIC),
        )
