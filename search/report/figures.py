"""The front as a picture (PNG or SVG), for papers and slides; no interactive state is touched."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

from search.api.metric import Metric
from search.report.family import Family, axis_pairs, best_so_far, is_wide, values_of
from search.report.numbers import label
from search.report.palette import arm_style
from search.report.provenance import evidence_of
from search.report.step import step_front

_INK, _GRID = "#334E68", "#E4E7EB"
_MAX_PANELS = 6


def render_figure(family: Family, form: str) -> bytes:
    """The bytes of the picture; equal families give equal bytes.

    Args:
        family: what to draw. One panel per pair of objectives, at most six; with one objective
            its best value so far; with no scored trial a sentence.
        form: ``png`` or ``svg``.
    """
    pairs = axis_pairs(family)[:_MAX_PANELS]
    columns = min(len(pairs), 3) or 1
    rows = max(1, -(-len(pairs) // columns))
    size = (7.2, 4.8) if columns == 1 else (5.4 * columns, 4.4 * rows)
    return drawn(lambda figure: _fill(figure, family, pairs, rows, columns), size, form)


def drawn(draw: Callable[[Any], None], size: tuple[float, float], form: str) -> bytes:
    """The bytes of a picture that ``draw`` puts into a Matplotlib figure; equal each time.

    Args:
        draw: fills the figure.
        size: width and height in inches.
        form: ``png`` or ``svg``.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    style: Any = {
        "svg.hashsalt": "cipher-search",
        "svg.fonttype": "none",
        "text.usetex": False,
        "text.parse_math": False,  # a metric's name may hold a dollar sign
        "axes.edgecolor": _INK,
        "text.color": _INK,
        "axes.labelcolor": _INK,
        "xtick.color": _INK,
        "ytick.color": _INK,
    }
    with matplotlib.rc_context(style):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure)
        out = io.BytesIO()
        metadata: dict[str, Any] = {"Date": None} if form == "svg" else {"Software": None}
        figure.savefig(out, format=form, dpi=160, metadata=metadata)
    return out.getvalue()


def tidy(panel: Any) -> None:
    """A light grid behind the marks, no frame above and to the right."""
    panel.grid(True, color=_GRID, linewidth=0.8)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)


def _fill(
    figure: Any, family: Family, pairs: Sequence[tuple[int, int]], rows: int, columns: int
) -> None:
    if family.reference is None:
        figure.text(0.5, 0.5, "No trial was completed.", ha="center", va="center", fontsize=13)
        return
    evidence = evidence_of(family)
    panels = [figure.add_subplot(rows, columns, k + 1) for k in range(max(1, len(pairs)))]
    for panel in panels:
        tidy(panel)
    if not pairs:
        _history(panels[0], family, axis_title(family.objectives[0], evidence))
    for panel, (x, y) in zip(panels, pairs, strict=False):
        _front_panel(panel, family, x, y)
        panel.set_xlabel(axis_title(family.objectives[x], evidence))
        panel.set_ylabel(axis_title(family.objectives[y], evidence))
    handles, labels = panels[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside upper center", ncols=min(4, len(labels)),
                      frameon=False)  # fmt: skip


def _front_panel(panel: Any, family: Family, x: int, y: int) -> None:
    for index, arm in enumerate(family.arms):
        colour, _, marker = arm_style(index)
        front = {t.number for t in arm.front}
        groups = (
            ("infeasible", [t for t in arm.scored if not t.feasible], "x", 0.45, 22, colour),
            ("", [t for t in arm.feasible if t.number not in front], marker, 0.30, 24, colour),
            ("front", arm.front, marker, 1.0, 58, "white"),
        )
        for name, trials, shape, alpha, area, edge in groups:
            if not trials:
                continue
            extra = {} if shape == "x" else {"edgecolors": edge, "linewidths": 0.8}
            panel.scatter(
                [values_of(t)[x] for t in trials], [values_of(t)[y] for t in trials],
                marker=shape, s=area, c=colour, alpha=alpha, zorder=3 if name == "front" else 2,
                label=f"{arm.name}, {name}" if name else None, **extra,
            )  # fmt: skip
        points = [(values_of(t)[x], values_of(t)[y]) for t in arm.feasible]
        line = step_front(points, (family.objectives[x].goal, family.objectives[y].goal))
        panel.plot(*zip(*line, strict=True), color=colour, linewidth=1.4) if line else None
    for axis, which in (("x", x), ("y", y)):
        if is_wide([values_of(t)[which] for arm in family.arms for t in arm.scored]):
            getattr(panel, f"set_{axis}scale")("log")


def _history(panel: Any, family: Family, title: str) -> None:
    for index, arm in enumerate(family.arms):
        colour, _, marker = arm_style(index)
        ended = {t.number: k + 1 for k, t in enumerate(arm.ended)}
        panel.scatter([ended[t.number] for t in arm.feasible],
                      [values_of(t)[0] for t in arm.feasible],
                      marker=marker, s=22, c=colour, alpha=0.35)  # fmt: skip
        steps = best_so_far(arm, 0)
        if steps:
            panel.plot(*zip(*steps, strict=True), color=colour, drawstyle="steps-post",
                       label=f"{arm.name}, best so far")  # fmt: skip
    panel.set_xlabel("trials ended")
    panel.set_ylabel(title)


def axis_title(metric: Metric, evidence: dict[str, str]) -> str:
    """Name, unit, evidence and direction of a metric, for an axis."""
    way = "lower" if metric.goal == "min" else "higher"
    return f"{label(metric)}, {evidence.get(metric.name, 'never taken')} ({way} is better)"
