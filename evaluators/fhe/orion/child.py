"""The process in Orion's environment: compiles the layers, makes keys, computes on ciphertexts.

Started as ``python -I .../child.py FOLDER`` by an interpreter that has Orion and PyTorch but not
this project: only its modules that need the standard library alone are imported here.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    # Behind the interpreter's own packages: ours may hold a PyTorch for another Python.
    sys.path.append(str(Path(__file__).resolve().parents[3]))
    os.environ.setdefault("GOMAXPROCS", "1")  # read once, when the library is loaded

from evaluators.fhe.backends import Limits
from evaluators.fhe.child_process import (
    FAILED,
    STAGES,
    end_with_parent,
    kind_of,
    limit_self,
    own_peak_mb,
    tell_failure,
)

JOB, WEIGHTS, INPUTS = "job.json", "weights.npz", "inputs.npy"
REPORT, OUTPUTS = "report.json", "outputs.npy"

# What Orion says -> what it means; the rest is known to the parent.
_ERRORS = (
    ("boot_logp is required", "depth"),
    ("automatic bootstrap placement failed", "depth"),
    ("cannot genmoduli", "no_primes"),
    ("failed to generate", "no_primes"),
    ("cannot newparametersfromliteral", "no_primes"),
)
_GO_RESERVES_MB = 8000.0  # address space that the runtime of Go reserves and does not use


def main(folder: Path) -> None:
    """Do the job in ``folder``; a failure is written down, and the exit code says so."""
    end_with_parent()
    try:
        _Child(folder).run()
    except MemoryError:
        tell_failure(folder, "memory", "the process may not have more memory")
    except Exception as error:  # noqa: BLE001 - the library's errors have no common class
        message = f"{type(error).__name__}: {error}"
        known = next((kind for words, kind in _ERRORS if words in message.lower()), None)
        tell_failure(folder, known or kind_of(message), message)


class _Child:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._job: dict[str, Any] = json.loads((folder / JOB).read_text(encoding="utf-8"))
        self._told = os.open(folder / STAGES, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._stages: list[dict[str, Any]] = []
        self._inferences: list[dict[str, Any]] = []
        self._outputs: list[list[float]] = []
        limits = Limits(self._job["seconds"], self._job["memory_mb"])
        limit_self(limits, extra_mb=_GO_RESERVES_MB)

    def run(self) -> None:
        import numpy as np

        notes, data = self._compile()
        if not self._job["compile_only"]:
            self._infer(data)
        np.save(self._folder / OUTPUTS, np.array(self._outputs, dtype=np.float64))
        report = {
            "setup": self._stages,
            "inferences": self._inferences,
            "peak_mb": own_peak_mb(),
            "notes": notes,
        }
        (self._folder / REPORT).write_text(json.dumps(report), encoding="utf-8")

    def _compile(self) -> tuple[dict[str, Any], bytes]:
        import torch
        from orion_compiler import CKKSParams, Compiler, CompilerConfig
        from torch.utils.data import DataLoader, TensorDataset

        torch.set_num_threads(1)
        job = self._job
        network = _network(job["layers"], self._folder / WEIGHTS)
        samples = self._inputs()[:16].reshape(-1, *job["input_shape"])
        # One by one: the compiler lays out a batch of the loader's size.
        loader = DataLoader(TensorDataset(torch.tensor(samples, dtype=torch.float32)), batch_size=1)
        params = CKKSParams(**{k: _hashable(v) for k, v in job["params"].items()})
        with self._stage("compile", "setup", self._stages):
            compiler = Compiler(network, params, CompilerConfig(**job["config"]))
            compiler.fit(loader)
            compiled = compiler.compile()
            data = b"" if job["compile_only"] else compiled.to_bytes()
        nodes = [
            {
                "name": node.name,
                "op": node.op,
                "level": node.level,
                "depth": node.depth,
                "output_rotations": node.config.get("output_rotations", 0),
            }
            for node in compiled.graph.nodes
        ]
        notes = {
            "input_level": compiled.input_level,
            "cost": compiled.cost.to_dict(),
            "nodes": nodes,
            "model_mb": len(data) / 1e6,
        }
        compiler.close()
        return notes, data

    def _infer(self, data: bytes) -> None:
        from orion_evaluator import Model

        with self._stage("encode_weights", "setup", self._stages):
            model = Model.load(data)
        for repeat, images in enumerate(self._job["schedule"]):
            with self._stage("keys", "setup", self._stages):
                client = _Client(model)
            for image in images:
                self._one(model, client, repeat, image)
            client.close()

    def _one(self, model: Any, client: _Client, repeat: int, image: int) -> None:
        stages: list[dict[str, Any]] = []
        row = self._inputs()[image].reshape(-1)
        with self._stage("encrypt", "client", stages):
            ciphertexts = client.encrypted(row.tolist())
        with self._stage("network", "server", stages):
            results = client.evaluator.forward(model, ciphertexts)
        with self._stage("decrypt", "client", stages):
            output = client.decrypted(results, self._job["outputs"])
        self._outputs.append(output)
        self._inferences.append({"image": image, "repeat": repeat, "stages": stages})

    def _inputs(self) -> Any:
        import numpy as np

        return np.load(self._folder / INPUTS)

    @contextmanager
    def _stage(self, name: str, place: str, into: list[dict[str, Any]]) -> Iterator[None]:
        os.write(self._told, f"{name}\n".encode())
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        seconds, used = time.perf_counter() - wall, time.process_time() - cpu
        into.append(
            {"stage": name, "kind": name, "place": place, "seconds": seconds, "cpu_seconds": used}
        )


class _Client:
    """Keys of one repeat, which encrypt and decrypt, and the server's evaluator made with them."""

    def __init__(self, model: Any) -> None:
        from lattigo import ckks, rlwe
        from orion_evaluator import Evaluator

        literal, manifest, self._level = model.client_params()
        if manifest["bootstrap_slots"]:
            raise ValueError("unsupported: the network would be bootstrapped on this chain")
        self._rlwe = rlwe
        self._params = ckks.Parameters.from_dict(literal)
        self._encoder = ckks.Encoder(self._params)
        generator = rlwe.KeyGenerator(self._params)
        secret = generator.gen_secret_key()
        galois = [generator.gen_galois_key(secret, g) for g in manifest["galois_elements"]]
        keys = rlwe.MemEvaluationKeySet(generator.gen_relin_key(secret), galois)
        self._encryptor = rlwe.Encryptor(self._params, generator.gen_public_key(secret))
        self._decryptor = rlwe.Decryptor(self._params, secret)
        data = keys.marshal_binary()
        for key in (*galois, keys):
            key.close()
        self.evaluator = Evaluator(literal, data)

    def encrypted(self, values: list[float]) -> list[bytes]:
        """Ciphertexts of ``values``, as many as the slots demand."""
        slots = self._params.max_slots()
        found = []
        for start in range(0, len(values), slots):
            part = values[start : start + slots]
            padded = part + [0.0] * (slots - len(part))
            plain = self._encoder.encode(padded, self._level, self._params.default_scale())
            found.append(self._encryptor.encrypt_new(plain).marshal_binary())
        return found

    def decrypted(self, results: list[bytes], count: int) -> list[float]:
        """The first ``count`` values."""
        values: list[float] = []
        for data in results:
            plain = self._decryptor.decrypt_new(self._rlwe.Ciphertext.unmarshal_binary(data))
            values += self._encoder.decode(plain, self._params.max_slots())
        return values[:count]

    def close(self) -> None:
        """Give the keys' memory back."""
        self.evaluator.close()


