"""Join a Ray cluster or start one: address, resources, token, dashboard.

Ray is imported here and not above, so that naming a runner costs nothing.
"""

from __future__ import annotations

import importlib
import logging
import math
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from search.api.errors import ConfigError, MissingExtra, PluginError
from search.api.protocols import JobSource
from search.runners.execution import parse_size

_log = logging.getLogger(__name__)
_CONNECT_S = 10.0

# Read when ray is first imported. Whoever sets these variables otherwise is obeyed.
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Ray prints what its nodes log (a lost worker, say) to our standard output, where it would
    # spoil progress displays and JSON; lost workers are told as outcomes.
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".*",
    "RAY_SCHEDULER_EVENTS": "0",
}

Auth = Literal["auto", "token", "disabled"]


class RayConfig(BaseModel):
    """Options that both Ray runners have."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    slots: int | None = Field(
        None, ge=1, description="jobs at once; as many as the resources allow if not given"
    )
    address: str | None = Field(
        None, description="an existing cluster: 'auto' or host:port; a local one is started if none"
    )
    num_cpus: float = Field(1.0, ge=0, description="CPUs reserved per job")
    num_gpus: float = Field(0.0, ge=0, description="GPUs reserved per job; may be a fraction")
    memory: str | None = Field(None, description="memory reserved per job, such as '2 GiB'")
    resources: dict[str, float] = Field(
        default_factory=dict, description="custom Ray resources reserved per job"
    )
    dashboard: bool = Field(True, description="start Ray's dashboard with a local cluster")
    auth: Auth = Field(
        "auto", description="Ray's token authentication: auto (as Ray does), token or disabled"
    )
    timeout_s: float | None = Field(None, gt=0, description="seconds after which a job is killed")
    grace_s: float = Field(
        10.0, ge=0, description="seconds a job may take to end once the study is asked to stop"
    )
    tensorboard: str | None = Field(None, description="folder for TensorBoard event files")


@dataclass(frozen=True)
class Cluster:
    """A cluster this process is connected to.

    Args:
        slots: jobs at once.
        request: what Ray reserves per job: ``num_cpus``, ``num_gpus``, ``memory`` [B],
            ``resources``.
        node: id of the driver's node.
        ours: whether this process started it.
    """

    slots: int
    request: dict[str, Any]
    node: str
    ours: bool


def load_ray() -> Any:
    """The ray package, silent and with its usage statistics off.

    Raises:
        MissingExtra: Ray is not installed.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        return importlib.import_module("ray")
    except ModuleNotFoundError as error:
        raise MissingExtra(
            "runners ray_tasks and ray_tune need the package 'ray'. "
            "Run `pip install 'ray[default,tune]'`."
        ) from error


def request_of(config: RayConfig) -> dict[str, Any]:
    """What to ask Ray for, per job.

    Raises:
        ConfigError: the memory cannot be read, the address has an unknown form, or nothing at all
            is reserved.
    """
    if config.address is not None and config.address.startswith("ray://"):
        raise ConfigError(
            f"Ray Client addresses are not supported (got {config.address!r}; expected 'auto' or "
            "host:port). Run the study on a machine of the cluster",
            path="runner.address",
        )
    if config.slots is None and config.num_cpus == 0 and config.num_gpus == 0:
        raise ConfigError("give slots where no CPU and no GPU is reserved", path="runner.slots")
    request: dict[str, Any] = {"num_cpus": config.num_cpus, "num_gpus": config.num_gpus}
    if config.memory is not None:
        request["memory"] = parse_size(config.memory, option="runner.memory")
    if config.resources:
        request["resources"] = dict(config.resources)
    return request


def local_slots(config: RayConfig) -> int:
    """Jobs at once before a cluster is known: as given, or by this machine's cores."""
    if config.slots is not None:
        return config.slots
    return max(1, math.floor((os.cpu_count() or 1) / max(config.num_cpus, 1e-9)))


@contextmanager
def connected(config: RayConfig, source: JobSource, announcements: list[str]) -> Iterator[Cluster]:
    """A cluster: the one this process is in already, the one at ``address``, or a new local one.

    A cluster started here is shut down at the end; any other is left as it was found.

    Args:
        config: options.
        source: told what people should know through its ``announce``, if it has one.
        announcements: gets the same texts (dashboard address, token).

    Raises:
        PluginError: no cluster answers, the token is wrong, or no node can hold a job.
    """
    request = request_of(config)
    joined = "ray" in sys.modules and load_ray().is_initialized()
    if not joined:
        _set_auth(config)
    ray = load_ray()
    context = _connect(ray, config, joined)
    try:
        for text in _facts(context):
            announcements.append(text)
            _log.info("%s", text)
            getattr(source, "announce", lambda text: None)(text)
        slots = config.slots or _capacity(ray, request)
        node = ray.get_runtime_context().get_node_id()
        _check_room(ray, request)
        yield Cluster(slots, request, node, ours=config.address is None and not joined)
    finally:
        if not joined:  # only what we started, or only our connection to it
            ray.shutdown()


