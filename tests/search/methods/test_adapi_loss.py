from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from search.methods.adapi_loss import Lesson, Teaching, attention_loss, attention_of, watched


def test_attention_is_the_squared_mean_over_channels_of_length_1() -> None:
    map_ = torch.tensor([[[[1.0, 2.0]], [[1.0, 0.0]]]])  # [1, 2, 1, 2]: means of squares 1 and 2
    assert attention_of(map_)[0].tolist() == pytest.approx([1 / 5**0.5, 2 / 5**0.5])
    assert attention_of(torch.tensor([[0.0, 2.0]])).tolist() == [[0.0, 1.0]]


def test_attention_does_not_see_scale_but_sees_place() -> None:
    a = torch.rand(3, 4, 5, 5)
    assert float(attention_loss([a, a], [3 * a, a])) == pytest.approx(0.0, abs=1e-9)
    b = a.flip(-1)
    once = (attention_of(a) - attention_of(b)).square().mean()
    assert float(attention_loss([a, a], [b, b])) == pytest.approx(2 * float(once))


def test_the_loss_weighs_labels_and_teacher() -> None:
    logits, soft, labels = torch.randn(4, 3), torch.randn(4, 3), torch.tensor([0, 1, 2, 0])
    own = F.cross_entropy(logits, labels)
    kl = F.kl_div((logits / 4).log_softmax(1), (soft / 4).softmax(1), reduction="batchmean")
    found = Lesson(0.1, 0.9, 0.0, 4.0).loss(logits, labels, soft)
    assert float(found) == pytest.approx(float(0.1 * own + 0.9 * 16 * kl), rel=1e-5)
    assert float(Lesson(0.1, 0.9).loss(logits, labels, None)) == pytest.approx(0.1 * float(own))


def net() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))


def test_maps_are_watched_within_the_block_only() -> None:
    network = net()
    with watched(network, ["1"]) as seen:
        network(torch.rand(2, 1, 4, 4))
        assert [tuple(m.shape) for m in seen] == [(2, 2, 2, 2)]
    network(torch.rand(2, 1, 4, 4))
    assert len(seen) == 1


@pytest.mark.parametrize("attention", [0.0, 500.0])
def test_a_copy_of_the_teacher_has_nothing_to_learn_but_labels(attention: float) -> None:
    torch.manual_seed(0)
    teacher = net().eval()
    images, labels = torch.rand(6, 1, 4, 4), torch.tensor([0, 1, 2, 0, 1, 2])
    with torch.no_grad():
        soft = teacher(images)
    other = net().eval()
    index = torch.arange(6)
    losses = []
    for network in (teacher, other):
        taught = Teaching(network, teacher, ["1"], Lesson(0.0, 0.9, attention), soft)
        with taught.lesson():
            assert torch.equal(taught.images(images), images)
            losses.append(float(taught.loss(images, network(images), labels, index).detach()))
    assert losses[0] == pytest.approx(0.0, abs=1e-5)
    assert losses[1] > 1e-3


def test_the_teacher_sees_changed_images() -> None:
    torch.manual_seed(0)
    teacher = net().eval()
    images, labels = torch.rand(64, 1, 4, 4), torch.zeros(64, dtype=torch.long)
    stale = torch.full((64, 3), 50.0)
    taught = Teaching(
        teacher, teacher, ["1"], Lesson(0.0, 1.0, 0.0), stale, augmentation="shift_flip", seed=1
    )
    with taught.lesson():
        changed = taught.images(images)
        loss = taught.loss(changed, teacher(changed), labels, torch.arange(64))
    assert not torch.equal(changed, images)
    assert float(loss.detach()) == pytest.approx(0.0, abs=1e-5)
