import torch
from torch import nn

from search.workloads.canonical import canonicalise, trace_sites
from search.workloads.square import Square


def test_squares() -> None:
    assert torch.equal(Square()(torch.tensor([-3.0, 2.0])), torch.tensor([9.0, 4.0]))


def test_is_one_site_in_a_network() -> None:
    sites = trace_sites(canonicalise(nn.Sequential(nn.Linear(3, 3), Square()), (3,)), (3,))
    assert [(s.name, s.kind, s.operator) for s in sites][1] == ("1", "activation", "square")


def test_called_twice_it_is_two_sites() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.act = Square()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.act(self.act(x))

    graph = canonicalise(Twice(), (3,))
    assert [s.name for s in trace_sites(graph, (3,))] == ["act", "act#1"]
    assert torch.equal(graph(torch.full((1, 3), 2.0)), torch.full((1, 3), 16.0))
