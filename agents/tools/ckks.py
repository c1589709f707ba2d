"""Tools for CKKS studies: the network, sensitivities, breakdowns, neighbours, by models alone."""

from __future__ import annotations

from typing import Any

from agents.api import Json, Tool, Toolbox, ToolError
from agents.expert_repair import Bottleneck, bottleneck_of, foretold, layer_shares, neighbours
from agents.expert_wish import Wish
from agents.goals import find_metric
from agents.tools.arguments import EffectArguments, Nothing, PointArguments
from agents.tools.forecast import Effect, Forecast
from agents.tools.general import general_tools, plain_text, shown_param, shown_rule
from agents.workbench import StudyBench, plain_point
from search.api.domain import Point

_SITES = 60  # of a deep network the first so many are listed
_SHOWN = (
    "predicted_latency_ckks", "predicted_precision", "latency_ckks", "precision_ckks",
    "memory_ckks", "key_mb", "plaintext_mb", "security_slack", "levels", "rotations", "diagonals",
)  # fmt: skip


def study_tools(bench: StudyBench) -> Toolbox:
    """All tools that fit the study of ``bench``: those for CKKS where its models are at hand."""
    tools = [describe_tool(bench), *general_tools(bench)]
    if bench.forecast is not None:
        tools[1:1] = ckks_only(bench, bench.forecast)
    return Toolbox({tool.name: tool for tool in tools})


def ckks_tools(bench: StudyBench) -> Toolbox:
    """The tools of a CKKS study.

    Raises:
        ToolError: the study is none, or has no models on its ladder.
    """
    if bench.forecast is None:
        raise ToolError("this is no CKKS study with the evaluators ckks_static and ckks_predicted")
    return study_tools(bench)


def describe_tool(bench: StudyBench) -> Tool:
    """The tool that tells what there is to choose."""
    return Tool(
        "describe_network",
        "The network's operators, levels, ranges and widths, and every parameter with its values.",
        Nothing,
        lambda a: describe_network(bench),
    )


def ckks_only(bench: StudyBench, forecast: Forecast) -> list[Tool]:
    """The tools that need the models."""
    return [
        Tool(
            "sensitivity",
            "What each knob does to a metric, by the models: the effect of its legal single steps.",
            EffectArguments,
            lambda a: sensitivity(bench, forecast, a),
        ),
        Tool(
            "breakdown",
            "Predicted time, error and weights by layer, and the bottleneck for the goal.",
            PointArguments,
            lambda a: breakdown(bench, forecast, a),
        ),
        Tool(
            "neighbours",
            "Legal configurations one step away with predicted effect, the best for the goal "
            "first.",
            EffectArguments,
            lambda a: shown_neighbours(bench, forecast, a),
        ),
    ]


def describe_network(bench: StudyBench) -> Json:
    """Sites, depth and parameters."""
    components = bench.study.components
    sites = components.sites()
    layers = getattr(components.ladder.space, "layers", None)
    shown: dict[str, Any] = {
        "sites": [
            {
                "name": plain_text(s.name), "operator": s.operator,
                "in": list(s.input_shape), "out": list(s.output_shape),
                **({"weights": s.weights} if s.weights else {}),
            }
            for s in sites[:_SITES]
        ],
        "sites_in_all": len(sites),
    }  # fmt: skip
    if layers is not None:
        shown["linear_layers"] = len(layers.linears)
        shown["widest"] = layers.widest
        shown["activations_to_replace"] = [plain_text(name) for name in layers.foreign]
    shown["parameters"] = [shown_param(p) for p in bench.params]
    shown["wanted"] = {"minimise": bench.goal.minimise,
                       "demands": [str(aim.constraint) for aim in bench.aims]}  # fmt: skip
    shown["metrics"] = {m.name: {"unit": m.unit, "better": m.goal} for m in bench.metrics.values()}
    shown["rungs"] = list(bench.rungs)
    return shown


