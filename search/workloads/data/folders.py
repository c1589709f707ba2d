"""Image folders, one sub-folder per class, and Tiny-ImageNet, which nearly is one.

Files are chosen before any is decoded, so a small subset of a large set costs little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from search.api.errors import ConfigError
from search.workloads.data.options import SplitOptions, locate
from search.workloads.data.splits import (
    Array,
    Indices,
    Pair,
    Splits,
    assemble,
    digest_of,
    three_way,
)

_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
_MODES = {1: "L", 3: "RGB"}


class FolderOptions(SplitOptions):
    """Options of both kinds of folder."""

    directory: Path = Field(description="folder with the images")
    size: int | tuple[int, int] | None = Field(
        default=None,
        description="resize to this height and width [pixel]; absent: images as they are",
    )
    channels: Literal[1, 3] = Field(3, description="1: grey, 3: red, green, blue")


@dataclass(frozen=True)
class Listing:
    """Image files with class numbers.

    Args:
        files: paths, in a fixed order.
        labels: class number of each, ``[n]``.
    """

    files: tuple[Path, ...]
    labels: Indices

    def __len__(self) -> int:
        return len(self.files)


@dataclass(frozen=True)
class Tree:
    """What there is before anything is split or decoded; None for a part that is missing.

    Args:
        root: folder that all paths start with.
        classes: names, in the order of the class numbers.
        train: images to train on, and to carve missing parts out of.
        validation: official validation part.
        test: official test part.
    """

    root: Path
    classes: tuple[str, ...]
    train: Listing
    validation: Listing | None
    test: Listing | None


class ImageFolder:
    """Images in ``DIR/<class>/*``, or in ``DIR/train``, ``val`` and ``test``, each with classes.

    Parts that are missing are carved out of train, a tenth each unless asked otherwise.

    Args:
        options: those of :class:`ImageFolder.Config`.
    """

    class Config(FolderOptions):
        """Options of ``image_folder``."""

    name = "image_folder"

    def __init__(self, **options: Any) -> None:
        self._options: FolderOptions = self.Config(**options)

    @classmethod
    def from_config(cls, config: FolderOptions, workload: object) -> ImageFolder:
        """From checked options; ``workload`` is not used."""
        return cls(**config.model_dump())

    @property
    def classes(self) -> int:
        """Number of classes: sub-folders, in the order of their names."""
        return len(self._tree.classes)

    @cached_property
    def input_shape(self) -> tuple[int, int, int]:
        """``(C, H, W)``; without ``size`` that of the first image."""
        channels, size = self._options.channels, self._options.size
        if isinstance(size, int):
            return channels, size, size
        if size is not None:
            return channels, *size
        return channels, *_decode(self._tree.train.files[0], channels, None).shape[1:]

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits of names and sizes of all files, and the options.

        Contents are not hashed, since that would read a large set twice.
        """
        options, root = self._options, self._tree.root
        listings = [p for p in (self._tree.train, self._tree.validation, self._tree.test) if p]
        files = [
            [path.relative_to(root).as_posix(), path.stat().st_size, int(label)]
            for part in listings
            for path, label in zip(part.files, part.labels, strict=True)
        ]
        return digest_of(
            name=self.name,
            files=files,
            size=options.size,
            channels=options.channels,
            sizes=options.sizes,
            seed=options.seed,
        )

    def load(self) -> Splits:
        """Choose, decode, resize, normalise.

        Raises:
            ConfigError: no images, damaged images, or different sizes without ``size``.
        """
        tree, options = self._tree, self._options
        indices = three_way(
            tree.train.labels,
            tree.test.labels if tree.test else None,
            y_validation=tree.validation.labels if tree.validation else None,
            sizes=options.sizes,
            seed=options.seed,
        )
        listings = (tree.train, tree.validation or tree.train, tree.test or tree.train)
        parts = [self._pixels(part, i) for part, i in zip(listings, indices, strict=True)]
        return assemble(
            train=parts[0],
            validation=parts[1],
            test=parts[2],
            classes=self.classes,
            name=self.name,
            digest=self.digest,
        )

    @cached_property
    def _tree(self) -> Tree:
        """The listing of all parts."""
        root = self._options.directory.expanduser()
        parts = {p: root / p for p in ("train", "val", "validation", "test")}
        if not (parts["train"].is_dir() and _class_folders(parts["train"])):
            classes = _classes(root)
            return Tree(root, classes, _list(root, classes), None, None)
        classes = _classes(parts["train"])

        def official(*names: str) -> Listing | None:
            found = next((parts[name] for name in names if parts[name].is_dir()), None)
            return _list(found, classes) if found else None

        train = _list(parts["train"], classes)
        return Tree(root, classes, train, official("val", "validation"), official("test"))

    def _pixels(self, part: Listing, indices: Indices) -> Pair:
        """Decoded images ``[n, C, H, W]`` (uint8) and labels."""
        shape = self.input_shape
        x: Array = np.empty((len(indices), *shape), dtype=np.uint8)
        size = None if self._options.size is None else (shape[1], shape[2])
        for row, index in enumerate(indices):
            image = _decode(part.files[index], shape[0], size)
            if image.shape != shape:
                raise ConfigError(
                    f"images differ in size (got {image.shape[1]} x {image.shape[2]}; the first "
                    f"is {shape[1]} x {shape[2]}). Set `size` to resize them",
                    path="size",
                    source=str(part.files[index]),
                )
            x[row] = image
        return x, part.labels[indices]


class TinyImageNet(ImageFolder):
    """Tiny-ImageNet-200, 64 x 64, as unpacked; its val part is the test part here.

    The official test part has no labels, so validation is carved out of train (10,000 images).
    The whole set takes about 7 GB of memory; ``train``, ``validation`` and ``test`` bound that.

    Source: Stanford CS231n course project; wnids.txt, train/<wnid>/images/*, val/images/* with
    val/val_annotations.txt (file, wnid, box; separated by tabs).
    """

    class Config(FolderOptions):
        """Options of ``tiny_imagenet``."""

    name = "tiny_imagenet"

    @cached_property
    def _tree(self) -> Tree:
        """Listing by wnids.txt and val_annotations.txt."""
        place = locate(
            self._options.directory,
            "tiny-imagenet-200",
            ("wnids.txt", "train", "val/images", "val/val_annotations.txt"),
            what="Tiny-ImageNet",
            hint="Unpack tiny-imagenet-200.zip and give its folder",
        )
        classes = tuple(sorted(_lines(place / "wnids.txt")))
        if not classes:
            raise ConfigError("no class is named", source=str(place / "wnids.txt"))
        return Tree(
            place,
            classes,
            _list(place / "train", classes, inner="images"),
            None,
            _annotated(place / "val", {name: number for number, name in enumerate(classes)}),
        )


def _annotated(folder: Path, numbers: dict[str, int]) -> Listing:
    """The listing in val_annotations.txt."""
    table = folder / "val_annotations.txt"
    files: list[Path] = []
    labels: list[int] = []
    for line, text in enumerate(_lines(table), start=1):
        name, _, rest = text.partition("\t")
        wnid = rest.partition("\t")[0]
        if wnid not in numbers:
            raise ConfigError(
                f"line {line} names no known class (got {text[:60]!r}; expected file, tab, wnid)",
                source=str(table),
            )
        files.append(folder / "images" / name)
        labels.append(numbers[wnid])
    missing = next((path for path in files if not path.is_file()), None)
    if missing is not None:
        raise ConfigError(
            f"the table names an image that is not there: {missing}", source=str(table)
        )
    return Listing(tuple(files), np.asarray(labels, dtype=np.int64))


def _lines(path: Path) -> list[str]:
    """Lines that are not blank."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the table ({error})", source=str(path)) from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def _class_folders(root: Path) -> list[str]:
    """Sub-folders by name; hidden ones do not count."""
    return sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))


def _classes(root: Path) -> tuple[str, ...]:
    """Names of the classes under ``root``."""
    if not root.is_dir():
        raise ConfigError(f"no such folder: {root}", path="directory")
    names = _class_folders(root)
    if not names:
        raise ConfigError(
            f"no class in {root}: expected one sub-folder per class, with images in it",
            path="directory",
        )
    return tuple(names)


def _list(root: Path, classes: Sequence[str], inner: str = "") -> Listing:
    """All images of ``root/<class>/<inner>``, sorted by name within each class."""
    unknown = sorted(set(_class_folders(root)) - set(classes))
    if unknown:
        raise ConfigError(f"{root} has a class that train has not: {unknown[0]}", path="directory")
    files: list[Path] = []
    labels: list[int] = []
    for number, name in enumerate(classes):
        folder = root / name / inner
        entries = sorted(folder.iterdir()) if folder.is_dir() else []
        images = [p for p in entries if p.suffix.lower() in _SUFFIXES and p.name[0] != "."]
        files += images
        labels += [number] * len(images)
    if not files:
        raise ConfigError(
            f"no images in {root}/<class>/{inner or '*'} (looked for "
            f"{', '.join(sorted(_SUFFIXES))})",
            path="directory",
        )
    return Listing(tuple(files), np.asarray(labels, dtype=np.int64))


def _decode(path: Path, channels: int, size: tuple[int, int] | None) -> Array:
    """One image as uint8 ``[C, H, W]``; ``size`` is (height, width)."""
    from PIL import Image

    try:
        with Image.open(path) as file:
            image: Any = file.convert(_MODES[channels])
            if size is not None and image.size != size[::-1]:
                image = image.resize(size[::-1], Image.Resampling.BILINEAR)
            pixels = np.asarray(image, dtype=np.uint8)
    # Pillow raises SyntaxError for some damaged PNG files.
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ConfigError(f"cannot read the image ({error})", source=str(path)) from error
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)
