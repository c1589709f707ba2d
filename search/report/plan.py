"""The operator at every site of a trial's network, from plain data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from search.api.network import Site
from search.api.trial import Trial

_SAME = {"max": "maxpool", "avg": "avgpool"}  # a choice's short name -> Site.operator


def choices_of(trial: Trial) -> dict[str, str]:
    """Site name -> operator, in the order of the plan; empty if the trial has no such plan.

    Reads ``candidate["payload"]["choices"]``, a list of ``{"site": .., "operator": ..}``; entries
    of another form are passed over, since other spaces have other payloads.
    """
    candidate = trial.outcome.candidate if trial.outcome else None
    payload = candidate.get("payload") if isinstance(candidate, Mapping) else None
    entries = payload.get("choices") if isinstance(payload, Mapping) else None
    if not isinstance(entries, (list, tuple)):
        return {}
    found: dict[str, str] = {}
    for entry in entries:
        if isinstance(entry, Mapping):
            site, operator = entry.get("site"), entry.get("operator")
            if isinstance(site, str) and isinstance(operator, str):
                found[site] = operator
    return found


def kept_of(trial: Trial) -> dict[str, int]:
    """Site name -> ReLU elements that its mask keeps, for the masked sites of the plan."""
    candidate = trial.outcome.candidate if trial.outcome else None
    payload = candidate.get("payload") if isinstance(candidate, Mapping) else None
    entries = payload.get("choices") if isinstance(payload, Mapping) else None
    return {
        str(entry.get("site")): kept
        for entry in (entries if isinstance(entries, (list, tuple)) else ())
        if isinstance(entry, Mapping) and isinstance(kept := entry.get("kept"), int)
    }


def layers_of(trial: Trial) -> list[tuple[str, str, float]]:
    """(Site name, structure, share kept) of every entry of a pruning plan, in its order.

    Reads ``candidate["payload"]["layers"]``, a list of ``{"site", "structure", "kept", "units"}``;
    entries of another form are passed over.
    """
    candidate = trial.outcome.candidate if trial.outcome else None
    payload = candidate.get("payload") if isinstance(candidate, Mapping) else None
    entries = payload.get("layers") if isinstance(payload, Mapping) else None
    found = []
    for entry in entries if isinstance(entries, (list, tuple)) else ():
        if not isinstance(entry, Mapping) or not isinstance(entry.get("structure"), str):
            continue
        kept, units = entry.get("kept"), entry.get("units")
        if isinstance(kept, int) and isinstance(units, int) and units > 0:
            found.append((str(entry.get("site")), str(entry["structure"]), kept / units))
    return found


def operators_along(trial: Trial, sites: Sequence[Site]) -> list[str]:
    """The operator at each site in execution order; sites without a choice keep their own."""
    choices = choices_of(trial)
    return [choices.get(site.name, site.operator) for site in sites]


def searched(sites: Sequence[Site], trials: Sequence[Trial]) -> frozenset[str]:
    """Names of the sites that any trial's plan chooses an operator for."""
    names = {site.name for site in sites}
    return frozenset(name for t in trials for name in choices_of(t) if name in names)


def is_original(operator: str, site: Site) -> bool:
    """Whether ``operator`` is what the original network has at ``site``."""
    return operator == site.operator or _SAME.get(operator) == site.operator


def plan_summary(trial: Trial) -> str:
    """The plan as counts, such as ``5 × relu + 4 × x2act + 1 × avg``; empty without a plan.

    Masked sites are counted by their operator, and followed by the elements that all masks keep. Of
    a pruning plan: what each layer keeps, such as ``fc1: 0.9 % (element)``.
    """
    layers = layers_of(trial)
    if layers:
        return ", ".join(f"{site}: {100 * keep:.3g} % ({what})" for site, what, keep in layers)
    counts = Counter(choices_of(trial).values())
    text = " + ".join(f"{count} × {operator}" for operator, count in counts.most_common())
    kept = kept_of(trial)
    return f"{text}, masks keep {sum(kept.values())}" if kept else text
