"""Image folders and Tiny-ImageNet from small files that the tests write."""

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from search.api.errors import ConfigError
from search.workloads.data.folders import ImageFolder, TinyImageNet


def paint(path, colour=(255, 0, 0), size=(6, 4)):
    """One image of one colour; ``size`` is (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def fill(root, classes=("ant", "bee"), n=10):
    for number, name in enumerate(classes):
        for i in range(n):
            paint(root / name / f"{i}.png", (10 * i, 100 * number, 0))
    return root


def test_classes_are_folders_and_parts_are_carved(tmp_path):
    data = ImageFolder.from_config(ImageFolder.Config(directory=fill(tmp_path)), None)
    assert (data.classes, data.input_shape) == (2, (3, 4, 6))
    splits = data.load()
    assert [len(s) for s in (splits.train, splits.validation, splits.test)] == [16, 2, 2]
    assert sorted(splits.test.y.tolist()) == [0, 1]
    green = splits.train.x[:, 1, 0, 0] * splits.std[1] + splits.mean[1]
    assert np.allclose(green, splits.train.y * 100 / 255, atol=1e-5)


def test_official_parts_are_used(tmp_path):
    for part, n in (("train", 8), ("val", 3), ("test", 2)):
        fill(tmp_path / part, n=n)
    splits = ImageFolder(directory=tmp_path).load()
    assert [len(s) for s in (splits.train, splits.validation, splits.test)] == [16, 6, 4]


def test_train_without_validation_and_test(tmp_path):
    fill(tmp_path / "train")
    splits = ImageFolder(directory=tmp_path, validation=4, test=6).load()
    assert [len(s) for s in (splits.train, splits.validation, splits.test)] == [10, 4, 6]


@pytest.mark.parametrize(("size", "shape"), [(5, (1, 5, 5)), ((3, 2), (1, 3, 2))])
def test_resize_and_grey(tmp_path, size, shape):
    fill(tmp_path)
    paint(tmp_path / "ant" / "other.jpg", size=(20, 30))
    data = ImageFolder(directory=tmp_path, size=size, channels=1)
    assert data.input_shape == shape == data.load().input_shape


def test_different_sizes_need_resizing(tmp_path):
    fill(tmp_path)
    paint(tmp_path / "bee" / "other.png", size=(20, 30))
    with pytest.raises(ConfigError, match=r"other.png: size: .*got 30 x 20; the first is 4 x 6"):
        ImageFolder(directory=tmp_path, test=7, validation=7).load()


def test_only_the_chosen_files_are_decoded(tmp_path):
    fill(tmp_path)
    (tmp_path / "bee" / "zz.png").write_bytes(b"not an image")
    failed = []
    for seed in range(20):
        data = ImageFolder(directory=tmp_path, train=4, validation=2, test=2, seed=seed)
        try:
            assert len(data.load().train) == 4
        except ConfigError as error:
            failed.append(str(error))
    assert 0 < len(failed) < 20
    assert all("zz.png: cannot read the image" in text for text in failed)


def test_digest_follows_names_and_sizes(tmp_path):
    fill(tmp_path)
    before = ImageFolder(directory=tmp_path).digest
    paint(tmp_path / "bee" / "zz.png")
    added = ImageFolder(directory=tmp_path).digest
    (tmp_path / "bee" / "zz.png").write_bytes(b"not an image")
    assert len({before, added, ImageFolder(directory=tmp_path).digest}) == 3


def test_other_files_are_ignored(tmp_path):
    fill(tmp_path)
    before = ImageFolder(directory=tmp_path).digest
    (tmp_path / "ant" / "notes.txt").write_text("x")
    (tmp_path / "ant" / "._0.png").write_text("x")
    (tmp_path / ".cache").mkdir()
    assert ImageFolder(directory=tmp_path).digest == before
    assert ImageFolder(directory=tmp_path, size=4).digest != before


def test_missing_things_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"directory: no such folder: .*gone"):
        ImageFolder(directory=tmp_path / "gone").load()
    with pytest.raises(ConfigError, match=r"no class in .*one sub-folder per class"):
        ImageFolder(directory=tmp_path).load()
    (tmp_path / "ant").mkdir()
    with pytest.raises(ConfigError, match=r"no images in .*<class>/\* .*\.png"):
        ImageFolder(directory=tmp_path).load()


def test_classes_unknown_to_train(tmp_path):
    fill(tmp_path / "train")
    fill(tmp_path / "test", classes=("ant", "wasp"))
    with pytest.raises(ConfigError, match=r"test has a class that train has not: wasp"):
        ImageFolder(directory=tmp_path).load()


def test_channels_are_one_or_three():
    with pytest.raises(ValidationError):
        ImageFolder.Config(directory=".", channels=2)


@pytest.fixture
def tiny(tmp_path):
    """Two classes in the form of tiny-imagenet-200, inside the folder the archive gives."""
    root = tmp_path / "tiny-imagenet-200"
    for wnid in ("n02", "n01"):
        for i in range(10):
            paint(root / "train" / wnid / "images" / f"{wnid}_{i}.JPEG", (9 * i, 0, 0), (64, 64))
    rows = []
    for i in range(6):
        paint(root / "val" / "images" / f"val_{i}.JPEG", (0, 9 * i, 0), (64, 64))
        rows.append(f"val_{i}.JPEG\tn0{1 + i % 2}\t0\t0\t62\t62")
    (root / "val" / "val_annotations.txt").write_text("\n".join(rows) + "\n")
    (root / "wnids.txt").write_text("n02\nn01\n")
    return tmp_path


def test_tiny_imagenet(tiny):
    data = TinyImageNet.from_config(TinyImageNet.Config(directory=tiny), None)
    assert (data.classes, data.input_shape) == (2, (3, 64, 64))
    splits = data.load()
    assert [len(s) for s in (splits.train, splits.validation, splits.test)] == [18, 2, 6]
    assert splits.test.y.tolist() == [0, 1, 0, 1, 0, 1]
    again = TinyImageNet(directory=tiny / "tiny-imagenet-200")
    assert again.digest == data.digest


def test_tiny_imagenet_missing(tiny):
    (tiny / "tiny-imagenet-200" / "val" / "val_annotations.txt").unlink()
    with pytest.raises(
        ConfigError, match=r"Tiny-ImageNet is not there: no val/val_annotations.txt"
    ):
        TinyImageNet(directory=tiny).load()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("val_0.JPEG n01", "line 1 names no known class"),
        ("gone.JPEG\tn01", "not there: .*gone.JPEG"),
    ],
)
def test_tiny_imagenet_bad_table(tiny, row, message):
    (tiny / "tiny-imagenet-200" / "val" / "val_annotations.txt").write_text(row)
    with pytest.raises(ConfigError, match=message):
        TinyImageNet(directory=tiny).load()
