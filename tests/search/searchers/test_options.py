from __future__ import annotations

import pytest

from search.api.errors import ConfigError
from search.searchers.optuna_backed import TPEConfig


def test_options_are_typed_and_known() -> None:
    assert TPEConfig.of({"n_startup_trials": 3}).n_startup_trials == 3
    with pytest.raises(ConfigError, match="known: .*constant_liar") as error:
        TPEConfig.of({"n_startup_trails": 3})
    assert "Did you mean 'n_startup_trials'" in str(error.value)
    assert error.value.path == "searcher.n_startup_trails"
    with pytest.raises(ConfigError, match="n_startup_trials.*got 'many'"):
        TPEConfig.of({"n_startup_trials": "many"})
    with pytest.raises(ConfigError, match="n_ei_candidates"):
        TPEConfig.of({"n_ei_candidates": 0})
