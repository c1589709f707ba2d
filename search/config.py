"""YAML to :class:`StudySpec`: strict, every error with file and YAML path, no trial started.

A plugin section is a name or a mapping ``{name: ..., option: ...}``; its options are checked by
the plugin's own ``Config`` model. Names are registered ones: YAML can neither import nor run code.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from search import registry
from search.api.errors import ConfigError, MissingExtra, PlacedError, PluginError
from search.api.metric import Constraint, convert
from search.yaml_file import parse_scalar, read_yaml

_DURATION = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(ms|s|min|h)\s*$")


def _seconds(value: Any) -> Any:
    """A duration with its unit, in seconds. Numbers without unit are refused."""
    if value is None or (isinstance(value, float) and value > 0):
        return value
    match = _DURATION.match(value) if isinstance(value, str) else None
    if match is None or float(match[1]) <= 0:
        raise ValueError(f"expected a duration with its unit, such as '10 min' (got {value!r})")
    return convert(float(match[1]), match[2], "s")


Duration = Annotated[float, BeforeValidator(_seconds)]
Count = Annotated[int, Field(ge=1, strict=True)]


class Section(BaseModel):
    """A part of the configuration: unknown keys are errors, values cannot be changed later."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Plugin(Section):
    """A plugin by its registered name, with its options as plain data."""

    name: str
    options: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def read(cls, value: Any) -> Any:
        """From ``name`` or ``{name: ..., **options}``."""
        if isinstance(value, str):
            return {"name": value}
        if isinstance(value, Mapping):
            if set(value) == {"name", "options"} and isinstance(value["options"], Mapping):
                return dict(value)
            if not isinstance(value.get("name"), str):
                raise ValueError("expected a name, or a mapping with a key 'name'")
            return {
                "name": value["name"],
                "options": {k: v for k, v in value.items() if k != "name"},
            }
        if isinstance(value, cls):
            return value
        raise ValueError(f"expected a name, or a mapping with a key 'name' (got {value!r})")


PluginRef = Annotated[Plugin, BeforeValidator(Plugin.read)]


class StudySection(Section):
    """Identity of the study and what all its workers share."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$", description="Name of the run directory."
    )
    seed: Annotated[int, Field(ge=0, lt=2**32, strict=True)] = 0
    storage: str = Field(
        "journal",
        description="`journal` (a file in the run directory), `sqlite:///FILE` or `postgresql://...`.",
    )
    directory: str = Field("runs", description="Folder that holds run directories.")
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    threads: Count = Field(1, description="CPU threads of each trial.")
    max_failures: Count = Field(3, description="Failed trials in a row that stop the study.")
    max_retries: Annotated[int, Field(ge=0, strict=True)] = Field(
        1, description="How often a trial whose worker died is tried again."
    )

    @field_validator("storage")
    @classmethod
    def _known_storage(cls, value: str) -> str:
        if value == "journal" or value.startswith(("sqlite:///", "postgresql://", "postgresql+")):
            return value
        raise ValueError(
            "expected 'journal', 'sqlite:///FILE' or 'postgresql://USER@HOST/DATABASE' "
            f"(got {value.partition('://')[0]!r})"
        )


class Budget(Section):
    """Hard limits of the whole study, not of one worker."""

    trials: Count = Field(20, description="Trials in all; retries after a crash do not count.")
    wall_clock: Duration | None = Field(None, description="Wall-clock time of all sessions.")
    worker_time: Duration | None = Field(None, description="Sum of the trials' own time (cost).")
    trial_time: Duration | None = Field(None, description="Limit of one trial.")


class Rung(Section):
    """One step of the ladder: effort, evaluators, and gates that end a trial early."""

    rung: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")
    budget: dict[str, float] = Field(default_factory=dict)
    evaluators: tuple[PluginRef, ...] = Field(min_length=1)
    gates: tuple[str, ...] = ()

    @field_validator("budget")
    @classmethod
    def _positive(cls, value: dict[str, float]) -> dict[str, float]:
        for key, amount in value.items():
            if not 0 <= amount < float("inf"):
                raise ValueError(f"{key}: expected a finite number of at least 0 (got {amount})")
        return value


class StudySpec(Section):
    """A whole study as plain, checked data."""

    study: StudySection
    workload: PluginRef | None = None
    space: PluginRef
    method: PluginRef = Plugin(name="direct")
    objectives: tuple[str, ...] = Field(min_length=1)
    constraints: tuple[str, ...] = ()
    known: tuple[str, ...] = Field((), description="Bounds on parameters, enforced beforehand.")
    params: dict[str, Any] = Field(default_factory=dict, description="Domains to narrow or fix.")
    ladder: tuple[Rung, ...] = Field(min_length=1)
    searcher: PluginRef = Plugin(name="auto")
    budget: Budget = Budget()
    runner: PluginRef = Plugin(name="inline")
    baselines: dict[str, dict[str, Any]] = Field(default_factory=dict)

    # Sections a resumed run may change freely: they bound or place the work, not its meaning.
    MUTABLE: ClassVar[frozenset[str]] = frozenset({"budget", "runner", "baselines"})

    @property
    def digest(self) -> str:
        """16 hexadecimal digits of everything that gives results their meaning."""
        data = self.model_dump(mode="json", exclude=set(self.MUTABLE))
        for key in ("storage", "directory", "max_failures", "max_retries"):
            data["study"].pop(key)
        text = json.dumps(data, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def arm(self, name: str) -> StudySpec:
        """The specification of baseline ``name``: this one with the baseline's sections put in."""
        data = self.model_dump(mode="json")
        data.update(self.baselines[name])
        data["baselines"] = {}
        return parse_spec(data, source=f"baselines.{name}")


