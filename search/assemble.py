"""From a specification to live objects: every name looked up, every metric and unit checked."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from search import registry
from search.api.domain import Choice, Param, Vector
from search.api.errors import ConfigError, PlacedError
from search.api.metric import Constraint, Fidelity, Metric, units_like
from search.api.network import Site
from search.api.param_syntax import parse_param
from search.api.protocols import ChecksSpace, HasCostModels, UsesCostModels
from search.config import Plugin, StudySpec, plugin_options
from search.ladder import Ladder, LadderRung


@dataclass
class Components:
    """The live objects of a study.

    Args:
        workload: network and data; None for a study without one.
        ladder: space, method, evaluators and gates.
        objectives: names of metrics, in order.
        overrides: parameter name -> narrowed domain.
    """

    ladder: Ladder
    objectives: tuple[str, ...]
    workload: Any = None
    overrides: Mapping[str, Param] = field(default_factory=dict)

    def params(self) -> tuple[Param, ...]:
        """The outer parameters: the method's, and the space's unless the method decides it."""
        method, space = self.ladder.method, self.ladder.space
        own = [] if method.decides_space else space.params()
        if not own and not method.decides_space:
            raise ConfigError(
                "leaves the choice to the space, which has no parameters of its own. Take a method "
                "that decides inside, such as autorep for masks of pixels.",
                path="method",
            )
        found = [*method.params(), *own]
        names = [p.name for p in found]
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(f"two parameters are called {name!r}", path="params")
        for name in self.overrides:
            if name not in names:
                raise ConfigError(
                    f"unknown parameter (known: {', '.join(names) or 'none'})",
                    path=f"params.{name}",
                )
        return tuple(self.overrides.get(p.name, p) for p in found)

    def metrics(self) -> dict[str, Metric]:
        """Every metric measured anywhere on the ladder."""
        return self.ladder.metrics

    def sites(self) -> tuple[Site, ...]:
        """Sites of the network, empty without one."""
        return tuple(self.workload.sites()) if self.workload is not None else ()

    def check_metrics(self) -> None:
        """Objectives must be measured at the top rung, constraints and gates somewhere at or
        below theirs, all in convertible units.

        Raises:
            ConfigError: with the path of the first that is not.
        """
        rungs = self.ladder.rungs
        top = {m.name for e in rungs[-1].evaluators for m in e.metrics}
        for i, name in enumerate(self.objectives):
            if name not in top:
                raise ConfigError(
                    f"{name!r} is not measured at the top rung {rungs[-1].fidelity.name!r} "
                    f"(measured there: {', '.join(sorted(top))})",
                    path=f"objectives[{i}]",
                )
        seen: dict[str, Metric] = {}
        for i, rung in enumerate(rungs):
            seen.update({m.name: m for e in rung.evaluators for m in e.metrics})
            _check_bounds(rung.gates, seen, f"ladder[{i}].gates")
        _check_bounds(self.ladder.constraints, seen, "constraints")

    def bind(self) -> None:
        """Hand the evaluators' cost models to a method that penalises them, and let a method that
        needs certain spaces see the study's.

        Raises:
            ConfigError: the method cannot work with them.
        """
        method = self.ladder.method
        if isinstance(method, ChecksSpace):
            method.check_space(self.ladder.space)
        if isinstance(method, UsesCostModels):
            models: dict[str, Any] = {}
            for rung in self.ladder.rungs:
                for evaluator in rung.evaluators:
                    if isinstance(evaluator, HasCostModels):
                        models.update(evaluator.cost_models())
            method.use_cost_models(models)


def assemble(spec: StudySpec) -> Components:
    """Build the objects named in ``spec``.

    Raises:
        ConfigError: an option does not fit the workload, or a metric is not measured.
        PluginError: a plugin does not load.
    """
    workload = make_plugin("workload", spec.workload, "workload", None) if spec.workload else None
    space = make_plugin("space", spec.space, "space", workload)
    method = make_plugin("method", spec.method, "method", workload)
    rungs = []
    for i, rung in enumerate(spec.ladder):
        evaluators = tuple(
            make_plugin("evaluator", e, f"ladder[{i}].evaluators[{j}]", workload)
            for j, e in enumerate(rung.evaluators)
        )
        gates = tuple(Constraint.parse(text) for text in rung.gates)
        rungs.append(LadderRung(Fidelity(rung.rung, i, dict(rung.budget)), evaluators, gates))
    ladder = Ladder(
        space=space,
        method=method,
        rungs=rungs,
        constraints=[Constraint.parse(text) for text in spec.constraints],
        device=resolve_device(spec.study.device),
    )
    overrides = {n: parse_override(n, d, method, space) for n, d in spec.params.items()}
    components = Components(ladder, spec.objectives, workload, overrides)
    components.check_metrics()
    components.bind()
    return components


def parse_override(name: str, data: Any, method: Any, space: Any) -> Param:
    """A ``params:`` entry: a domain, or a plain value that fixes the parameter.

    Raises:
        ConfigError: no such parameter, or the domain cannot be read.
    """
    known = {p.name: p for p in [*method.params(), *space.params()]}
    path = f"params.{name}"
    if name not in known:
        raise ConfigError(
            f"unknown parameter (known: {', '.join(sorted(known)) or 'none'})", path=path
        )
    old = known[name]
    if isinstance(data, Mapping):
        new = parse_param(name, data, path)
        return Param(name, new.domain, old.unit, new.when or old.when, old.doc)
    if isinstance(data, int) and not isinstance(data, bool) and not old.domain.contains(data):
        data = float(data)  # `lr: 1` for a real parameter
    if isinstance(old.domain, Vector):
        raise ConfigError(
            f"a list cannot be fixed here (got {data!r}). Narrow the domain of its entries, or use "
            "an option of the space that fixes them",
            path=path,
        )
    if not old.domain.contains(data):
        raise ConfigError(f"expected {old.domain.describe()} (got {data!r})", path=path)
    return Param(name, Choice((data,)), old.unit, old.when, old.doc)


def resolve_device(device: str) -> str:
    """``auto`` becomes ``cuda`` where there is one. Loads torch only to find out."""
    if device != "auto":
        return device
    if not Path("/dev/nvidiactl").exists() and sys.platform == "linux":
        return "cpu"  # saves importing torch for studies without it
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def make_plugin(kind: str, plugin: Plugin, path: str, workload: Any) -> Any:
    """The object of one plugin section; its errors get the section's path."""
    options = plugin_options(kind, plugin, path)
    loaded = registry.load(kind, plugin.name)
    try:
        return loaded.from_config(options, workload)
    except PlacedError as error:
        top = re.split(r"[.\[]", error.path, maxsplit=1)[0]
        if error.source or top in StudySpec.model_fields:  # the path is a full one already
            raise
        raise error.within(path) from error


def _check_bounds(bounds: Sequence[Constraint], seen: Mapping[str, Metric], path: str) -> None:
    for i, bound in enumerate(bounds):
        where = f"{path}[{i}]"
        if bound.metric not in seen:
            raise ConfigError(
                f"{bound.metric!r} is not measured at this rung or below "
                f"(measured: {', '.join(sorted(seen))})",
                path=where,
            )
        try:
            bound.in_unit(seen[bound.metric].unit)
        except ValueError:
            unit = seen[bound.metric].unit
            raise ConfigError(
                f"{bound.metric} is measured in {unit!r} (got {bound.unit or 'no unit'!r}; "
                f"expected one of {', '.join(units_like(unit))})",
                path=where,
            ) from None
