"""The graph of a candidate, for every evaluator of encrypted inference."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from evaluators.fhe.complete import complete
from evaluators.fhe.draft import Draft
from evaluators.fhe.fuse import fuse
from evaluators.fhe.graph import Graph
from evaluators.fhe.trace import draft_of
from search.api.candidate import Candidate
from search.api.errors import EvaluationError
from search.api.protocols import Context
from spaces.ckks.params import ActivationChoice, CkksParams

SAMPLES = 256
"""Training images that ranges and fitted polynomials are taken from."""


def graph_for(
    candidate: Candidate[Any], workload: Any, evaluator: str, ctx: Context | None = None
) -> Graph:
    """The graph of ``candidate``'s network with its weights and choices of activations.

    Its ranges are those of the first :data:`SAMPLES` training images. Candidates that share
    weights and choices share the graph within a process.

    Args:
        candidate: with :class:`CkksParams` as payload.
        workload: builds the network and has the data.
        evaluator: name for messages.
        ctx: of the trial, if it runs in one.

    Raises:
        EvaluationError: no weights, weights that do not fit, a payload of another kind, or a
            network with something that has no encrypted form.
        ConfigError: a choice of an activation does not fit its site.
    """
    payload = candidate.payload
    if not isinstance(payload, CkksParams):
        raise EvaluationError(
            f"candidate {candidate.digest}: {evaluator} reads CKKS configurations "
            f"(got a payload of type {type(payload).__name__}; expected CkksParams)"
        )
    if candidate.weights is None:
        raise EvaluationError(
            f"candidate {candidate.digest}: {evaluator} needs trained weights (got none). "
            "Use the method pretrained"
        )
    own = tuple(sorted((c for c in payload.activations if c.kind != "own"), key=lambda c: c.site))
    try:
        state = candidate.weights.stat()
    except OSError as error:
        raise EvaluationError(f"weights {candidate.weights}: no such file") from error
    weights = _Weights(
        candidate.weights, state.st_mtime_ns, state.st_size, workload.digest, workload
    )
    return _graph(weights, own)


@dataclass(frozen=True)
class _Weights:
    """What identifies a trained network: its file as it is now, and its workload."""

    path: Path
    modified_ns: int
    size: int
    workload_digest: str
    workload: Any = field(compare=False)


@lru_cache(maxsize=2)
def _graph(weights: _Weights, choices: tuple[ActivationChoice, ...]) -> Graph:
    draft = _draft(weights)
    sites = [op.sites[-1] for op in draft.ops.values() if op.kind in ("quadratic", "function")]
    by_site = {choice.site: choice for choice in choices}
    for site in by_site:
        if site not in sites:
            near = difflib.get_close_matches(site, sites, n=1)
            hint = f". Did you mean {near[0]!r}?" if near else f" (known: {', '.join(sites)})"
            raise EvaluationError(f"activation {site!r}: the network has no such site{hint}")
    images = weights.workload.data.train.x[:SAMPLES]
    samples = images.reshape(len(images), -1).double().cpu().numpy()
    return complete(draft, lambda s: by_site.get(s, ActivationChoice(s)), samples)


@lru_cache(maxsize=1)
def _draft(weights: _Weights) -> Draft:
    """The fused operators: activations are chosen after them."""
    from search.workloads.plan import load_weights

    network = load_weights(weights.workload.build(0), weights.path)
    draft = draft_of(network.eval(), tuple(weights.workload.input_shape))
    fuse(draft)
    return draft
