"""Patches of scikit-image's pictures in three parts that share no pixel."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from search.api.errors import ConfigError, MissingExtra
from search.workloads.data import patches
from search.workloads.data.patches import PICTURES, SkimagePatches

HERE = importlib.util.find_spec("skimage") is not None
needs_pictures = pytest.mark.skipif(not HERE, reason="scikit-image is not installed")
SMALL = {"train": 60, "validation": 26, "test": 24}


@needs_pictures
def test_three_parts_with_equal_classes():
    data = SkimagePatches.from_config(SkimagePatches.Config(**SMALL), None)
    splits = data.load()
    assert [len(s) for s in (splits.train, splits.validation, splits.test)] == [60, 26, 24]
    assert torch.bincount(splits.train.y).tolist() == [5] * 12
    assert torch.bincount(splits.validation.y).tolist() == [3, 3] + [2] * 10
    assert splits.input_shape == data.input_shape == (1, 32, 32)
    assert (splits.classes, splits.digest) == (12, data.digest)
    assert float(splits.train.x.mean()) == pytest.approx(0, abs=1e-5)
    assert float(splits.train.x.std()) == pytest.approx(1, abs=1e-3)


@needs_pictures
def test_brightness_of_a_patch_tells_nothing_unless_asked_for():
    even = SkimagePatches(**SMALL).load().train.x
    assert even.mean((1, 2, 3)).std() < 1e-5
    raw = SkimagePatches(**SMALL, contrast="none").load().train.x
    assert raw.mean((1, 2, 3)).std() > 0.3


@needs_pictures
def test_colour_is_repeated_where_a_picture_is_grey():
    splits = SkimagePatches(**SMALL, colour=True, contrast="none").load()
    assert splits.input_shape == (3, 32, 32)
    pixels = splits.train.x * torch.tensor(splits.std).view(3, 1, 1)
    pixels += torch.tensor(splits.mean).view(3, 1, 1)
    names = list(PICTURES)
    spread = [float((p.max(0).values - p.min(0).values).max()) for p in pixels]
    by_class = {
        name: max(s for s, y in zip(spread, splits.train.y, strict=True) if names[y] == name)
        for name in names
    }
    assert by_class["brick.png"] < 1e-5
    assert by_class["ihc.png"] > 0.1


@needs_pictures
def test_same_seed_same_patches_and_a_smaller_train_leaves_the_rest():
    one, again = SkimagePatches(**SMALL).load(), SkimagePatches(**SMALL).load()
    assert torch.equal(one.train.x, again.train.x)
    other = SkimagePatches(**SMALL, seed=1)
    assert not torch.equal(one.train.x, other.load().train.x)
    assert other.digest != SkimagePatches(**SMALL).digest
    # No normalisation by train in the way: compare labels and pixels as they are.
    full = SkimagePatches(**SMALL, contrast="none").load()
    fewer = SkimagePatches(**SMALL | {"train": 24}, contrast="none").load()

    def pixels(splits, part):
        return (getattr(splits, part).x * splits.std[0] + splits.mean[0]).mul(255).round()

    assert torch.equal(pixels(full, "test"), pixels(fewer, "test"))
    known = {p.numpy().tobytes() for p in pixels(full, "train")}
    assert all(p.numpy().tobytes() in known for p in pixels(fewer, "train"))


def test_no_pixel_belongs_to_two_parts():
    numbered = np.arange(1 * 173 * 91).reshape(1, 173, 91)
    parts = patches._regions(numbered)
    seen = {part: {int(p) for r in regions for p in r.ravel()} for part, regions in parts.items()}
    assert set.union(*seen.values()) == set(range(173 * 91))
    assert sum(map(len, seen.values())) == 173 * 91
    assert all(len(own) > 3000 for own in seen.values())


@needs_pictures
def test_patches_are_different_and_on_the_grid():
    data = SkimagePatches(train=None, validation=12, test=12, patch=40, stride=16, contrast="none")
    x = data.load().train.x
    # Left half of text.png: 224 x 172; of all classes the numbers follow from the sizes alone.
    expected = 0
    for name in PICTURES:
        picture = patches._picture(patches._folder() / name, colour=False)
        rows, columns = ((n - 40) // 16 + 1 for n in (picture.shape[1], picture.shape[2] // 2))
        expected += rows * columns
    assert len(x) == expected
    # Black sky repeats; positions do not.
    assert len(torch.unique(x.flatten(1), dim=0)) > 0.9 * expected


@needs_pictures
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"test": 12 * 3000, "stride": 4}, r"test: too many patches asked for \(got 3000 of .*png"),
        ({"patch": 60}, r"patch: patches of 60 pixels do not fit text.png, .* at most 43"),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        SkimagePatches(**options).load()


def test_without_scikit_image_the_command_is_named():
    # In a process of its own, where the package cannot be found.
    code = (
        "import sys, importlib.util as u; real = u.find_spec\n"
        "u.find_spec = lambda n, *a: None if n == 'skimage' else real(n, *a)\n"
        "from search.workloads.data.patches import SkimagePatches\n"
        "from search.api.errors import MissingExtra\n"
        "try:\n"
        "    SkimagePatches().load()\n"
        "except MissingExtra as error:\n"
        "    sys.exit(0 if 'cipher-search[pictures]' in str(error) else 2)\n"
        "sys.exit(3)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@needs_pictures
def test_another_or_no_picture_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"brick.png: the installed scikit-image lacks a picture"):
        patches._picture(tmp_path / "brick.png", colour=False)
    (tmp_path / "brick.png").write_bytes(b"other")
    with pytest.raises(ConfigError, match=r"another picture .*expected 7966caf324f6ba84"):
        patches._picture(tmp_path / "brick.png", colour=False)


def test_the_digest_needs_no_picture():
    assert len(SkimagePatches().digest) == 16
    assert SkimagePatches(stride=4).digest != SkimagePatches().digest
    assert issubclass(MissingExtra, Exception)