def sensitivity(bench: StudyBench, forecast: Forecast, arguments: EffectArguments) -> Json:
    """Knob -> change of the metric at each legal step."""
    point, metric = bench.point(arguments.point), _metric(bench, arguments.metric)
    base = _effect(forecast, point, metric)
    before = base.values[metric]
    rows: list[dict[str, Any]] = []
    for knob, moved in neighbours(bench.params, point):
        name = knob.partition("[")[0]
        effect = forecast.effect(moved, worst="worst" in metric)
        to = plain_point(moved)[name]
        if effect.broken or metric not in effect.values:
            continue
        rows.append({"knob": knob, "to": to, "change": round(effect.values[metric] - before, 6)})
    rows.sort(key=lambda row: -abs(row["change"]))
    return {
        "metric": metric,
        "unit": bench.metrics[metric].unit,
        "here": round(before, 6),
        "knobs": rows[: arguments.most],
    }


def breakdown(bench: StudyBench, forecast: Forecast, arguments: PointArguments) -> Json:
    """By layer: shares of time, error and encoded weights."""
    point = bench.point(arguments.point)
    effect = _effect(forecast, point, "")
    params = forecast.space.read(point)
    packed = forecast.laid(params).packed
    names = list(packed.linears)
    wish = Wish(bench.metrics[bench.goal.minimise], (*bench.aims, *bench.gates))
    at = foretold(forecast, wish, point)
    kinds: dict[str, Bottleneck] = {"time_ms": "latency", "error_share": "precision",
                                    "diagonals": "memory"}  # fmt: skip
    columns = {name: layer_shares(forecast, point, kind) for name, kind in kinds.items()}
    limbs = forecast.laid(params).facts.needed
    answer: dict[str, Any] = {
        "predicted": _values(effect),
        "layers": [
            {
                "layer": plain_text(name),
                "rotations": packed.linears[name].rotations,
                "limbs": limbs[name],
                **{column: round(values[i], 4) for column, values in columns.items()},
            }
            for i, name in enumerate(names)
        ],
    }
    if at is not None:
        kind, layer = bottleneck_of(forecast, wish, at)
        name = None if layer is None else plain_text(names[layer])
        answer["bottleneck"] = {"of": kind, "layer": name}
    return answer


def shown_neighbours(bench: StudyBench, forecast: Forecast, arguments: EffectArguments) -> Json:
    """Legal single steps and what is foretold of them."""
    point, metric = bench.point(arguments.point), _metric(bench, arguments.metric)
    wish = Wish(bench.metrics[metric], (*bench.aims, *bench.gates))
    found = []
    refused = 0
    for knob, moved in neighbours(bench.params, point):
        near = None if bench.check(moved) else foretold(forecast, wish, moved)
        if near is None:
            refused += 1
            continue
        key = (max(0.0, wish.excess(near.values)), wish.sign * near.value)
        found.append((key, knob, near))
    found.sort(key=lambda entry: entry[0])
    return {
        "here": _values(_effect(forecast, point, metric)),
        "neighbours": [
            {
                "knob": knob,
                "point": plain_point(near.point),
                "predicted": _values(Effect(near.values)),
                "meets_demands": key[0] <= 0,
            }
            for key, knob, near in found[: arguments.most]
        ],
        "illegal_steps": refused,
    }


def _effect(forecast: Forecast, point: Point, metric: str) -> Effect:
    effect = forecast.effect(point, worst="worst" in metric)
    if effect.broken:
        rules = "; ".join(f"{shown_rule(v)['rule']}: {shown_rule(v)['detail']}"
                          for v in effect.broken)  # fmt: skip
        raise ToolError(f"illegal: {rules}. Ask `check` for the nearest legal configuration")
    if metric and metric not in effect.values:
        raise ToolError(
            f"the models do not foretell {metric!r} (they do: {', '.join(sorted(effect.values))})"
        )
    return effect


def _metric(bench: StudyBench, name: str) -> str:
    found = find_metric(name, bench.metrics) if name else bench.goal.minimise
    if found is None:
        raise ToolError(f"no metric {name!r} (known: {', '.join(sorted(bench.metrics))})")
    return found


def _values(effect: Effect) -> dict[str, float]:
    return {name: round(effect.values[name], 4) for name in _SHOWN if name in effect.values}
