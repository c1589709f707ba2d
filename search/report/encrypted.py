"""Tables about encrypted inference: chains, layers, errors and sizes of the trials on a front."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from search.api.metric import Metric
from search.api.trial import Trial
from search.report.chain import Chain, Layer, chain_of
from search.report.family import Arm, Family
from search.report.numbers import format_number, value_in
from search.report.table import Cell, Quantity, Table
from search.report.tables import quantity

NOTES = ("ckks_predicted", "ckks_stages", "ckks_block_stages")
"""Notes that are shown as tables and pictures, and so not as text."""

_MOST_TRIALS = 40  # of a front, in tables with one row for each
_SHARE = "share of the time [%]"
_SIZES = (("key_mb", "keys"), ("plaintext_mb", "encoded weights"), ("upload_mb", "upload"),
          ("memory_ckks", "resident memory of the run"))  # fmt: skip


def has_chains(family: Family) -> bool:
    """Whether any trial is a CKKS configuration."""
    return any(chain_of(t) is not None for arm in family.arms for t in arm.snapshot.trials)


def encrypted_tables(family: Family) -> list[Table]:
    """Chains, layers, errors and sizes of the main arm's front, then the chains of other fronts."""
    if not has_chains(family):
        return []
    main = family.main
    tables = [chains_table(main), layers_table(family), errors_table(main), sizes_table(main)]
    if (told := warnings_table(main)).rows:
        tables.insert(1, told)
    return tables + [t for arm in family.arms[1:] if (t := chains_table(arm)).rows]


def chains_table(arm: Arm) -> Table:
    """The modulus chain of every trial on the front, in the order of use."""
    rows: list[tuple[Cell, ...]] = []
    slack = Metric("security_slack", "bit", "max", "")
    for trial, chain in _front(arm):
        secret = "dense" if chain.secret_weight is None else f"weight {chain.secret_weight}"
        rows.append(
            (trial.number, f"2^{chain.log_n}", chain.scale, chain.log_qp, quantity(trial, slack),
             secret, chain.packing, chain_text(chain))
        )  # fmt: skip
    return Table(
        f"chains-{arm.name}",
        f"Modulus chains on the front of {arm.name}",
        ("trial", "ring dimension N", "scale [bit]", "log2 QP [bit]", "security slack [bit]",
         "secret", "client sends", "primes [bit], in the order of use"),
        tuple(rows),
        note="P: for key switching, on top of the chain all along. Then the primes as rescaling "
        "drops them, each with the layer that does; q0 is left and holds the result. Slack: bits "
        "that the security table would still allow.",
        empty="No trial of the front is a CKKS configuration.",
    )  # fmt: skip


def warnings_table(arm: Arm) -> Table:
    """What is legal about the chains on the front but worth a word."""
    rows: list[tuple[Cell, ...]] = []
    for trial, _ in _front(arm):
        told = trial.outcome.notes.get("ckks_warnings") if trial.outcome else None
        for text in told if isinstance(told, (list, tuple)) else ():
            rows.append((trial.number, str(text)))
    return Table(
        f"warnings-{arm.name}",
        "Warnings",
        ("trial", "warning"),
        tuple(rows),
        empty="No chain of the front earned a warning.",
    )


def chain_text(chain: Chain) -> str:
    """The primes on one line, such as ``P 52 | 26 linear1 | 3 × 26 act1 | q0 37``."""
    words = {"key switching": "P {}", "kept": "q0 {}", "spare": "{} spare", "level": "{}"}
    found = []
    for (role, bits, layer), same in groupby(chain.primes, key=lambda p: (p.role, p.bits, p.layer)):
        text = f"{words[role].format(bits)} {layer}".rstrip()
        count = len(list(same))
        found.append(f"{count} × {text}" if count > 1 else text)
    return " | ".join(found)


def layers_table(family: Family) -> Table:
    """Level by level, where the time and the bits of a few trials of the main front go."""
    arm = family.main
    rows: list[tuple[Cell, ...]] = []
    for trial in told_trials(family):
        chain = chain_of(trial)
        layers = chain.layers if chain is not None else ()
        shares = time_shares(layers)
        for layer, share in zip(layers, shares, strict=True):
            rows.append((trial.number, *_layer_cells(layer), share, _of_error(layer)))
    return Table(
        f"layers-{arm.name}",
        "Level by level: where time and bits go",
        ("trial", "layer", "kind", "at the", "limbs", "primes dropped [bit]",
         "scale of the result [bit]", "predicted CPU time [ms]", "CPU time [ms]",
         "wall-clock time [ms]", _SHARE, "share of the encryption error [%]"),
        tuple(rows),
        note="For the best trial by each objective and the middle one of the front; the selected "
        "trial is drawn above. Limbs: primes of a ciphertext before and after the layer. Shares of "
        "time are of the measured CPU time where there is one, else of the predicted; shares of "
        "the error are of its variance at the output. Predicted times are those of the table of "
        "operations, before what encrypted runs have taught.",
        empty="No trial of the front got as far as its prediction.",
    )  # fmt: skip


def _layer_cells(layer: Layer) -> tuple[Cell, ...]:
    limbs = (
        None if layer.limbs is None else "\u00a0to\u00a0".join(map(str, dict.fromkeys(layer.limbs)))
    )
    return (
        layer.name, layer.kind, layer.place, limbs, ", ".join(map(str, layer.dropped)) or None,
        layer.scale, _told(layer.predicted_ms, "model"), _told(layer.cpu_ms, "measured"),
        _told(layer.wall_ms, "measured"),
    )  # fmt: skip


