"""Do the tables of SEMI2K and Cheetah tell what SPU really sends? Two processes on this machine.

First single operators: counted bytes per element of ReLU and of a product against the table's rows.
Then a small network with ReLU, X2act, a mask and both pools: predicted against counted bytes, and
predicted against measured loopback latency (with the table's CPU times, which are another host's).
Bytes are payload; ``interface`` is the same with the headers of packets. Prints one JSON line each.

Needs SPU's environment: see ``search doctor``. ``python benchmarks/spu_check.py`` takes minutes;
``--smoke`` runs one operator under SEMI2K and proves only that it works.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Iterator

import torch
from torch import nn

from evaluators.cost_table import CostTable
from evaluators.lowered.lower import lower
from evaluators.lowered.program import Program, Step
from evaluators.mpc.cost_2pc import TABLES, Cost2PC
from evaluators.mpc.spu.environment import VERSION, find_spu, install_command
from evaluators.mpc.spu.run import PROTOCOLS, SpuRun, run_spu
from search.api.errors import EvaluationError
from search.workloads.canonical import canonicalise
from search.workloads.masked import MaskedActivation, mask_digest
from search.workloads.plan import apply_plan
from search.workloads.sites import trace_sites
from spaces.plan import ArtefactRef, NonlinearityPlan, SiteChoice

SHAPE = (16, 32, 32)
NETWORK_SHAPE = (3, 16, 16)
ROWS = {"relu": "relu_bytes_element", "x2act": "square_bytes_element"}


def operator_line(protocol: str, operator: str, shape: tuple[int, ...], repeats: int) -> dict:
    """``x2act`` with coefficients of one is ``x (x + 1)``: one product and nothing else."""
    public = {"y:c": torch.tensor([0.0, 1.0, 1.0], dtype=torch.float64).view(3, 1, 1, 1, 1)}
    step = Step("y", operator, ("x",), "y")
    program = Program(shape, (step,), "y", {}, public if operator == "x2act" else {})
    x = torch.randn(1, *shape)
    run = run_spu(program, x, protocol=protocol, repeats=repeats)
    plain = x.relu() if operator == "relu" else x * (x + 1)
    table = CostTable.load(TABLES / f"{protocol}.toml").value(ROWS[operator], "B")
    elements = x.numel()
    return {
        "case": f"{protocol}: {operator}",
        "elements": elements,
        "bytes_per_element": round(run.bytes / elements, 2),
        "table_B": table,
        "off": round(table * elements / run.bytes - 1, 4),
        **common(run, plain),
    }


def network_line(protocol: str, repeats: int) -> dict:
    torch.manual_seed(0)
    plain = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1),
        nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(128, 10),
    )  # fmt: skip
    network = canonicalise(plain, NETWORK_SHAPE).eval()
    sites = trace_sites(network, NETWORK_SHAPE)
    first, second, third = (s.name for s in sites if s.kind == "activation")
    apply_plan(network, {first: "relu", second: "relu/identity", third: "x2act"}, sites)
    masked = network.get_submodule(second)
    assert isinstance(masked, MaskedActivation)
    masked.set_mask(torch.rand(masked.get_buffer("mask").shape) < 0.2)
    mask = masked.get_buffer("mask")
    reference = ArtefactRef("mask", mask_digest(mask))
    plan = NonlinearityPlan((
        SiteChoice(first, "relu"),
        SiteChoice(second, "relu/identity", (reference,), kept=int(mask.sum())),
        SiteChoice(third, "x2act"),
    ))  # fmt: skip
    x = torch.randn(1, *NETWORK_SHAPE)
    run = run_spu(lower(network, NETWORK_SHAPE), x, protocol=protocol, repeats=repeats)
    models = Cost2PC(sites, protocol=protocol, network="loopback", calibration="none").cost_models()
    usage = plan.usage(sites)
    predicted = {n: float(models[n].cost(usage)) for n in ("bytes_2pc", "latency_2pc")}
    by_site = {k: round(v, 4) for k, v in models["bytes_2pc"].breakdown(usage).items() if v}
    with torch.inference_mode():
        outputs = network(x)
    return {
        "case": f"{protocol}: network",
        "bytes_MB": round(1e-6 * run.bytes, 4),
        "bytes_model_MB": round(predicted["bytes_2pc"], 4),
        "off": round(predicted["bytes_2pc"] / (1e-6 * run.bytes) - 1, 4),
        "latency_model_ms": round(predicted["latency_2pc"], 2),
        "model_MB_by_site": by_site,
        **common(run, outputs),
    }


def common(run: SpuRun, plain: torch.Tensor) -> dict:
    return {
        "latency_ms": round(1e3 * run.seconds, 2),
        "setup_s": round(run.setup_seconds, 2),
        "setup_MB": round(1e-6 * run.setup_bytes, 2),
        "interface": run.interface_bytes and round(run.interface_bytes / run.bytes, 4),
        "output_error": float((run.outputs - plain).abs().max()),
        "evidence": "measured",
    }


def lines(smoke: bool, repeats: int) -> Iterator[dict]:
    if smoke:
        found = find_spu()
        if found is None or found.version != VERSION:
            yield {"case": "skipped", "reason": f"no SPU {VERSION}. Run: {install_command()}"}
            return
        yield operator_line("semi2k", "relu", (4, 16, 16), 2)
        return
    for protocol in PROTOCOLS:
        for operator in ROWS:
            yield operator_line(protocol, operator, SHAPE, repeats)
        try:
            yield network_line(protocol, repeats)
        except EvaluationError as error:  # SPU itself may crash: that is a result, too
            yield {"case": f"{protocol}: network", "error": str(error)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="one small operator, SEMI2K")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    for line in lines(options.smoke, options.repeats):
        print(json.dumps(line), flush=True)
    host = {"spu": VERSION, "python": platform.python_version(), "torch": torch.__version__}
    load = [round(v, 2) for v in os.getloadavg()[:2]]
    print(json.dumps({"case": "host", **host, "cores": os.cpu_count(), "load": load}))


if __name__ == "__main__":
    main()
