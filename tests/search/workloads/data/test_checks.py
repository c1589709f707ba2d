"""Arrays from elsewhere: brought into one form, or refused by name and place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from search.api.errors import ConfigError
from search.workloads.data.checks import as_numpy, class_count, images, labels


@pytest.mark.parametrize(
    "value",
    [
        [[1.0, 2.0], [3.0, 4.0]],
        np.array([[1.0, 2.0], [3.0, 4.0]]),
        torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True),
        torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.bfloat16),
    ],
    ids=["lists", "array", "tensor with gradient", "bfloat16"],
)
def test_arrays_tensors_and_lists_become_arrays(value: Any) -> None:
    array = as_numpy(value, "x")
    assert isinstance(array, np.ndarray)
    assert array.tolist() == [[1.0, 2.0], [3.0, 4.0]]


def test_ragged_lists_are_refused() -> None:
    with pytest.raises(ConfigError, match="^x_train: not a rectangular array"):
        as_numpy([[1, 2], [3]], "x_train")


@pytest.mark.parametrize(
    ("shape", "layout", "expected"),
    [
        ((2, 5, 6), "nchw", (2, 1, 5, 6)),
        ((2, 5, 6), "nhwc", (2, 1, 5, 6)),
        ((2, 3, 5, 6), "nchw", (2, 3, 5, 6)),
        ((2, 5, 6, 3), "nhwc", (2, 3, 5, 6)),
    ],
)
def test_images_get_channels_first(
    shape: tuple[int, ...], layout: Any, expected: tuple[int, ...]
) -> None:
    x = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    found = images(x, "x", layout=layout)
    assert (found.shape, found.dtype) == (expected, np.uint8)
    if layout == "nhwc" and len(shape) == 4:
        assert (found[1, 2] == x[1, :, :, 2]).all()


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (
            np.zeros((2, 4)),
            r"wrong number of dimensions \(got shape \[2, 4\].*\[n, 1, 1, features\]",
        ),
        (np.zeros((2, 3, 4), dtype=bool), r"wrong dtype \(got bool"),
        (np.zeros((2, 3, 4), dtype=complex), r"wrong dtype \(got complex128"),
        (np.zeros((2, 3, 0, 4)), r"images are empty \(shape \[2, 3, 0, 4\]\)"),
    ],
)
def test_other_arrays_are_no_images(x: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^a.npz: x_test: {message}"):
        images(x, "x_test", source="a.npz")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [0, 1023, 1024, 1029])
def test_the_first_broken_image_is_named(bad: float, row: int) -> None:
    x = np.zeros((1030, 1, 2, 2), dtype=np.float32)
    x[row, 0, 1, 1] = x[-1, 0, 0, 0] = bad
    with pytest.raises(ConfigError, match=f"NaN or infinity in image {row}$"):
        images(x, "x")


def test_labels_become_int64() -> None:
    found = labels(np.array([0, 3, 255], dtype=np.uint8), "y", count=3)
    assert (found.tolist(), found.dtype) == ([0, 3, 255], np.int64)
    assert labels(np.zeros(0, dtype=int), "y", count=0).shape == (0,)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.array([0.0, 1.0]), r"wrong dtype \(got float64; expected integers\)"),
        (np.eye(2, dtype=int), r"wrong shape \(got \[2, 2\].*argmax\(1\)"),
        (np.array([0, 1, 1]), r"not one label for each image \(got 3 labels, 2 images\)"),
        (np.array([0, -1]), r"negative label \(got -1\)"),
    ],
)
def test_other_arrays_are_no_labels(y: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^a.npz: y_train: {message}"):
        labels(y, "y_train", count=2, source="a.npz")


@pytest.mark.parametrize(("asked", "expected"), [(None, 5), (5, 5), (10, 10)])
def test_classes_are_counted_over_all_parts(asked: int | None, expected: int) -> None:
    parts = {"y_train": np.array([0, 2]), "y_test": np.array([4])}
    assert class_count(parts, asked) == expected


def test_a_label_beyond_the_classes_names_its_array() -> None:
    parts = {"y_train": np.array([0, 2]), "y_test": np.array([4])}
    with pytest.raises(
        ConfigError, match=r"^y_test: label out of range \(got 4; expected 0 to 2\)"
    ):
        class_count(parts, 3)
