"""Density: realises how many ReLUs each layer keeps, and fine-tunes the network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from search.api.domain import Point
from search.api.errors import ConfigError
from search.methods.exact_masks import exact_masks
from search.methods.fixed_masks import random_scores
from search.methods.mask_method import MaskMethod, Masks, MaskTask, StudentOptions
from spaces.mask import Densities, MaskDensity

if TYPE_CHECKING:
    from search.api.protocols import Space
    from spaces.masking import Masking


class DensityOptions(StudentOptions):
    """Options of ``method: {name: density}``."""

    criterion: Literal["random", "snip", "signed", "fisher"] = Field(
        "random",
        description="which units of a layer stay: random, or those of highest saliency, see "
        "`snip_masks`",
    )
    images: int = Field(2048, ge=1, description="training images that saliency is taken of")


class Density(MaskMethod):
    """Masks with the counts that the point of ``mask_density`` says, fine-tuned.

    The searcher chooses how many ReLUs each layer keeps; this chooses which of a layer's. Images
    looked at for saliency count as training.
    """

    name = "density"
    Config: ClassVar[type[StudentOptions]] = DensityOptions
    knobs: ClassVar[tuple[str, ...]] = ("learning_rate", "polynomial_scale")
    decides_space = False

    def counts(
        self, space: Space[Any], masking: Masking, point: Point
    ) -> tuple[int, Mapping[str, int] | None]:
        """The counts of ``point``.

        Raises:
            ConfigError: the space is not one of densities.
            InfeasibleCandidate: the point cannot be built.
        """
        payload = space.build(point) if isinstance(space, MaskDensity) else None
        if not isinstance(payload, Densities):
            raise ConfigError(
                f"density needs counts per layer (got {type(space).__name__}; expected the space "
                "mask_density)",
                path="space",
            )
        kept = payload.kept(masking.sites)
        free = {site.name: kept[site.name] for site in masking.free}
        return masking.settled_relus + sum(free.values()), free

    def find(self, task: MaskTask) -> Masks:
        """As many units of each layer as the point says."""
        from search.methods.saliency import saliency

        assert isinstance(self._config, DensityOptions)
        config, used = self._config, 0
        if config.criterion == "random":
            scores = random_scores(task.masking, task.ctx.seed)
        else:
            scores, used = saliency(
                task.network, task.masking, task.split,
                images=config.images, batch_size=config.batch_size, seed=task.ctx.seed,
                device=task.ctx.device, criterion=config.criterion,
            )  # fmt: skip
        return Masks(exact_masks(scores, task.masking, task.budget, kept=task.kept), used)