def _network(layers: list[dict[str, Any]], weights: Path) -> Any:
    """Orion's modules with our weights."""
    import numpy as np
    import orion_compiler.nn as on
    import torch

    class Network(on.Module):  # type: ignore[misc]  # Orion is not installed where types are checked
        def __init__(self, modules: dict[str, Any]) -> None:
            super().__init__()
            self.body = torch.nn.Sequential()
            for name, module in modules.items():
                self.body.add_module(name, module)

        def forward(self, x: Any) -> Any:
            return self.body(x)

    network = Network({layer["name"]: _module(on, layer) for layer in layers})
    with np.load(weights) as tensors, torch.no_grad():
        for key in tensors.files:
            name, _, role = key.partition(".")
            target = getattr(network.body.get_submodule(name), role)
            target.copy_(torch.from_numpy(tensors[key]))
    return network.eval()


def _module(on: Any, layer: dict[str, Any]) -> Any:
    if layer["kind"] == "conv":
        return on.Conv2d(
            layer["inputs"],
            layer["outputs"],
            tuple(layer["kernel"]),
            tuple(layer["stride"]),
            tuple(layer["padding"]),
            tuple(layer["dilation"]),
            layer["groups"],
        )
    if layer["kind"] == "linear":
        return on.Linear(layer["inputs"], layer["outputs"])
    return {"square": on.Quad, "flatten": on.Flatten}[layer["kind"]]()


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    os._exit(0 if (Path(sys.argv[1]) / REPORT).is_file() else FAILED)