def load_spec(path: Path, overrides: Sequence[str] = ()) -> StudySpec:
    """The checked specification in a YAML file, with ``a.b=value`` overrides applied first.

    Raises:
        ConfigError: anything wrong in the file or in an override.
        PluginError: a plugin cannot be loaded.
    """
    data = read_yaml(path)
    for text in overrides:
        apply_override(data, text)
    spec = parse_spec(data, source=str(path))
    for name in spec.baselines:
        try:
            spec.arm(name)
        except PlacedError as error:
            raise error.within(f"baselines.{name}", str(path)) from error
    return spec


def parse_spec(data: Mapping[str, Any], source: str = "") -> StudySpec:
    """The checked specification in plain data; plugin options are filled with their defaults.

    Raises:
        ConfigError: a key is unknown, missing or of the wrong type; a name is not registered; a
            unit is wrong.
    """
    try:
        spec = validate(StudySpec, data, "")
        spec = _fill_options(spec)
        _check_texts(spec)
    except PlacedError as error:
        if error.source:
            raise
        raise error.within(source=source) from error
    return spec


def validate(model: type[Any], data: Any, path: str) -> Any:
    """``data`` as an instance of the pydantic ``model``.

    Raises:
        ConfigError: the first problem, with its full path and a hint at the nearest known key.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise _first_problem(error, model, path) from None


def plugin_options(kind: str, plugin: Plugin, path: str) -> Any:
    """The validated ``Config`` of a plugin section.

    Raises:
        ConfigError: unknown name or bad option, with its path.
    """
    try:
        loaded = registry.load(kind, plugin.name)
    except MissingExtra as error:
        raise error.within(path) from error
    except PluginError as error:
        if "unknown" in str(error):
            raise ConfigError(
                str(error), path=f"{path}.name" if plugin.options else path
            ) from error
        raise
    config = getattr(loaded, "Config", None)
    if config is None:
        raise PluginError(f"{kind} {plugin.name!r} has no Config model; it cannot be used in YAML")
    return validate(config, plugin.options, path)


def apply_override(data: dict[str, Any], text: str) -> None:
    """Set ``a.b[0].c=value`` in ``data`` in place; the value is read as YAML.

    Raises:
        ConfigError: no ``=``, a path through something that is no mapping or list.
    """
    path, equals, value = text.partition("=")
    keys = [k for k in re.split(r"\.|\[(\d+)\]", path.strip()) if k]
    if not equals or not keys:
        raise ConfigError(f"expected path=value (got {text!r})", source="--set")
    target: Any = data
    for key in keys[:-1]:
        target = _step(target, key, path)
    last = keys[-1]
    if isinstance(target, list) and last.isdigit() and int(last) < len(target):
        target[int(last)] = parse_scalar(value)
    elif isinstance(target, dict):
        target[last] = parse_scalar(value)
    else:
        raise ConfigError(f"{last!r} cannot be set here", path=path, source="--set")


def _step(target: Any, key: str, path: str) -> Any:
    if isinstance(target, list):
        if key.isdigit() and int(key) < len(target):
            return target[int(key)]
        raise ConfigError(f"no entry {key!r} in a list of {len(target)}", path=path, source="--set")
    if not isinstance(target, dict):
        raise ConfigError(f"{key!r} is below a plain value", path=path, source="--set")
    child = target.get(key)
    if isinstance(child, str):  # a plugin given by name alone: make room for its options
        child = {"name": child}
    target[key] = {} if child is None else child
    return target[key]


def _fill_options(spec: StudySpec) -> StudySpec:
    """Validate every plugin section and write its defaults out, so that digests cover them."""

    def filled(kind: str, plugin: Plugin, path: str) -> Plugin:
        options = plugin_options(kind, plugin, path)
        return Plugin(name=plugin.name, options=options.model_dump(mode="json"))

    update: dict[str, Any] = {
        kind: filled(kind, getattr(spec, kind), kind)
        for kind in ("workload", "space", "method", "searcher", "runner")
        if getattr(spec, kind) is not None
    }
    update["ladder"] = tuple(
        rung.model_copy(
            update={
                "evaluators": tuple(
                    filled("evaluator", e, f"ladder[{i}].evaluators[{j}]")
                    for j, e in enumerate(rung.evaluators)
                )
            }
        )
        for i, rung in enumerate(spec.ladder)
    )
    return spec.model_copy(update=update)


def _check_texts(spec: StudySpec) -> None:
    """Constraints and gates must parse; names of rungs and objectives must not repeat."""
    places = [(f"constraints[{i}]", text) for i, text in enumerate(spec.constraints)]
    for i, rung in enumerate(spec.ladder):
        places += [(f"ladder[{i}].gates[{j}]", text) for j, text in enumerate(rung.gates)]
    for path, text in places:
        try:
            Constraint.parse(text)
        except ValueError as error:
            raise ConfigError(str(error), path=path) from None
    for path, names in (
        ("objectives", list(spec.objectives)),
        ("ladder", [rung.rung for rung in spec.ladder]),
    ):
        for i, name in enumerate(names):
            if name in names[:i]:
                raise ConfigError(f"{name!r} stands twice", path=f"{path}[{i}]")
    for name in spec.baselines:
        if not re.match(r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$", name) or name == "main":
            raise ConfigError(
                "a baseline's name is made of letters, digits, '_', '.', '-', and is not 'main'",
                path=f"baselines.{name}",
            )


def _first_problem(error: ValidationError, model: type[BaseModel], path: str) -> ConfigError:
    # An unknown key is usually the cause of a missing one, so it is shown first.
    problems = sorted(error.errors(), key=lambda p: p["type"] != "extra_forbidden")
    problem = problems[0]
    where = _join(path, problem["loc"])
    kind, given = problem["type"], problem.get("input")
    if kind == "extra_forbidden":
        known = _known_keys(model, problem["loc"])
        near = difflib.get_close_matches(str(problem["loc"][-1]), known, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        return ConfigError(f"unknown key (known: {', '.join(known)}).{hint}", path=where)
    if kind == "missing":
        return ConfigError("this key is required", path=where)
    message = problem["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    if "got" not in message:
        message += f" (got {_short(given)})"
    return ConfigError(message, path=where)


def _known_keys(model: Any, loc: tuple[Any, ...]) -> list[str]:
    """Field names of the model in which the last key of ``loc`` was looked for."""
    for part in loc[:-1]:
        if isinstance(part, int) or not hasattr(model, "model_fields"):
            continue
        info = model.model_fields.get(part)
        model = _inner_model(info.annotation) if info is not None else model
    return sorted(getattr(model, "model_fields", {}))


def _inner_model(annotation: Any) -> Any:
    """The first pydantic model inside an annotation such as ``tuple[Rung, ...] | None``."""
    if hasattr(annotation, "model_fields"):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        found = _inner_model(inner)
        if found is not None:
            return found
    return None


def _join(path: str, loc: Sequence[Any]) -> str:
    for part in loc:
        if isinstance(part, int):
            path += f"[{part}]"
        elif isinstance(part, str) and not part.endswith("]"):  # union tags are no keys
            path += f".{part}" if path else part
    return path


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
