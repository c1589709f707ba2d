"""What each layer keeps in the pruned networks on the fronts: a picture and a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from search.api.trial import Trial
from search.report.family import Arm, Family
from search.report.figures import drawn
from search.report.numbers import format_number
from search.report.palette import ink_on
from search.report.plan import layers_of
from search.report.table import Cell, Table

_MOST_TRIALS = 12  # columns of the picture, and rows of the table
_MOST_LAYERS = 60  # rows of the picture; the table has all


def has_layers(family: Family) -> bool:
    """Whether a trial on a front is a pruned network."""
    return bool(_pruned(family))


def layers_tables(family: Family) -> list[Table]:
    """What each layer keeps, in % of its units: a column for each trial; none if none is pruned."""
    trials = _pruned(family)
    if not trials:
        return []
    shares = [_shares(trial) for _, trial in trials]
    rows: list[tuple[Cell, ...]] = [
        (site, structure, *(_percent(s.get((site, structure))) for s in shares))
        for site, structure in _entries(trials)
    ]
    dashes = any(None in row for row in rows)
    note = "A dash: the layer is not pruned in this way there." if dashes else ""
    columns = ("layer", "structure", *(f"{_name(arm, trial)} [%]" for arm, trial in trials))
    return [Table("layers", "What each layer keeps", columns, tuple(rows), note=note)]


def render_layers(family: Family, form: str) -> bytes:
    """Share kept by layer (down) and trial on a front (across), as colours on a log scale.

    Args:
        family: what to draw; ``has_layers`` must hold.
        form: ``png`` or ``svg``.
    """
    trials = _pruned(family)
    entries = _entries(trials)[:_MOST_LAYERS]
    size = (2.6 + 0.95 * max(3, len(trials)), 1.4 + 0.34 * max(3, len(entries)))
    return drawn(lambda figure: _draw(figure, trials, entries), size, form)


def _draw(
    figure: Any, trials: Sequence[tuple[Arm, Trial]], entries: Sequence[tuple[str, str]]
) -> None:
    import numpy as np
    from matplotlib.colors import LogNorm, to_hex
    from matplotlib.ticker import NullFormatter

    shares = [_shares(trial) for _, trial in trials]
    values = np.array([[100 * s.get(entry, np.nan) for s in shares] for entry in entries])
    panel = figure.add_subplot(1, 1, 1)
    low = min(10.0, float(np.nanmin(values)))
    image = panel.imshow(values, aspect="auto", cmap="cividis", norm=LogNorm(low, 100.0))
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            ink = ink_on(to_hex(image.cmap(image.norm(value))).upper())
            text = format_number(float(f"{value:.2g}"))
            panel.text(column, row, text, ha="center", va="center", fontsize=8, color=ink)
    several = len({structure for _, structure in entries}) > 1
    panel.set_yticks(range(len(entries)), [_label(*e, several) for e in entries])
    panel.set_xticks(range(len(trials)), [_name(*t) for t in trials], rotation=30, ha="right")
    panel.spines[:].set_visible(False)
    panel.tick_params(length=0)
    what = "units" if several else f"{entries[0][1]}s"
    bar = figure.colorbar(image, ax=panel, label=f"{what} kept [%]")
    bar.ax.yaxis.set_major_formatter("{x:g}")  # no TeX: it would be shown as it stands
    bar.ax.yaxis.set_minor_formatter(NullFormatter())


def _pruned(family: Family) -> list[tuple[Arm, Trial]]:
    """Trials on fronts that are pruned networks; those of the main arm first, evenly chosen."""
    found = [(arm, trial) for arm in family.arms for trial in arm.front if layers_of(trial)]
    own = [pair for pair in found if pair[0] is family.main]
    others = [pair for pair in found if pair[0] is not family.main][: _MOST_TRIALS // 2]
    room = _MOST_TRIALS - len(others)
    step = max(1.0, len(own) / room)
    return [own[int(k * step)] for k in range(min(room, len(own)))] + others


def _entries(trials: Sequence[tuple[Arm, Trial]]) -> list[tuple[str, str]]:
    """(layer, structure) of every entry of these trials, layers in the order of the plans."""
    order: dict[str, dict[str, None]] = {}
    for _, trial in trials:
        for site, structure, _ in layers_of(trial):
            order.setdefault(site, {}).setdefault(structure)
    return [(site, structure) for site, ways in order.items() for structure in ways]


def _shares(trial: Trial) -> dict[tuple[str, str], float]:
    return {(site, structure): share for site, structure, share in layers_of(trial)}


def _percent(share: float | None) -> float | None:
    return None if share is None else float(f"{100 * share:.3g}")


def _name(arm: Arm, trial: Trial) -> str:
    return f"{arm.name} #{trial.number}"


def _label(site: str, structure: str, several: bool) -> str:
    return f"{site}, {structure}" if several else site