def _set_auth(config: RayConfig) -> None:
    before = os.environ.get("RAY_AUTH_MODE")
    if config.auth != "auto":
        os.environ["RAY_AUTH_MODE"] = config.auth
    elif config.address is not None and "RAY_AUTH_MODE" not in os.environ and _has_token():
        # Ray's own default differs between the start and the use of a cluster: clusters started
        # where a token exists want it, and those who join without this variable do not send it.
        os.environ["RAY_AUTH_MODE"] = "token"
    if "ray" in sys.modules and os.environ.get("RAY_AUTH_MODE") != before:
        # Ray has read the variable already; it refreshes what it knows in this way itself.
        importlib.import_module("ray._raylet").Config.initialize("")


def _has_token() -> bool:
    named = any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    return named or (Path.home() / ".ray" / "auth_token").is_file()


def _connect(ray: Any, config: RayConfig, joined: bool) -> Any:
    if joined:
        return ray.init(ignore_reinit_error=True, logging_level=logging.ERROR)
    options: dict[str, Any] = {
        "log_to_driver": False,  # workers' output is on the dashboard, not in our progress display
        "logging_level": logging.ERROR,
    }
    if config.address is None:
        # Without "local", Ray joins whatever cluster a stale file on this machine names.
        options |= {"address": "local", "include_dashboard": config.dashboard}
        if config.slots is not None and config.num_cpus:
            options["num_cpus"] = math.ceil(config.slots * config.num_cpus)
        if config.resources:
            slots = local_slots(config)
            options["resources"] = {k: v * slots for k, v in config.resources.items()}
    else:
        _check_answers(config.address)
        options["address"] = config.address
    try:
        return ray.init(**options)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        if config.address is None:
            raise PluginError(f"runner: a local Ray cluster does not start: {error}") from error
        # Ray tells a refused token from other troubles only sometimes.
        raise PluginError(
            f"runner.address: cannot join the Ray cluster at {config.address}: {error}. If it is "
            "up, it may refuse our token: set runner.auth (token or disabled) as the cluster was "
            "started, with the same token on every host (`ray get-auth-token` prints this one's)"
        ) from error


def _check_answers(address: str) -> None:
    """Fail at once where nobody listens: Ray itself would try for minutes, then exit."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not (host and port.isdecimal() and 0 < int(port) < 2**16):
        raise ConfigError(
            f"cannot read {address!r} (expected 'auto' or host:port)", path="runner.address"
        )
    try:
        socket.create_connection((host, int(port)), _CONNECT_S).close()
    except OSError as error:
        raise PluginError(
            f"runner.address: no Ray cluster answers at {address} ({error}). Start one with "
            "`ray start --head`, or leave the address out for a local one"
        ) from error


def _facts(context: Any) -> list[str]:
    url = context.address_info.get("webui_url")
    if not url:
        return []
    facts = [f"Ray dashboard: http://{url}"]
    if os.environ.get("RAY_AUTH_MODE") == "token":
        facts.append("The dashboard asks for a token; `ray get-auth-token` prints it")
    return facts


def _capacity(ray: Any, request: dict[str, Any]) -> int:
    """How many jobs fit on the cluster at once, by CPUs and GPUs, node by node."""
    total = 0
    for free in _nodes(ray):
        fits = [
            free.get(name, 0.0) // request[key]
            for name, key in (("CPU", "num_cpus"), ("GPU", "num_gpus"))
            if request[key]
        ]
        total += int(min(fits))
    return max(1, total)


def _check_room(ray: Any, request: dict[str, Any]) -> None:
    wanted = {"CPU": request["num_cpus"], "GPU": request["num_gpus"]}
    wanted |= {"memory": request.get("memory", 0), **request.get("resources", {})}
    wanted = {name: amount for name, amount in wanted.items() if amount}
    nodes = _nodes(ray)
    if not any(all(n.get(k, 0.0) >= v for k, v in wanted.items()) for n in nodes):
        has = "; ".join(", ".join(f"{k} {n.get(k, 0.0):g}" for k in wanted) for n in nodes)
        needs = ", ".join(f"{k} {v:g}" for k, v in wanted.items())
        raise PluginError(f"runner: no node can hold a job (needs {needs}; nodes have {has})")


def _nodes(ray: Any) -> list[dict[str, float]]:
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]
