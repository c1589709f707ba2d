"""Studies made in Python: names, mappings and live objects, put into the same frame as YAML."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from search.api.candidate import to_plain
from search.api.errors import ConfigError
from search.api.metric import Constraint, Fidelity, Metric
from search.api.param_syntax import param_to_data
from search.assemble import Components, make_plugin, parse_override, resolve_device
from search.config import Plugin, StudySpec, plugin_options, validate
from search.ladder import Ladder, LadderRung


class Told:
    """Stands for the evaluators of a study whose values are told from outside (ask and tell)."""

    needs: frozenset[str] = frozenset()

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self.metrics = tuple(metrics)

    def evaluate(self, candidate: Any, fidelity: Fidelity, ctx: Any) -> Any:
        """Refuse: nothing here can measure."""
        names = ", ".join(m.name for m in self.metrics)
        raise ConfigError(
            f"no evaluator measures {names}; use ask() and tell(), or give evaluators",
            path="evaluators",
        )


def live_components(
    *,
    space: Any,
    method: Any,
    evaluators: Sequence[Any],
    ladder: Sequence[Mapping[str, Any]],
    workload: Any,
    objectives: Sequence[str | Metric],
    constraints: Sequence[str],
    params: Mapping[str, Any],
    device: str,
) -> Components:
    """The objects of a study from the arguments of ``Study(...)``.

    Raises:
        ConfigError: with the argument's name as path.
    """
    workload = _object("workload", workload, "workload", None)
    space = _object("space", space, "space", workload)
    method = _object("method", method, "method", workload)
    if evaluators and ladder:
        raise ConfigError("give either evaluators or a ladder, not both", path="ladder")
    steps = list(ladder) or [{"rung": "full", "evaluators": evaluators}]
    told = [m for m in objectives if isinstance(m, Metric)]
    rungs = [_rung(i, step, workload, told) for i, step in enumerate(steps)]
    bounds = [_bound(text, f"constraints[{i}]") for i, text in enumerate(constraints)]
    climb = Ladder(
        space=space,
        method=method,
        rungs=rungs,
        constraints=bounds,
        device=resolve_device(device),
    )
    names = tuple(m.name if isinstance(m, Metric) else m for m in objectives)
    if not names:
        raise ConfigError("at least one objective is needed", path="objectives")
    overrides = {n: parse_override(n, d, method, space) for n, d in params.items()}
    components = Components(climb, names, workload, overrides)
    components.check_metrics()
    components.bind()
    return components


def live_spec(
    components: Components,
    *,
    study: Mapping[str, Any],
    known: Sequence[str],
    constraints: Sequence[str],
    searcher: Any,
    budget: Mapping[str, Any],
    runner: Any,
) -> StudySpec:
    """The specification of a study of live objects: what they are called and a digest of each."""
    ladder = components.ladder
    data = {
        "study": dict(study),
        "workload": _named(components.workload) if components.workload is not None else None,
        "space": _named(ladder.space),
        "method": _named(ladder.method),
        "objectives": components.objectives,
        "constraints": tuple(constraints),
        "known": tuple(known),
        "params": {n: param_to_data(p) for n, p in components.overrides.items()},
        "ladder": tuple(
            {
                "rung": r.fidelity.name,
                "budget": dict(r.fidelity.budget),
                "evaluators": tuple(_named(e) for e in r.evaluators),
                "gates": tuple(str(g) for g in r.gates),
            }
            for r in ladder.rungs
        ),
        "searcher": searcher,
        "budget": dict(budget),
        "runner": runner,
    }
    spec: StudySpec = validate(StudySpec, data, "")
    filled = {
        kind: Plugin(
            name=getattr(spec, kind).name,
            options=plugin_options(kind, getattr(spec, kind), kind).model_dump(mode="json"),
        )
        for kind in ("searcher", "runner")
    }
    return spec.model_copy(update=filled)


def _rung(index: int, step: Mapping[str, Any], workload: Any, told: Sequence[Metric]) -> LadderRung:
    path = f"ladder[{index}]"
    unknown = set(step) - {"rung", "budget", "evaluators", "gates"}
    if unknown:
        raise ConfigError(
            f"unknown key {sorted(unknown)[0]!r} (known: budget, evaluators, gates, rung)",
            path=path,
        )
    made = [
        _object("evaluator", e, f"{path}.evaluators[{j}]", workload)
        for j, e in enumerate(step.get("evaluators", ()))
    ]
    if told:
        made.append(Told(told))
    if not made:
        raise ConfigError("at least one evaluator is needed", path=f"{path}.evaluators")
    gates = [_bound(t, f"{path}.gates[{j}]") for j, t in enumerate(step.get("gates", ()))]
    name = str(step.get("rung", f"rung{index}"))
    budget = {k: float(v) for k, v in dict(step.get("budget", {})).items()}
    return LadderRung(Fidelity(name, index, budget), tuple(made), tuple(gates))


def _object(kind: str, given: Any, path: str, workload: Any) -> Any:
    """The object itself, or the plugin a name or mapping stands for."""
    if given is None or not isinstance(given, (str, Mapping)):
        return given
    try:
        plugin = Plugin.model_validate(Plugin.read(given))
    except ValueError as error:
        raise ConfigError(str(error), path=path) from None
    made = make_plugin(kind, plugin, path, workload)
    options = plugin_options(kind, plugin, path).model_dump(mode="json")
    # Remembered so that the specification can say how the object was made.
    with contextlib.suppress(AttributeError):
        made.__dict__["_made_from"] = {"name": plugin.name, **options}
    return made


def _named(thing: Any) -> dict[str, Any]:
    """A plugin section for an object: how it was made, or its class and a digest of its state."""
    made = getattr(thing, "__dict__", {}).get("_made_from")
    if made is not None:
        return dict(made)
    kind = type(thing)
    state = getattr(thing, "digest", None)
    if state is None:
        params = [param_to_data(p) for p in thing.params()] if hasattr(thing, "params") else []
        metrics = to_plain(getattr(thing, "metrics", ()))
        config = getattr(thing, "config", None)
        state = _digest([params, metrics, repr(config)])
    return {"name": f"{kind.__module__}.{kind.__qualname__}", "digest": state}


def _digest(data: Any) -> str:
    text = json.dumps(data, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _bound(text: str, path: str) -> Constraint:
    try:
        return Constraint.parse(text)
    except ValueError as error:
        raise ConfigError(str(error), path=path) from None
