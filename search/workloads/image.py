"""Image classification: a network, a dataset, and how the original network is trained.

PyTorch is imported when a network is first built, not when this module is.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from search import registry
from search.api.candidate import to_plain
from search.api.errors import ConfigError, PluginError
from search.api.network import Site
from search.config import Plugin, PluginRef, plugin_options, validate
from search.workloads import site_cache
from search.workloads.networks.options import check_names, check_options, of_factory

if TYPE_CHECKING:
    from torch import fx, nn

    from search.workloads.data.splits import Dataset, Splits

    Factory = Callable[..., nn.Module]


class TeacherConfig(BaseModel):
    """How the original (all-ReLU) network is trained before the search."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = Field(default=16, ge=0, description="Epochs; 0 keeps the initial weights.")
    learning_rate: float = Field(
        default=0.1, gt=0, description="Initial rate; annealed to 0 by cosine."
    )
    batch_size: int = Field(default=128, ge=1, description="Images per step.")
    weight_decay: float = Field(default=5e-4, ge=0, description="L2 penalty of the optimiser.")
    optimizer: Literal["sgd", "adam"] = Field(default="sgd", description="`sgd` has momentum 0.9.")
    seed: int = Field(default=0, ge=0, description="Seed of initial weights and batch order.")


class ImageClassificationConfig(BaseModel):
    """Options of the workload ``image_classification``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    network: PluginRef = Field(description="A network's name, or a mapping with its options.")
    data: PluginRef = Field(description="A dataset's name, or a mapping with its options.")
    teacher: TeacherConfig = Field(
        default=TeacherConfig(), description="Training of the original network."
    )


class ImageClassification:
    """A network that classifies images, its data in three splits, and its teacher's training.

    In a notebook: ``ImageClassification(network=MyNet(), data=splits)``.

    Args:
        network: a ``torch.nn.Module``, which keeps its own weights; or a factory, called as
            ``factory(input_shape, classes)`` (as ``factory()`` if it needs no arguments) for fresh
            weights of each seed; or the name of a registered network; or ``{name, ...options}``.
        data: ``Splits``, a dataset plugin, the name of one, or ``{name, ...options}``.
        name: for people; made of network and data if absent.
        teacher: a :class:`TeacherConfig` or its fields.

    Raises:
        ConfigError: unknown names or options, or the wrong kind of object.
    """

    Config: ClassVar[type[ImageClassificationConfig]] = ImageClassificationConfig

    def __init__(
        self,
        network: nn.Module | Factory | str | Mapping[str, Any],
        data: Splits | Dataset | str | Mapping[str, Any],
        *,
        name: str | None = None,
        teacher: TeacherConfig | Mapping[str, Any] | None = None,
    ) -> None:
        self._network, self._options, network_name = _resolve_network(network)
        self._dataset = _resolve_data(data)
        self._teacher = (
            teacher
            if isinstance(teacher, TeacherConfig)
            else validate(TeacherConfig, dict(teacher or {}), "workload.teacher")
        )
        self._name = name or f"{network_name}-{_data_name(data, self._dataset)}"
        self._network_name = network_name
        if isinstance(self._network, _Named) and site_cache.read(self._key()) is None:
            self._network.load()  # wrong options are told now; a cached entry has had right ones
        self._splits: Any = None
        self._sites: tuple[Site, ...] | None = None
        self._links: Mapping[str, tuple[str, ...]] = {}
        self._digest: str | None = None

    @classmethod
    def from_config(cls, config: ImageClassificationConfig, workload: object) -> Self:
        """From checked options; ``workload`` is not used.

        Raises:
            ConfigError: a network or dataset or one of their options is unknown or wrong.
        """
        return cls(
            network={"name": config.network.name, "options": config.network.options},
            data={"name": config.data.name, "options": config.data.options},
            teacher=config.teacher,
        )

    @property
    def name(self) -> str:
        """Short name for people."""
        return self._name

    @property
    def digest(self) -> str:
        """16 hexadecimal digits of network (structure and options), data, split and teacher.

        A module given as an object counts with its weights: they are where training starts.
        """
        if self._digest is None:
            self._trace()
        if self._digest is None:
            raise RuntimeError("tracing sets the digest")
        return self._digest

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """``(C, H, W)`` of one image."""
        shape: tuple[int, int, int] = self._dataset.input_shape
        return shape

    @property
    def classes(self) -> int:
        """Number of classes."""
        classes: int = self._dataset.classes
        return classes

    @property
    def teacher_config(self) -> TeacherConfig:
        """How the original network is trained."""
        return self._teacher

    @property
    def data(self) -> Splits:
        """The three splits, read on first use.

        Raises:
            ConfigError: files are missing or damaged.
        """
        if self._splits is None:
            load = getattr(self._dataset, "load", None)
            self._splits = self._dataset if load is None else load()
        splits: Splits = self._splits
        return splits

    def sites(self) -> tuple[Site, ...]:
        """Every operator of the network in execution order, found by tracing.

        Raises:
            ConfigError: the network cannot be built or traced.
        """
        if self._sites is None:
            self._trace()
        return self._sites or ()

    def links(self) -> Mapping[str, tuple[str, ...]]:
        """Site -> sites whose results it reads, in order; none for the input.

        Raises:
            ConfigError: the network cannot be built or traced.
        """
        self.sites()
        return dict(self._links)

    def build(self, seed: int) -> fx.GraphModule:
        """A new network in canonical form, original operators, on the CPU, in training mode.

        Args:
            seed: of the initial weights; no matter for a network given as a module, which comes
                as a copy with its own weights.

        Raises:
            ConfigError: the network cannot be built or traced.
        """
        from search.workloads.canonical import canonicalise

        return canonicalise(self._fresh(seed), self.input_shape)

    def _fresh(self, seed: int) -> nn.Module:
        import torch
        from torch import nn

        if isinstance(self._network, nn.Module):
            return copy.deepcopy(self._network).to("cpu")
        factory, options = self._network, self._options
        if isinstance(factory, _Named):
            factory, options = factory.load()
        with torch.random.fork_rng(devices=()):
            torch.default_generator.manual_seed(seed)  # the CPU's alone: no GPU is touched
            return of_factory(factory, self._network_name, self.input_shape, self.classes, options)

    def _key(self) -> str | None:
        """Key of the network in the cache of traced sites; None if it has no place there."""
        if not isinstance(self._network, _Named):
            return None
        return site_cache.key_of(
            self._network.name, self._network.options, self.input_shape, self.classes
        )

    def _trace(self) -> None:
        """Find the sites and take the digest; a network met before needs no PyTorch for it."""
        key = self._key()
        traced = site_cache.read(key)
        weights = ""
        if traced is None:
            traced, weights = self._traced()
            site_cache.write(key, traced)
        self._sites, self._links = traced.sites, traced.links
        facts = {
            "network": [self._network_name, traced.options, traced.structure],
            "weights": weights,
            "sites": to_plain(traced.sites),
            "data": self._dataset.digest,
            "teacher": self._teacher.model_dump(mode="json"),
        }
        text = json.dumps(facts, sort_keys=True, default=repr)
        self._digest = hashlib.sha256(text.encode()).hexdigest()[:16]

    def _traced(self) -> tuple[site_cache.Traced, str]:
        """What tracing gives, outputs checked, and a digest of the weights that a module brings."""
        from torch import nn

        from search.workloads.canonical import canonicalise, trace_sites
        from search.workloads.links import trace_links
        from search.workloads.sites import output_shape, structure

        network = canonicalise(self._fresh(0), self.input_shape)
        given = output_shape(network, self.input_shape)
        if given != (self.classes,):
            raise ConfigError(
                f"network {self._network_name}: gives outputs of shape {given} per image "
                f"(expected ({self.classes},), one logit per class)",
                path="workload.network",
            )
        named = self._network
        options = named.load()[1] if isinstance(named, _Named) else self._options
        sites = trace_sites(network, self.input_shape)
        traced = site_cache.Traced(
            sites=sites,
            structure=tuple(structure(network)),
            options=to_plain(options),
            links=trace_links(network, sites),
        )
        return traced, _weights(network) if isinstance(named, nn.Module) else ""

    def __getstate__(self) -> dict[str, Any]:
        """Without pixels: a dataset is read again where it is needed."""
        state = dict(self.__dict__)
        state["_splits"] = None
        return state


@dataclass(frozen=True)
class _Named:
    """A registered network. Its module, and PyTorch with it, is loaded when it is first needed."""

    name: str
    options: Mapping[str, Any]

    def load(self) -> tuple[Factory, dict[str, Any]]:
        """The factory, and its options checked and filled.

        Raises:
            ConfigError: an option is unknown or wrong.
        """
        known = registry.keywords("network", self.name)
        if known is not None:  # a slip in a name is told without waiting for PyTorch
            check_names(self.name, self.options, known)
        factory = registry.load("network", self.name)
        return factory, check_options(factory, self.name, self.options)


def _resolve_network(network: Any) -> tuple[Any, dict[str, Any], str]:
    """(module or factory, options, name)."""
    if isinstance(network, (str, Mapping, Plugin)):
        plugin = _plugin(network, "workload.network")
        _check_name("network", plugin.name, "workload.network")
        return _Named(plugin.name, plugin.options), {}, plugin.name
    if isinstance(network, type) or not hasattr(network, "state_dict"):
        if not callable(network):
            raise ConfigError(
                f"expected a torch.nn.Module, a factory or a name (got {type(network).__name__})",
                path="workload.network",
            )
        inner = getattr(network, "func", network)  # functools.partial
        return network, {}, getattr(inner, "__name__", type(inner).__name__)
    return network, {}, type(network).__name__


def _resolve_data(data: Any) -> Any:
    if isinstance(data, (str, Mapping, Plugin)):
        plugin = _plugin(data, "workload.data")
        options = plugin_options("dataset", plugin, "workload.data")
        return registry.load("dataset", plugin.name).from_config(options, None)
    missing = [key for key in ("digest", "input_shape", "classes") if not hasattr(data, key)]
    if missing:
        raise ConfigError(
            f"expected Splits, a dataset or a name (got {type(data).__name__}, which has no "
            f"{missing[0]})",
            path="workload.data",
        )
    return data


def _plugin(value: Any, path: str) -> Plugin:
    try:
        plugin: Plugin = Plugin.model_validate(Plugin.read(value))
    except ValueError as error:
        raise ConfigError(str(error), path=path) from error
    return plugin


def _check_name(kind: str, name: str, path: str) -> None:
    if name not in registry.names(kind):
        try:
            registry.load(kind, name)  # words the error, with the nearest name
        except PluginError as error:
            raise ConfigError(str(error), path=path) from error


def _data_name(data: Any, dataset: Any) -> str:
    if isinstance(data, (str, Mapping, Plugin)):
        return _plugin(data, "workload.data").name
    return str(getattr(dataset, "name", type(dataset).__name__))


def _weights(network: nn.Module) -> str:
    """SHA-256 of all parameters and buffers, bit by bit."""
    import torch

    whole = hashlib.sha256()
    for key, value in network.state_dict().items():
        whole.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
        flat = value.detach().to("cpu").contiguous().reshape(-1)
        whole.update(flat.view(torch.uint8).numpy().tobytes())
    return whole.hexdigest()
