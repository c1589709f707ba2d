"""Patches of twelve pictures that come with scikit-image: which picture is a patch from?

Real textures without a download. A patch may begin anywhere and is brought to one contrast, so
that a linear network does hardly better than guessing, and nonlinearities matter.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from pydantic import Field

from search.api.errors import ConfigError, MissingExtra
from search.workloads.data.options import SplitOptions
from search.workloads.data.splits import Array, Indices, Pair, Splits, assemble, digest_of

PICTURES: Mapping[str, str] = MappingProxyType(
    {
        "brick.png": "7966caf324f6ba843118d98f7a07746d22f6a343430add0233eca5f6eaaa8fcf",
        "cell.png": "8d23a7fb81f7cc877cd09f330357fc7f595651306e84e17252f6e0a1b3f61515",
        "clock_motion.png": "f029226b28b642e80113d86622e9b215ee067a0966feaf5e60604a1e05733955",
        "coins.png": "f8d773fc9cfa6f4d8e5942dc34d0a0788fcaed2a4fefbbed0aef5398d7ef4cba",
        "grass.png": "b6b6022426b38936c43a4ac09635cd78af074e90f42ffa8227ac8b7452d39f89",
        "gravel.png": "c48615b451bf1e606fbd72c0aa9f8cc0f068ab7111ef7d93bb9b0f2586440c12",
        "hubble_deep_field.jpg": "3a19c5dd8a927a9334bb1229a6d63711b1c0c767fb27e2286e7c84a3e2c2f5f4",
        "ihc.png": "f8dd1aa387ddd1f49d8ad13b50921b237df8e9b262606d258770687b0ef93cef",
        "moon.png": "78739619d11f7eb9c165bb5d2efd4772cee557812ec847532dbb1d92ef71f577",
        "retina.jpg": "38a07f36f27f095e818aea7b96d34202c05176d30253c66733f2e00379e9e0e6",
        "rocket.jpg": "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
        "text.png": "bd84aa3a6e3c9887850d45d606c96b2e59433fbef50338570b63c319e668e6d1",
    }
)
"""File in scikit-image's folder of data -> SHA-256, in order of class.