def _told(value: float | None, evidence: str) -> Quantity | None:
    return None if value is None else Quantity(value, evidence=evidence)


def _of_error(layer: Layer) -> Quantity | None:
    share = layer.error_share
    return None if share is None else Quantity(100 * share, evidence="model")


def time_shares(layers: Sequence[Layer]) -> list[Quantity | None]:
    """Each layer's share of the time in %, measured where all were measured, else predicted."""
    for key, evidence in (("cpu_ms", "measured"), ("predicted_ms", "model")):
        times = [getattr(layer, key) for layer in layers]
        if layers and None not in times and sum(times) > 0:
            return [Quantity(100 * t / sum(times), evidence=evidence) for t in times]
    return [None] * len(layers)


def told_trials(family: Family) -> list[Trial]:
    """The main front's best trial by each objective, and its middle one; each once."""
    arm = family.main
    best = [arm.best(i) for i in range(len(family.objectives))]
    middle = arm.front[len(arm.front) // 2 : len(arm.front) // 2 + 1]
    found = {t.number: t for t in (*best, *middle) if t is not None and chain_of(t) is not None}
    return list(found.values())


def errors_table(arm: Arm) -> Table:
    """Error of the polynomials beside error of the encryption, in one unit."""
    rows: list[tuple[Cell, ...]] = []
    for trial, _ in _front(arm):
        approximation = quantity(trial, Metric("approximation_error", "1", "min", ""))
        predicted, mean, worst = (
            error_of(trial, name)
            for name in ("predicted_precision", "precision_ckks", "worst_precision_ckks")
        )
        precision = quantity(trial, Metric("precision_ckks", "bit", "max", ""))
        if any(cell is not None for cell in (approximation, predicted, mean)):
            rows.append(
                (trial.number, approximation, predicted, mean, precision, worst,
                 _larger(approximation, mean or predicted))
            )  # fmt: skip
    return Table(
        f"errors-{arm.name}",
        "Error of approximation and of encryption",
        ("trial", "approximation, mean error [1]", "encryption, predicted mean error [1]",
         "encryption, mean error [1]", "the same as precision [bit]",
         "encryption, largest error [1]", "larger"),
        tuple(rows),
        note="Absolute errors of the outputs. Approximation: polynomials in place of the network's "
        "own activations, without encryption; nearly zero where these are polynomials already. "
        "Encryption: against the same polynomials in the clear; the largest one over extreme "
        "inputs too.",
        empty="No trial of the front got as far as its prediction.",
    )  # fmt: skip


def error_of(trial: Trial, name: str) -> Quantity | None:
    """The absolute error behind a precision in bits: 2 to the power of minus the precision."""
    m = trial.measurement(name)
    if m is None:
        return None
    bits = min(max(value_in(m, "bit"), -1000.0), 1000.0)
    return Quantity(2.0**-bits, evidence=m.evidence)


def _larger(approximation: Quantity | None, encryption: Quantity | None) -> str | None:
    if approximation is None or encryption is None:
        return None
    first, second = approximation.value, encryption.value
    if first == second:
        return "equal"
    name = "approximation" if first > second else "encryption"
    small = min(first, second)
    if small <= 0 or max(first, second) / small >= 1000:
        return f"{name}, by far"
    return f"{name}, {format_number(max(first, second) / small)} times"


def sizes_table(arm: Arm) -> Table:
    """What every trial of the front keeps in memory, and what its client sends."""
    known = [
        (Metric(name, "MB", "min", ""), title)
        for name, title in _SIZES
        if any(t.measurement(name) for t, _ in _front(arm))
    ]
    rows = tuple(
        (trial.number, *(quantity(trial, metric) for metric, _ in known))
        for trial, _ in _front(arm)
        if any(trial.measurement(metric.name) for metric, _ in known)
    )
    return Table(
        f"sizes-{arm.name}",
        "Memory and upload",
        ("trial", *(f"{title} [MB]" for _, title in known)),
        rows,
        note="Resident memory is that of the child process with client and server in one: keys, "
        "weights, ciphertexts and the interpreter itself."
        if any(metric.name == "memory_ckks" for metric, _ in known)
        else "",
        empty="No trial of the front was sized.",
    )


def chain_data(trial: Trial) -> dict[str, Any] | None:
    """Chain and layers as plain data for the page and the JSON report; None without a chain."""
    chain = chain_of(trial)
    if chain is None:
        return None
    return {
        "log_n": chain.log_n,
        "scale": chain.scale,
        "log_qp": chain.log_qp,
        "packing": chain.packing,
        "secret_weight": chain.secret_weight,
        "primes": [
            {"bits": p.bits, "role": p.role, "layer": p.layer, "scale": p.scale}
            for p in chain.primes
        ],
        "layers": [
            {
                "name": one.name, "kind": one.kind, "place": one.place, "limbs": one.limbs,
                "dropped": one.dropped, "scale": one.scale, "predicted_ms": one.predicted_ms,
                "cpu_ms": one.cpu_ms, "wall_ms": one.wall_ms, "error_share": one.error_share,
            }
            for one in chain.layers
        ],
    }  # fmt: skip


def _front(arm: Arm) -> list[tuple[Trial, Chain]]:
    found = [(t, chain_of(t)) for t in arm.front[:_MOST_TRIALS]]
    return [(trial, chain) for trial, chain in found if chain is not None]
