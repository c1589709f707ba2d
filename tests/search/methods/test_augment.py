from __future__ import annotations

import pytest
import torch

from search.methods.augment import augment


def images(n: int = 64) -> torch.Tensor:
    return torch.rand(n, 2, 8, 6, generator=torch.Generator().manual_seed(0)) + 1.0


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_none_gives_the_images_themselves() -> None:
    x = images()
    assert augment(x, "none", generator()) is x


def test_flip_mirrors_about_half() -> None:
    x = images()
    changed = augment(x, "flip", generator())
    flipped = [torch.equal(a, b.flip(2)) for a, b in zip(changed, x, strict=True)]
    same = [torch.equal(a, b) for a, b in zip(changed, x, strict=True)]
    assert all(f or s for f, s in zip(flipped, same, strict=True))
    assert 16 < sum(flipped) < 48


def test_shift_moves_by_at_most_one_pixel_of_eight_and_fills_with_zeros() -> None:
    x = images()
    changed = augment(x, "shift", generator())
    assert changed.shape == x.shape
    padded = torch.nn.functional.pad(x, (1, 1, 1, 1))
    seen = set()
    for got, source in zip(changed, padded, strict=True):
        moves = [
            (i, j) for i in range(3) for j in range(3)
            if torch.equal(got, source[:, i : i + 8, j : j + 6])
        ]  # fmt: skip
        assert len(moves) == 1
        seen.update(moves)
    assert len(seen) > 5


@pytest.mark.parametrize("kind", ["flip", "shift", "shift_flip"])
def test_the_generator_decides(kind: str) -> None:
    x = images()
    assert torch.equal(augment(x, kind, generator(1)), augment(x, kind, generator(1)))  # type: ignore[arg-type]
    assert not torch.equal(augment(x, kind, generator(1)), augment(x, kind, generator(2)))  # type: ignore[arg-type]
