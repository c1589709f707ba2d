"""Numbers of a running study as Ray metrics, for Prometheus and the dashboard's panels.

==============================  =========  ====================================================
``cipher_search_best``          gauge      best value so far (tags ``study``, ``objective``)
``cipher_search_last``          gauge      value of the last feasible trial (the same tags)
``cipher_search_trials``        gauge      trials so far (tags ``study``, ``status``)
``cipher_search_rung_seconds``  histogram  wall-clock seconds of a rung (tags ``study``, ``rung``)
==============================  =========  ====================================================

Values and counts are those that the job source gives with ``metrics()`` under the names
``best_<objective>``, ``last_<objective>`` and ``trials_<status>``; without it, the trials of this
session are counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from search.api.protocols import JobSource
from search.api.trial import Outcome

_GAUGES = {
    "best": ("objective", "Best value so far, in the unit of the objective."),
    "last": ("objective", "Value of the last feasible trial, in the unit of the objective."),
    "trials": ("status", "Trials so far, by status."),
}
_BOUNDS_S = [0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 10000.0]


class Meter:
    """Pushes the numbers of one study; needs a connected Ray."""

    def __init__(self, study: str, source: JobSource) -> None:
        from ray.util import metrics

        self._tags = {"study": study}
        self._source = source
        self._counts: Counter[str] = Counter()
        self._gauges = {
            kind: metrics.Gauge(f"cipher_search_{kind}", description=doc, tag_keys=("study", tag))
            for kind, (tag, doc) in _GAUGES.items()
        }
        self._rungs = metrics.Histogram(
            "cipher_search_rung_seconds",
            description="Wall-clock seconds of a rung.",
            boundaries=_BOUNDS_S,
            tag_keys=("study", "rung"),
        )

    def observe(self, outcome: Outcome) -> None:
        """Push what is new, after the source was told of ``outcome``."""
        for rung in outcome.rungs:
            self._rungs.observe(rung.seconds, tags={**self._tags, "rung": rung.rung})
        self._counts[f"trials_{outcome.status}"] += 1
        for name, value in self._numbers().items():
            kind, _, rest = name.partition("_")
            if kind in _GAUGES:
                self._gauges[kind].set(value, tags={**self._tags, _GAUGES[kind][0]: rest})

    def _numbers(self) -> Mapping[str, float]:
        own = {name: float(count) for name, count in self._counts.items()}
        tell = getattr(self._source, "metrics", None)
        return {**own, **tell()} if tell is not None else own
