"""SENet: layers get ReLUs by their sensitivity, elements by what replacing them changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from search.methods.exact_masks import exact_masks
from search.methods.mask_method import (
    LearnedMaskOptions,
    MaskMethod,
    Masks,
    MaskTask,
    StudentOptions,
)
from spaces.sharing import share_out

if TYPE_CHECKING:
    from collections.abc import Sequence

    from search.api.network import Site
    from spaces.masking import Masking


class SenetOptions(LearnedMaskOptions):
    """Options of ``method: {name: senet}``."""

    density: float = Field(
        0.3, gt=0, lt=1, description="share of all weights that stays when layers are compared"
    )
    images: int = Field(2048, ge=1, description="training images that both measures are taken of")
    activation_matching: float = Field(
        0.0,
        ge=0,
        description="weight of the distance to the teacher's activations in the loss, for "
        "`mask_share` of the epochs, with the masks found; 0: fine-tuning alone",
    )


class Senet(MaskMethod):
    """Layers get ReLUs in proportion to their ReLU sensitivity, 1 - pruning sensitivity.

    Within a layer those elements stay where ReLU and its replacement differ most on the teacher's
    inputs. The images looked at count as training.

    Ours, as the abstract and not the whole paper could be checked: the pruning sensitivity of a
    layer is the share of its weights among the ``density`` of all weights with the largest
    ``|weight x gradient|`` (the paper trains a sparse network); weights of a layer are those
    executed since the activation before it; and the elements are ranked once, not anew in every
    epoch.

    Source: Kundu et al., Learning to linearize deep neural networks for secure and efficient
    private inference (ICLR 2023).
    """

    name = "senet"
    Config: ClassVar[type[StudentOptions]] = SenetOptions
    knobs: ClassVar[tuple[str, ...]] = (*MaskMethod.knobs, "mask_learning_rate")

    def find(self, task: MaskTask) -> Masks:
        """Budgets per layer by sensitivity, elements by what their replacement changes."""
        assert isinstance(self._config, SenetOptions)
        config = self._config
        index = torch.randperm(
            len(task.split), generator=torch.Generator().manual_seed(task.ctx.seed)
        )[: config.images]
        batches = torch.split(index, config.batch_size)
        kept_weights = pruning_sensitivity(task, batches, config.density)
        sensitivity = {name: 1.0 - share for name, share in kept_weights.items()}
        weights = {s.name: sensitivity[s.name] * s.elements for s in task.masking.free}
        counts = share_out(weights, task.masking, task.budget)
        scores = activation_difference(task, batches)
        masks = exact_masks(scores, task.masking, task.budget, kept=counts)
        spent = len(index) + -(-len(index) // 3)
        if config.activation_matching:
            spent += self._match(task, masks, spent)
        facts = {"relu_sensitivity": {n: round(s, 4) for n, s in sensitivity.items()}}
        return Masks(masks, spent, facts)

    def _match(self, task: MaskTask, masks: Mapping[str, Tensor], before: int) -> int:
        """Train with the masks in place, near the teacher's activations; what that spent."""
        from search.methods.mask_students import set_masks
        from search.methods.trainer import (
            Batches,
            LossMeter,
            Recipe,
            check_finite,
            make_optimizer,
            place,
            prepare_network,
            task_loss,
        )

        assert isinstance(self._config, SenetOptions)
        o, device = self._config, task.ctx.device
        recipe = Recipe(
            epochs=max(0.0, task.epochs - before / self._students.epoch_images),
            learning_rate=self._knobs.value("mask_learning_rate", task.point),
            optimizer=o.optimizer, weight_decay=o.weight_decay, distillation=o.distillation,
            temperature=o.temperature, channels_last=o.channels_last,
        )  # fmt: skip
        batches = Batches(len(task.split), o.batch_size, seed=task.ctx.seed, device=device)
        x, y = place(task.split, recipe, device)
        network = prepare_network(task.network, recipe, device)
        set_masks(network, masks)
        task.teacher.to(device).eval()
        parameters = [p for p in network.parameters() if p.requires_grad]
        optimizer = make_optimizer(parameters, recipe)
        meter, steps = LossMeter("matching", batches.per_epoch, task.ctx), 0
        for _, index in zip(range(batches.steps(recipe.epochs)), batches, strict=False):
            if task.ctx.should_stop():
                break
            with torch.no_grad(), _outputs(task.teacher, task.masking.free) as theirs:
                task.teacher(x[index])
            with _outputs(network, task.masking.free) as ours:
                logits = network(x[index])
            soft = None if task.soft_targets is None else task.soft_targets[index]
            loss = task_loss(logits, y[index], recipe, soft)
            loss = loss + o.activation_matching * matching_loss(ours, theirs)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(parameters, o.clip)
            optimizer.step()
            meter.add(loss)
            steps += 1
        meter.finish()
        check_finite(network, "matching")
        return steps * batches.size


