"""One-shot saliency: keep the ReLUs whose masks the loss depends on most, without training."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from search.methods.exact_masks import exact_masks
from search.methods.mask_method import MaskMethod, MaskOptions, Masks, MaskTask, StudentOptions


class SnipMaskOptions(MaskOptions):
    """Options of ``method: {name: snip_masks}``."""

    criterion: Literal["snip", "signed", "fisher"] = Field(
        "snip",
        description="of a ReLU, by the derivative d of the loss to its mask: snip: |mean d|, "
        "signed: -mean d, fisher: mean d^2",
    )
    images: int = Field(
        2048, ge=1, description="training images that the derivatives are taken of, in each round"
    )
    rounds: int = Field(
        1, ge=1, description="1: all are dropped at once; more: a constant share in each round"
    )


class SnipMasks(MaskMethod):
    """ReLUs of highest one-shot saliency stay; nothing is trained to find them.

    With several rounds the masks shrink by a constant factor in each, and every round scores all
    units anew, dropped ones too, in the network as the masks then are. The images looked at count
    as training.

    Source: SNIP (ICLR 2019), applied to the masks of ReLUs, as Selective Network Linearization
    (ICML 2022) does for its baseline; several rounds as in FORCE (ICLR 2021).
    """

    name = "snip_masks"
    Config: ClassVar[type[StudentOptions]] = SnipMaskOptions

    def find(self, task: MaskTask) -> Masks:
        """The masks of highest saliency."""
        from search.methods.mask_students import set_masks
        from search.methods.saliency import saliency

        assert isinstance(self._config, SnipMaskOptions)
        config, masking = self._config, task.masking
        free = masking.total - masking.settled_relus
        want = task.budget - masking.settled_relus
        spent = 0
        for number in range(1, config.rounds + 1):
            scores, used = saliency(
                task.network, masking, task.split,
                images=config.images, batch_size=config.batch_size, seed=task.ctx.seed + number - 1,
                device=task.ctx.device, criterion=config.criterion,
            )  # fmt: skip
            spent += used
            room = round(free * (want / free) ** (number / config.rounds))
            masks = exact_masks(scores, masking, masking.settled_relus + room, kept=None)
            set_masks(task.network, masks)
        return Masks(masks, spent, {"saliency_images": spent})
