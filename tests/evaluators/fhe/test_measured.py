"""What the encrypted rungs share."""

from typing import Any

import pytest
import torch

from evaluators.fhe.failures import BackendFailure
from evaluators.fhe.measured import (
    RunConfig,
    back_end,
    case_of,
    limits_of,
    require_precise,
    require_unwrapped,
)
from evaluators.fhe.precision import Precision
from evaluators.fhe.seal.run import Seal
from search.api.errors import EvaluationError


def test_a_case_holds_layouts_or_the_network(
    small_squares: Any, squares_candidate: Any, here: Any
) -> None:
    ours = case_of(squares_candidate, small_squares, "e", here, times="none", own_layouts=False)
    assert ours.samples.shape == (16, 36)
    assert ours.task.packed is not None
    assert ours.task.network is None
    theirs = case_of(squares_candidate, small_squares, "e", here, times="none", own_layouts=True)
    assert theirs.task.packed is None
    assert isinstance(theirs.task.network, torch.nn.Module)
    assert not theirs.task.network.training


def test_without_images_there_is_no_case(
    small_squares: Any, squares_candidate: Any, here: Any
) -> None:
    data = small_squares.data
    empty = type(small_squares)(
        data=type(data)(data.train, type(data.train)(data.train.x[:0], data.train.y[:0]),
                        data.test, 3, (1, 6, 6), "signs", "0" * 16, (0.0,), (1.0,))
    )  # fmt: skip
    with pytest.raises(EvaluationError, match="validation split is empty"):
        case_of(squares_candidate, empty, "e", here, times="none", own_layouts=False)


def test_the_default_back_end_is_ours() -> None:
    assert isinstance(back_end("seal"), Seal)
    assert back_end("seal").capabilities().name == "seal"


def test_limits_are_the_options() -> None:
    limits = limits_of(RunConfig(timeout_s=5, memory_mb=700))
    assert (limits.seconds, limits.memory_mb) == (5, 700)


def test_answers_below_a_floor_are_refused() -> None:
    good = Precision(8.0, 6.0, 0.95, 20)
    require_precise(good, 4.0, 0.9)
    with pytest.raises(BackendFailure, match=r"8.0 bits on average .expected at least 9"):
        require_precise(good, 9.0)
    with pytest.raises(BackendFailure, match=r"95 % of 20 images .* at least 99 %"):
        require_precise(good, 4.0, 0.99)


def test_outputs_that_wrap_around_are_refused() -> None:
    require_unwrapped(Precision(12.0, 2.0, 1.0, 20), 0.1)
    require_unwrapped(Precision(-2.0, -4.0, 1.0, 20), 1e6)
    with pytest.raises(BackendFailure, match=r"off by 4.1e\+03 where outputs reach 65: it wraps"):
        require_unwrapped(Precision(12.0, -12.0, 1.0, 20), 65.0)
