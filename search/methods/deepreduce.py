"""DeepReDuce: keep the ReLUs of the layers that matter most for their size, drop whole layers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from search.methods.exact_masks import exact_masks
from search.methods.mask_method import (
    LearnedMaskOptions,
    MaskMethod,
    Masks,
    MaskTask,
    StudentOptions,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

    from search.workloads.data.splits import Split

# Fractional part of the golden ratio: multiples of it, modulo 1, spread most evenly.
_GOLDEN = (math.sqrt(5) - 1) / 2


class DeepReduceOptions(LearnedMaskOptions):
    """Options of ``method: {name: deepreduce}``."""

    mask_share: float = Field(
        0.2,
        ge=0,
        lt=1,
        description="share of the rung's epochs that measures how critical layers are, each "
        "trained briefly with its ReLUs alone; 0: as they are, without training",
    )
    held_out: int = Field(
        1000, ge=1, description="training images kept apart to measure the accuracy of a layer"
    )
    exponent: float = Field(
        0.07, ge=0, description="of the number of ReLUs that a layer's gain is divided by"
    )
    layer_share: float = Field(
        1.0, gt=0, le=1, description="share of a layer's ReLUs that stays; below 1 all are thinned"
    )


class DeepReduce(MaskMethod):
    """Layers keep their ReLUs in the order of their criticality, as far as the budget goes.

    The criticality of a layer is ``(accuracy with its ReLUs alone - the worst such accuracy) /
    ReLUs^0.07``. The last layer that gets ReLUs is thinned, evenly over channels and pixels, so
    that the count is exact. Accuracies are measured on a part of the training split, and all the
    images looked at for them count as training.

    Ours: layers in place of stages, thinning by pixels in place of halves of the layers. Left out:
    fewer channels and smaller images, which change the network and not its ReLUs alone.

    Source: Jha et al., DeepReDuce: ReLU reduction for fast private inference (ICML 2021).
    """

    name = "deepreduce"
    Config: ClassVar[type[StudentOptions]] = DeepReduceOptions
    knobs: ClassVar[tuple[str, ...]] = (*MaskMethod.knobs, "mask_learning_rate")

    def find(self, task: MaskTask) -> Masks:
        """Whole layers by criticality, the last one thinned."""
        assert isinstance(self._config, DeepReduceOptions)
        accuracy, spent = self._accuracies(task)
        worst = min(accuracy.values())
        sites = {site.name: site for site in task.masking.free}
        criticality = {
            name: (accuracy[name] - worst) / site.elements**self._config.exponent
            for name, site in sites.items()
        }
        order = sorted(sites, key=lambda name: criticality[name], reverse=True)
        share = self._config.layer_share
        scores = {}
        for rank, name in enumerate(order):
            spread = _evenly(task.masking.unit_shape(sites[name]))
            # First the share of each layer by rank, then what is left of each by rank.
            scores[name] = spread - rank - (spread < 1 - share) * len(order)
        facts = {
            "accuracy_alone": {n: round(a, 2) for n, a in accuracy.items()},
            "criticality": {n: round(c, 4) for n, c in criticality.items()},
        }
        masks = exact_masks(scores, task.masking, task.budget, kept=None)
        return Masks(masks, spent, facts)

    def _accuracies(self, task: MaskTask) -> tuple[dict[str, float], int]:
        """Free site -> accuracy in % with its ReLUs alone; and the gradient evaluations spent."""
        import copy

        import torch

        from evaluators.accuracy import count_correct
        from search.methods.mask_students import set_masks

        learn, judge = _apart(task, self._held_out)
        found, spent = {}, 0
        for site in task.masking.free:
            network = copy.deepcopy(task.network).to(task.ctx.device).eval()
            set_masks(network, {s.name: torch.tensor(s is site) for s in task.masking.free})
            spent += self._train(network, task, learn, f"{site.name} alone")
            correct = count_correct(network, judge.split, batch_size=512, device=task.ctx.device)
            found[site.name] = 100.0 * correct / len(judge.split)
        return found, spent + math.ceil(len(found) * len(judge.split) / 3)

    def _train(self, network: nn.Module, task: MaskTask, learn: _Part, phase: str) -> int:
        """Train ``network`` for its share of the task's epochs; gradient evaluations spent."""
        from search.methods.trainer import Recipe, train

        o = self._config
        size = min(o.batch_size, len(learn.split))
        images = task.epochs * self._students.epoch_images / len(task.masking.free)
        steps = int((images - self._held_out / 3) // size)
        if steps < 1:
            return 0
        recipe = Recipe(
            epochs=steps / (len(learn.split) // size),
            learning_rate=self._knobs.value("mask_learning_rate", task.point),
            batch_size=size,
            optimizer=o.optimizer,
            weight_decay=o.weight_decay,
            schedule=o.schedule,
            clip=o.clip,
            distillation=o.distillation,
            temperature=o.temperature,
            channels_last=o.channels_last,
            bf16=o.bf16,
        )
        done = train(
            network, learn.split, recipe,
            seed=task.ctx.seed, device=task.ctx.device, ctx=task.ctx,
            teacher=learn.soft_targets, phase=phase,
        )  # fmt: skip
        return done.gradient_evaluations

    @property
    def _held_out(self) -> int:
        assert isinstance(self._config, DeepReduceOptions)
        return min(self._config.held_out, len(self._students.train_split) // 2)


@dataclass(frozen=True)
class _Part:
    """Images of the training split, and the teacher's logits of them."""

    split: Split
    soft_targets: Tensor | None


def _apart(task: MaskTask, held_out: int) -> tuple[_Part, _Part]:
    """The training split in two: to learn from, and ``held_out`` images to judge by."""
    import torch

    from search.workloads.data.splits import Split

    order = torch.randperm(len(task.split), generator=torch.Generator().manual_seed(task.ctx.seed))
    x, y, soft = task.split.x, task.split.y, task.soft_targets

    def part(index: Tensor) -> _Part:
        own = None if soft is None else soft[index.to(soft.device)]
        return _Part(Split(x[index.to(x.device)], y[index.to(y.device)]), own)

    return part(order[held_out:]), part(order[:held_out])


def _evenly(shape: tuple[int, ...]) -> Tensor:
    """Scores in ``[0, 1)``, of ``shape``: the k highest lie evenly over the units, for any k.

    They are ranks of the index times the golden ratio, modulo 1: no k falls into step with rows or
    channels.
    """
    import torch

    count = math.prod(shape)
    index = torch.arange(1, count + 1, dtype=torch.float64)
    rank = (index * _GOLDEN).remainder(1.0).argsort().argsort()
    return (rank.double() / count).view(shape)