Those whose halves look alike, so that a network can learn from one what the other is. All are in
the wheel of scikit-image 0.26; others it fetches on demand, and those are not used.
"""

_BANDS = 4  # of the right half; validation and test take turns, so that both see top and bottom
_EVEN = 0.03  # added to a patch's standard deviation (pixels 0..1), so that noise is not blown up
_PARTS = ("train", "validation", "test")


class SkimagePatches:
    """Patches of 12 pictures within scikit-image, class = picture: a task that needs ReLUs.

    Train patches lie in the left half of each picture, validation and test patches in bands of the
    right half that alternate from top to bottom. No pixel is in patches of two parts.

    Args:
        options: those of :class:`SkimagePatches.Config`.
    """

    class Config(SplitOptions):
        """Options of ``skimage_patches``; every class has the same share of each part."""

        train: int | None = Field(default=12_000, ge=1, description="patches to train on")
        validation: int | None = Field(default=3_000, ge=1, description="patches to choose by")
        test: int | None = Field(default=3_000, ge=1, description="patches to report on")
        patch: int = Field(default=32, ge=4, description="side of a patch, in pixels")
        stride: int = Field(default=2, ge=1, description="patches begin at multiples of this")
        colour: bool = Field(
            default=False,
            description="three channels, equal ones where a picture is grey; else one grey channel",
        )
        contrast: Literal["patch", "none"] = Field(
            default="patch",
            description="patch: each patch is brought to mean 0 and deviation about 1, so that "
            "brightness tells nothing; none: pixels as they are",
        )

    classes = len(PICTURES)

    def __init__(self, **options: Any) -> None:
        self._options = self.Config(**options)

    @classmethod
    def from_config(cls, config: Config, workload: object) -> SkimagePatches:
        """From checked options; ``workload`` is not used."""
        return cls(**config.model_dump())

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """``(C, H, W)``."""
        return (3 if self._options.colour else 1, self._options.patch, self._options.patch)

    @property
    def digest(self) -> str:
        """16 hexadecimal digits of the pictures and the options; reads no picture."""
        return digest_of(
            name="skimage_patches", pictures=dict(PICTURES), options=self._options.model_dump()
        )

    def load(self) -> Splits:
        """Cut the patches.

        Raises:
            MissingExtra: scikit-image is not installed.
            ConfigError: a picture is missing or another one, patches are larger than a region, or
                more are asked for than there are.
        """
        folder = _folder()
        pairs: dict[str, list[Pair]] = {part: [] for part in _PARTS}
        counts = {part: self._counts(part) for part in _PARTS}
        for number, name in enumerate(PICTURES):
            picture = _picture(folder / name, colour=self._options.colour)
            for part, regions in _regions(picture).items():
                patches = self._cut(part, number, regions, counts[part][number])
                pairs[part].append((patches, np.full(len(patches), number, dtype=np.int64)))
        whole = {part: self._mixed(part, found) for part, found in pairs.items()}
        return assemble(
            train=whole["train"],
            validation=whole["validation"],
            test=whole["test"],
            classes=self.classes,
            name="skimage_patches",
            digest=self.digest,
        )

    def _counts(self, part: str) -> list[int | None]:
        """Patches of each class: equal shares, what is left over to the first ones."""
        asked = self._options.sizes[part]
        if asked is None:
            return [None] * self.classes
        share, left = divmod(asked, self.classes)
        return [share + (number < left) for number in range(self.classes)]

    def _cut(self, part: str, number: int, regions: tuple[Array, ...], count: int | None) -> Array:
        """``count`` different patches ``[n, C, P, P]`` of ``regions``, in random order."""
        name = list(PICTURES)[number]
        windows = list(self._windows(part, name, regions))
        ends = np.cumsum([w.shape[0] * w.shape[1] for w in windows])
        if count is not None and count > ends[-1]:
            raise ConfigError(
                f"too many patches asked for (got {count} of {name}; there are {ends[-1]} at "
                f"stride {self._options.stride})",
                path=part,
            )
        chosen = self._generator(part, number).permutation(ends[-1])[:count]
        patches = np.empty((len(chosen), *self.input_shape), dtype=np.uint8)
        for window, end in zip(windows, ends, strict=True):
            begin = end - window.shape[0] * window.shape[1]
            own = np.flatnonzero((chosen >= begin) & (chosen < end))
            rows, columns = np.divmod(chosen[own] - begin, window.shape[1])
            patches[own] = window[rows, columns]
        return _even(patches) if self._options.contrast == "patch" else patches

    def _windows(self, part: str, name: str, regions: tuple[Array, ...]) -> Iterator[Array]:
        """Views ``[rows, columns, C, P, P]`` of all patches of each region."""
        side, stride = self._options.patch, self._options.stride
        for region in regions:
            if min(region.shape[1:]) < side:
                raise ConfigError(
                    f"patches of {side} pixels do not fit {name}, whose regions for {part} are "
                    f"{region.shape[1]} x {region.shape[2]} (expected at most "
                    f"{min(region.shape[1:])})",
                    path="patch",
                )
            view = np.lib.stride_tricks.sliding_window_view(region, (side, side), axis=(1, 2))
            yield view[:, ::stride, ::stride].transpose(1, 2, 0, 3, 4)

    def _mixed(self, part: str, pairs: list[Pair]) -> Pair:
        x = np.concatenate([images for images, _ in pairs])
        y = np.concatenate([labels for _, labels in pairs])
        order: Indices = self._generator(part, self.classes).permutation(len(y))
        return x[order], y[order]

    def _generator(self, part: str, number: int) -> np.random.Generator:
        # One stream for each part and class: a smaller train leaves the others alone.
        return np.random.Generator(
            np.random.PCG64([self._options.seed, _PARTS.index(part), number])
        )


def _regions(picture: Array) -> dict[str, tuple[Array, ...]]:
    """Part -> disjoint regions of ``picture [C, H, W]``."""
    height, width = picture.shape[1:]
    right = picture[:, :, width // 2 :]
    edges = [height * band // _BANDS for band in range(_BANDS + 1)]
    bands = [right[:, edges[band] : edges[band + 1]] for band in range(_BANDS)]
    return {
        "train": (picture[:, :, : width // 2],),
        "validation": tuple(bands[0::2]),
        "test": tuple(bands[1::2]),
    }


def _even(patches: Array) -> Array:
    """Float patches of mean 0 and deviation about 1; flat ones stay weak."""
    x = patches.astype(np.float32) / 255
    x -= x.mean(axis=(1, 2, 3), keepdims=True)
    even: Array = x / (x.std(axis=(1, 2, 3), keepdims=True) + _EVEN)
    return even


def _folder() -> Path:
    """Where scikit-image keeps its pictures; found without importing it, which takes long."""
    spec = importlib.util.find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtra(
            "dataset skimage_patches needs scikit-image, whose pictures it cuts up. "
            "Run: pip install 'cipher-search[pictures]'"
        )
    return Path(next(iter(spec.submodule_search_locations))) / "data"


def _picture(path: Path, *, colour: bool) -> Array:
    """``[C, H, W]``, uint8, checked against its known content."""
    from PIL import Image

    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"the installed scikit-image lacks a picture ({error.strerror}). "
            "Install it from its wheel: pip install --force-reinstall scikit-image",
            source=str(path),
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != PICTURES[path.name]:
        raise ConfigError(
            f"another picture than the one known (got SHA-256 {found[:16]}...; expected "
            f"{PICTURES[path.name][:16]}...). Install scikit-image 0.26",
            source=str(path),
        )
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB" if colour else "L"))
    return pixels.transpose(2, 0, 1) if colour else pixels[None]
