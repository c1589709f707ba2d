from __future__ import annotations

import pickle
from pathlib import Path

from search.api.exporting import Exported, SharesWeights


def test_an_export_leaves_out_nothing_unless_it_says_so() -> None:
    made = Exported({"a.json": "numbers"})
    assert made.left_out == {}
    assert made.usage == ""
    assert pickle.loads(pickle.dumps(made)) == made


def test_a_method_that_shares_weights_is_known_by_its_member() -> None:
    class Sharing:
        def shared_weights(self) -> Path | None:
            return None

    assert isinstance(Sharing(), SharesWeights)
    assert not isinstance(object(), SharesWeights)
