"""Gated operators: a site that does all of its operators at once, weighted by softmax(alpha).

Source: PASNet (DAC 2023), gated operator of the 2PC search space, alpha starting at 0; the
relaxation is that of Liu, Simonyan, Yang, DARTS (ICLR 2019), equation 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from search.api.network import Site, Usage
from search.workloads.operators import make_operator, operator_of


@runtime_checkable
class Relaxable(Protocol):
    """A space of one operator per site that has a relaxed form."""

    @property
    def options(self) -> Mapping[str, tuple[str, ...]]:
        """Free site -> operators that may stand there, in execution order."""
        ...

    @property
    def fixed(self) -> Mapping[str, str]:
        """Site outside the search -> its operator."""
        ...

    def plan(self, chosen: Mapping[str, str]) -> Any:
        """The payload with operator ``chosen[site]`` at every free site."""
        ...

    def relaxed_usage(self, shares: Mapping[str, Mapping[str, Any]]) -> Usage[Any]:
        """The work of the network when each free site is a mixture of operators."""
        ...


class Gate(nn.Module):
    """One site that does every operator, mixed by ``softmax(alpha)``.

    Args:
        operators: name -> module; all map the site's input to the same shape.
    """

    def __init__(self, operators: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.names = tuple(operators)
        self.branches = nn.ModuleList(operators.values())
        self.alpha = nn.Parameter(torch.zeros(len(self.names)))

    def shares(self) -> Tensor:
        """``softmax(alpha)``: one share per operator, ``[operators]``, sum 1."""
        return self.alpha.softmax(dim=0)

    def forward(self, x: Tensor) -> Tensor:
        """The mixture of all branches' outputs on ``x``."""
        shares = self.shares()
        mixed: Tensor = shares[0] * self.branches[0](x)
        for share, branch in zip(shares[1:], self.branches[1:], strict=True):
            mixed = mixed + share * branch(x)
        return mixed

    def choice(self) -> int:
        """Index of the largest alpha; the first of equals."""
        return int(self.alpha.detach().argmax())


class Gates:
    """All gates of a network, put in place by the constructor.

    Args:
        network: in canonical form; its free sites become gates, in place.
        options: free site -> operators.
        sites: the network's sites.
        operator_options: operator name -> options of its new modules.
    """

    def __init__(
        self,
        network: nn.Module,
        options: Mapping[str, Sequence[str]],
        sites: Sequence[Site],
        operator_options: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        by_name = {site.name: site for site in sites}
        given = operator_options or {}
        self._network = network
        self._gates: dict[str, Gate] = {}
        self._own: dict[str, str] = {}
        for name, operators in options.items():
            old = network.get_submodule(name)
            own = operator_of(old)
            gate = Gate(
                {
                    op: old if op == own else make_operator(op, by_name[name], **given.get(op, {}))
                    for op in operators
                }
            )
            network.set_submodule(name, gate, strict=True)
            self._gates[name] = gate
            self._own[name] = own if own in gate.names else gate.names[-1]
        like = next(network.parameters())
        for gate in self._gates.values():
            gate.to(like.device).train(network.training)

    def alphas(self) -> list[nn.Parameter]:
        """The architecture parameters, one ``[operators]`` per site."""
        return [gate.alpha for gate in self._gates.values()]

    def weights(self) -> list[nn.Parameter]:
        """Every other trainable parameter of the network."""
        own = {id(alpha) for alpha in self.alphas()}
        return [p for p in self._network.parameters() if p.requires_grad and id(p) not in own]

    def shares(self) -> dict[str, dict[str, Tensor]]:
        """Site -> operator -> share, 0-dim tensors that carry gradients to alpha."""
        return {
            name: dict(zip(gate.names, gate.shares().unbind(), strict=True))
            for name, gate in self._gates.items()
        }

    def values(self) -> dict[str, dict[str, float]]:
        """Site -> operator -> share, as numbers."""
        return {
            site: {op: float(share.detach()) for op, share in shares.items()}
            for site, shares in self.shares().items()
        }

    def original(self) -> dict[str, dict[str, float]]:
        """Site -> operator of the original network -> 1.0.

        Where the original operator may not stand, the last of the options stands for it.
        """
        return {site: {operator: 1.0} for site, operator in self._own.items()}

    def alpha_values(self) -> dict[str, dict[str, float]]:
        """Site -> operator -> alpha, rounded for people."""
        return {
            name: {
                op: round(value, 4)
                for op, value in zip(gate.names, gate.alpha.detach().tolist(), strict=True)
            }
            for name, gate in self._gates.items()
        }

    def chosen(self) -> dict[str, str]:
        """Site -> operator with the largest alpha."""
        return {name: gate.names[gate.choice()] for name, gate in self._gates.items()}

    def harden(self) -> dict[str, str]:
        """Put each site's chosen branch, with its trained weights, in place of its gate."""
        chosen = self.chosen()
        for name, gate in self._gates.items():
            self._network.set_submodule(name, gate.branches[gate.choice()], strict=True)
        self._gates = {}
        return chosen
