"""Searchers: what proposes points. Ours, and Optuna's behind the same four calls."""