def pruning_sensitivity(
    task: MaskTask, batches: Sequence[Tensor], density: float
) -> dict[str, float]:
    """Free site -> share of its layer's weights among the ``density`` of all that matter most.

    A weight matters by ``|w dL/dw|`` in the teacher: other than ``|w|`` alone it does not change
    with the scale of a layer that a batch norm follows. A site without weights of its own gets the
    share of all.

    Args:
        task: gives teacher, split and sites.
        batches: indices into the split.
        density: between 0 and 1.
    """
    layers = _weights_before(task.teacher, task.masking)
    tensors = [w for group in layers.values() for w in group]
    if not tensors:
        return {site.name: density for site in task.masking.free}
    task.teacher.to(task.ctx.device).eval()
    totals = [torch.zeros_like(w) for w in tensors]
    was = [w.requires_grad for w in tensors]
    for weight in tensors:
        weight.requires_grad_(True)
    try:
        for index in batches:
            x, y = (t[index].to(task.ctx.device) for t in (task.split.x, task.split.y))
            loss = nn.functional.cross_entropy(task.teacher(x).float(), y, reduction="sum")
            for total, slope in zip(totals, torch.autograd.grad(loss, tensors), strict=True):
                total += slope
    finally:
        for weight, before in zip(tensors, was, strict=True):
            weight.requires_grad_(before)
    matters = [(w.detach() * t).abs().flatten().cpu() for w, t in zip(tensors, totals, strict=True)]
    together = torch.cat(matters)
    stays = torch.zeros(len(together), dtype=torch.bool)
    stays[torch.argsort(together, descending=True, stable=True)[: round(density * len(stays))]] = 1
    parts = iter(torch.split(stays, [len(m) for m in matters]))
    found = {}
    for name, group in layers.items():
        own = [next(parts) for _ in group]
        found[name] = float(torch.cat(own).double().mean()) if own else density
    return found


def activation_difference(task: MaskTask, batches: Sequence[Tensor]) -> dict[str, Tensor]:
    """Free site -> mean ``|relu(x) - g(x)|`` per unit, over the teacher's inputs ``x``.

    Args:
        task: gives student, teacher, split and sites.
        batches: indices into the split.

    Returns:
        Scores of shape ``masking.unit_shape(site)``, on the CPU.
    """
    from search.methods.mask_students import masked_at

    totals: dict[str, Tensor] = {}

    def look(name: str) -> Any:
        masked = masked_at(task.network, name)

        def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            part = (masked.kept(inputs[0]) - masked.replacement(inputs[0])).abs().sum(0)
            totals[name] = totals.get(name, torch.zeros_like(part)) + part

        return hook

    task.teacher.to(task.ctx.device).eval()
    task.network.to(task.ctx.device)
    hooks = [task.teacher.get_submodule(s.name).register_forward_pre_hook(look(s.name))
             for s in task.masking.free]  # fmt: skip
    try:
        with torch.no_grad():
            for index in batches:
                task.teacher(task.split.x[index].to(task.ctx.device))
    finally:
        for handle in hooks:
            handle.remove()
    images = sum(len(index) for index in batches)
    scores = {}
    for site in task.masking.free:
        shape = task.masking.unit_shape(site)
        axes = [i for i, n in enumerate(shape) if n == 1]
        mean = totals[site.name] / images
        scores[site.name] = (mean.mean(axes, keepdim=True) if axes else mean).cpu()
    return scores


def matching_loss(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> Tensor:
    """Squared distance of activations ``[n, ...]``, each scaled to norm 1 per image: mean over
    images, sum over sites.
    """
    parts = [
        (_unit(ours[name]) - _unit(theirs[name])).square().sum(1).mean() for name in theirs
    ]  # fmt: skip
    return torch.stack(parts).sum()


def _unit(x: Tensor) -> Tensor:
    return nn.functional.normalize(x.flatten(1).float(), dim=1)


@contextmanager
def _outputs(network: nn.Module, sites: Sequence[Site]) -> Iterator[dict[str, Tensor]]:
    """Site -> what it gives in the forward passes done meanwhile."""
    found: dict[str, Tensor] = {}

    def look(name: str) -> Any:
        return lambda module, inputs, output: found.__setitem__(name, output)

    hooks = [network.get_submodule(s.name).register_forward_hook(look(s.name)) for s in sites]
    try:
        yield found
    finally:
        for handle in hooks:
            handle.remove()


def _weights_before(network: nn.Module, masking: Masking) -> dict[str, list[nn.Parameter]]:
    """Free site -> weights executed since the activation before it, in execution order."""
    free = {site.name for site in masking.free}
    found: dict[str, list[nn.Parameter]] = {}
    waiting: list[nn.Parameter] = []
    for site in masking.sites:
        if site.kind in ("conv", "linear"):
            module = network.get_submodule(site.name.partition("#")[0])  # called again: the same
            weight = getattr(module, "weight", None)
            waiting += [weight] if isinstance(weight, nn.Parameter) else []
        elif site.kind == "activation":
            if site.name in free:
                found[site.name] = waiting
            waiting = []
    return found
