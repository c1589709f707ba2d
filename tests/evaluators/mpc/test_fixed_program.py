"""Networks in fixed point against the same networks in floating point, and against a real run."""

import pytest
import torch
from torch import Tensor, nn

from evaluators.lowered.lower import lower
from evaluators.lowered.program import Program, Step
from evaluators.mpc.crypten.shim import installed
from evaluators.mpc.fixed_program import FixedProgram
from evaluators.mpc.ring import Ring
from search.api.errors import EvaluationError
from search.workloads.canonical import canonicalise, trace_sites
from search.workloads.masked import MaskedActivation
from search.workloads.networks.resnet import resnet_tiny
from search.workloads.operators import OPERATORS
from search.workloads.plan import apply_plan

SHAPE = (2, 10, 10)


class Pooled(nn.Module):
    """Each kind of pool, a batch normalisation on its own, and a ReLU6."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(2)
        self.cap = nn.ReLU6()
        self.max = nn.MaxPool2d(3, 2, 1)
        self.average = nn.AvgPool2d(2, ceil_mode=True)
        self.rest = nn.AdaptiveAvgPool2d(2)
        self.out = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.rest(self.average(self.max(self.cap(self.norm(x)))))
        return self.out(torch.cat([y[:, :1], y[:, 1:]], dim=1).flatten(1))  # type: ignore[no-any-return]


def built(operator: str, variance: float = 9.0) -> nn.Module:
    """A network whose values grow with depth the more, the smaller ``variance`` is."""
    torch.manual_seed(0)
    network = canonicalise(resnet_tiny(SHAPE, 4), SHAPE)
    sites = trace_sites(network, SHAPE)
    chosen = {s.name: operator for s in sites if s.kind == "activation"}
    apply_plan(network, chosen, sites)
    for module in network.modules():
        if isinstance(module, MaskedActivation):
            module.set_mask(torch.rand(module.get_buffer("mask").shape) < 0.4)
        if isinstance(module, nn.BatchNorm2d):
            nn.init.constant_(module.running_var, variance)
    return network.eval()


def both(network: nn.Module, ring: Ring, n: int = 8) -> tuple[Tensor, Tensor]:
    x = torch.randn(n, *SHAPE, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        return FixedProgram(lower(network, SHAPE), ring).run(x), network(x).double()


@pytest.mark.parametrize("operator", OPERATORS["activation"])
def test_every_operator_is_close_to_floating_point(operator: str) -> None:
    network = built(operator)
    fixed, floating = both(network, Ring())
    assert float((fixed - floating).abs().max()) < 2e-3 * max(1.0, float(floating.abs().max()))
    coarse, _ = both(network, Ring(fraction_bits=8))
    assert float((coarse - floating).abs().max()) > 10 * float((fixed - floating).abs().max())


def test_pools_norms_and_caps() -> None:
    torch.manual_seed(0)
    network = Pooled().eval()
    nn.init.normal_(network.norm.running_mean)
    nn.init.constant_(network.norm.weight, 4.0)
    fixed, floating = both(network, Ring())
    assert float((fixed - floating).abs().max()) < 1e-3


def test_a_ring_too_small_is_noticed() -> None:
    ring = Ring(20, 10, truncation="exact")
    fixed, floating = both(built("relu", 0.25), ring)
    assert ring.overflow_share > 0.01
    assert float((fixed - floating).abs().max()) > 0.1


def test_a_comparison_of_few_bits_changes_the_outputs_of_its_site_alone() -> None:
    program = lower(built("relu"), SHAPE)
    x = torch.randn(8, *SHAPE, generator=torch.Generator().manual_seed(5))

    def run(windows: dict[str, tuple[int, int]]) -> Tensor:
        return FixedProgram(program, Ring(truncation="exact"), windows).run(x)

    machine = FixedProgram(program, Ring(truncation="exact"))
    assert torch.equal(machine.run(x), run({}))
    assert list(machine.compared) == [f"stage{i}.0.relu{j}" for i in (1, 2, 3) for j in (1, 2)]
    top = machine.compared["stage2.0.relu1"].bit_length() + 1
    assert not torch.equal(run({"stage2.0.relu1": (top - 4, 4)}), run({}))
    assert torch.equal(run({"stage2.0.relu1": (0, top)}), run({}))
    assert torch.equal(run({"elsewhere": (top - 4, 4)}), run({}))


def test_a_step_without_a_form_names_its_site() -> None:
    program = Program((2,), (Step("odd", "cosine", ("x",), "y"),), "y", {}, {})
    with pytest.raises(EvaluationError, match="odd: no fixed-point form of 'cosine'"):
        FixedProgram(program, Ring()).run(torch.zeros(1, 2))


@pytest.mark.slow
@pytest.mark.skipif(not installed(), reason="CrypTen is not installed")
@pytest.mark.parametrize(
    ("operator", "variance"), [("relu", 0.25), ("relu/x2act", 0.25), ("poly2", 9.0)]
)
def test_the_errors_are_those_of_a_real_run(operator: str, variance: float) -> None:
    from evaluators.mpc.crypten.run import run_two_party

    network = built(operator, variance)
    x = torch.randn(16, *SHAPE, generator=torch.Generator().manual_seed(5))
    program = lower(network, SHAPE)
    with torch.no_grad():
        floating = network(x).double()
    simulated = FixedProgram(program, Ring(seed=1)).run(x) - floating
    real = run_two_party(program, x, repeats=1).outputs.double() - floating
    # Truncations are drawn afresh in each run; their size is what both have in common.
    ratio = float(simulated.square().mean().sqrt() / real.square().mean().sqrt())
    assert 0.7 < ratio < 1.4
    assert float((simulated - real).abs().max()) < 3 * float(real.abs().max())
