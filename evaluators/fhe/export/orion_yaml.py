"""A configuration as Orion reads it: a YAML file.

Keys are those of orion-fhe 1.0.2; ``ckks_params`` and ``orion`` of its configuration files.
"""

from __future__ import annotations

from evaluators.fhe.failures import BackendFailure
from evaluators.fhe.orion.run import parameters
from spaces.ckks.params import CkksParams

_RINGS = {"standard": "Standard", "conjugate_invariant": "ConjugateInvariant"}
_METHODS = {"fold": "hybrid", "square": "square"}


def embedding(params: CkksParams) -> str:
    """Orion's name of the embedding: it has one for the whole network.

    ``fold`` is its hybrid, ``square`` its square; a mixture goes by hybrid.
    """
    chosen = {layer.embedding for layer in params.layers}
    return _METHODS["square"] if chosen == {"square"} else _METHODS["fold"]


def orion_yaml(params: CkksParams) -> str:
    """The text of ``orion.yaml``.

    Args:
        params: the configuration.

    Raises:
        BackendFailure: kind ``unsupported``: Orion rescales after every step.
    """
    if params.drops == "paired":
        raise BackendFailure(
            "unsupported",
            "Orion rescales after every square and every linear map (this chain "
            "has one prime for both, drops: paired)",
        )
    own = parameters(params)
    notes = "\n".join(f"# - {line}" for line in differences(params))
    return f"""\
# For Orion: orion.init_scheme("orion.yaml"). Bits of primes; Orion finds the primes itself.
# In orion-v2 the same numbers go into CKKSParams(logn, logq, logp, log_default_scale, h,
# ring_type), the embedding into CompilerConfig(embedding_method=...).
# Orion checks no security: parameters.json says what this was judged by.
# What differs there:
{notes}

ckks_params:
  LogN: {own["logn"]}
  LogQ: {own["logq"]}
  LogP: {own["logp"]}
  LogScale: {own["log_default_scale"]}
  H: {own["h"]}
  RingType: {_RINGS[params.ring]}

orion:
  margin: {max((c.margin for c in params.activations), default=2.0):g}
  embedding_method: {embedding(params)}
  backend: lattigo
  fuse_modules: true
  debug: false
  io_mode: none
"""


def differences(params: CkksParams) -> list[str]:
    """What Orion does otherwise than our own engine under ``params``, one sentence each."""
    found = ["layouts, baby steps, the packing of the input and when to rescale are Orion's own"]
    if len({layer.embedding for layer in params.layers}) > 1:
        mixed = ", ".join(f"{layer.site}: {layer.embedding}" for layer in params.layers)
        found.append(f"one embedding for all layers (chosen here: {mixed})")
    if params.secret_weight is None:
        found.append("H: a dense secret; two thirds of its entries are not zero on average")
    fitted = [c for c in params.activations if c.kind not in ("own", "square")]
    if fitted:
        sites = ", ".join(f"{c.site}: {c.kind} of degree {c.degree}" for c in fitted)
        found.append(f"activations are written in the network with Orion's own modules ({sites})")
    if params.bootstraps:
        found.append(
            f"Orion places bootstraps itself (chosen here: {', '.join(params.bootstraps)}) and "
            "wants boot_params"
        )
    return found
