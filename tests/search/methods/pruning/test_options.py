import pytest
from pydantic import ValidationError

from search.methods.pruning.options import (
    AdmmOptions,
    MagnitudeOptions,
    PruningOptions,
    Purification,
)
from search.methods.pruning.progressive import ProgressiveOptions


def test_defaults_prune_from_labels_alone() -> None:
    assert PruningOptions().distillation == 0
    assert PruningOptions().purify is None
    assert MagnitudeOptions().way == "gradual"
    assert MagnitudeOptions().curvature == AdmmOptions().curvature == 0
    assert ProgressiveOptions().curvature == 0.5


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        (PruningOptions, {"retrain_share": 1.0}),
        (PruningOptions, {"polynomial_scale": 1.0}),
        (AdmmOptions, {"update_every": 0}),
        (MagnitudeOptions, {"way": "slow"}),
        (MagnitudeOptions, {"way": "one_shot", "curvature": 0.5}),
        (AdmmOptions, {"curvature": 1.5}),
        (Purification, {"emptiness": 1.0}),
    ],
)
def test_what_cannot_be(options: type[PruningOptions], fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        options(**fields)  # type: ignore[arg-type]
