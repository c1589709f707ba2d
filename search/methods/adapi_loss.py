"""What members learn from: labels, the teacher's logits, and where the teacher's maps are strong.

Source: AdaPI (ICCAD 2024), loss of its mask training and of its sequential training; attention
transfer is that of Zagoruyko and Komodakis (ICLR 2017).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search.methods.augment import Augmentation, augment


@dataclass(frozen=True)
class Lesson:
    """Weights of the parts of the loss.

    Args:
        labels: of the cross-entropy on labels.
        distillation: of ``T^2 KL(teacher || member)``.
        attention: of :func:`attention_loss`; 0 saves the teacher's pass.
        temperature: ``T``.
    """

    labels: float = 0.1
    distillation: float = 0.9
    attention: float = 500.0
    temperature: float = 4.0

    def loss(self, logits: Tensor, labels: Tensor, soft_targets: Tensor | None) -> Tensor:
        """The part on logits, mean over the batch.

        Args:
            logits: ``[n, classes]``.
            labels: ``[n]``.
            soft_targets: the teacher's logits ``[n, classes]``; None for labels alone.
        """
        total = self.labels * F.cross_entropy(logits.float(), labels)
        if soft_targets is None or self.distillation == 0:
            return total
        t = self.temperature
        ours = F.log_softmax(logits.float() / t, dim=1)
        theirs = F.log_softmax(soft_targets.float() / t, dim=1)
        divergence = F.kl_div(ours, theirs, log_target=True, reduction="batchmean")
        return total + self.distillation * t * t * divergence


def attention_of(map_: Tensor) -> Tensor:
    """Where a map is strong: mean over channels of its square, flattened, of length 1, ``[n, P]``.

    Args:
        map_: ``[n, C, H, W]``; of ``[n, F]`` each feature is a place of its own.
    """
    strength = map_.square()
    if map_.dim() > 2:
        strength = strength.mean(dim=1).flatten(1)
    return F.normalize(strength, dim=1)


def attention_loss(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> Tensor:
    """Sum over maps of the mean squared difference of attention.

    Args:
        ours: maps of the one that learns.
        theirs: the teacher's, of the same sites in the same order.
    """
    parts = [
        (attention_of(a) - attention_of(b)).square().mean()
        for a, b in zip(ours, theirs, strict=True)
    ]
    return torch.stack(parts).sum()


@contextmanager
def watched(network: nn.Module, sites: Sequence[str]) -> Iterator[list[Tensor]]:
    """The outputs of ``sites`` in every pass within the block; cleared by :meth:`list.clear`."""
    seen: list[Tensor] = []

    def look(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append(output)

    hooks = [network.get_submodule(site).register_forward_hook(look) for site in sites]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


class Teaching:
    """The loss of a batch, with the teacher run only where it is needed.

    Args:
        network: what learns; its sites are watched, and must stay the same modules.
        teacher: the original network, in evaluation mode.
        sites: activation sites whose maps are compared.
        lesson: weights of the parts.
        soft_targets: the teacher's logits for the whole split, ``[images, classes]``; None for
            labels alone.
        augmentation: random changes of the images; the teacher then sees the changed ones.
        seed: of the changes.
    """

    def __init__(
        self,
        network: nn.Module,
        teacher: nn.Module,
        sites: Sequence[str],
        lesson: Lesson,
        soft_targets: Tensor | None,
        *,
        augmentation: Augmentation = "none",
        seed: int = 0,
    ) -> None:
        self._network, self._teacher = network, teacher
        self._sites = tuple(sites) if lesson.attention else ()
        self._lesson, self._soft_targets = lesson, soft_targets
        self._augmentation = augmentation
        self._noise = torch.Generator().manual_seed(seed)
        self._ours: list[Tensor] = []
        self._theirs: list[Tensor] = []

    @contextmanager
    def lesson(self) -> Iterator[Teaching]:
        """Watch the maps within the block."""
        with (
            watched(self._network, self._sites) as self._ours,
            watched(self._teacher, self._sites) as self._theirs,
        ):
            yield self

    def images(self, batch: Tensor) -> Tensor:
        """The images to learn from: ``batch``, or changed at random."""
        return augment(batch, self._augmentation, self._noise)

    def loss(self, images: Tensor, logits: Tensor, labels: Tensor, index: Tensor) -> Tensor:
        """The loss of the pass just made on ``images`` (entries ``index`` of the split)."""
        changed = self._augmentation != "none"
        soft = None if self._soft_targets is None else self._soft_targets[index]
        if self._sites or (changed and soft is not None):
            with torch.no_grad():
                seen = self._teacher(images)
            soft = seen if changed and soft is not None else soft
        total = self._lesson.loss(logits, labels, soft)
        if self._sites:
            total = total + self._lesson.attention * attention_loss(self._ours, self._theirs)
        self._ours.clear()
        self._theirs.clear()
        return total
