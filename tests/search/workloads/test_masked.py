import pytest
import torch
from torch import nn

from search.api.errors import ConfigError, EvaluationError
from search.workloads.masked import MaskedActivation, check_masks, mask_digest, masks_of


def half() -> MaskedActivation:
    site = MaskedActivation(nn.ReLU(), nn.Identity(), (2, 1, 2))
    site.set_mask(torch.tensor([[[True, False]], [[False, True]]]))
    return site


def test_relu_stays_where_the_mask_keeps_it() -> None:
    x = torch.tensor([[[[-1.0, -2.0]], [[-3.0, -4.0]]]])
    assert half()(x).flatten().tolist() == [0.0, -2.0, -3.0, 0.0]
    assert half().count == 2


def test_masks_of_channels_and_layers_spread() -> None:
    site = half()
    site.set_mask(torch.tensor([True, False]).view(2, 1, 1))
    assert site.get_buffer("mask").flatten().tolist() == [True, True, False, False]
    site.set_mask(torch.tensor(False))
    assert site.count == 0


@pytest.mark.parametrize("mask", [torch.ones(3, dtype=torch.bool), torch.ones(2, 1, 2)])
def test_a_mask_that_does_not_fit_is_refused(mask: torch.Tensor) -> None:
    with pytest.raises(ConfigError, match="mask"):
        half().set_mask(mask)


def test_the_digest_depends_on_shape_and_bits() -> None:
    mask = half().get_buffer("mask")
    assert mask_digest(mask) == mask_digest(mask.clone())
    assert len({mask_digest(m) for m in (mask, ~mask, mask.reshape(2, 2, 1), mask[:1])}) == 4


def test_masks_of_a_network_are_checked_against_a_plan() -> None:
    network = nn.ModuleDict({"act": half(), "head": nn.Identity()})
    (digest,) = [mask_digest(m) for m in masks_of(network).values()]
    check_masks(network, {"act": digest})
    with pytest.raises(EvaluationError, match="act: the mask in the weights is not the one"):
        check_masks(network, {"act": "00"})
    with pytest.raises(EvaluationError, match="head: the plan has a mask, the network does not"):
        check_masks(network, {"head": digest})
