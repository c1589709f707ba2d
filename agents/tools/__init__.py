"""Deterministic tools that controllers act through: typed arguments in, plain JSON out."""
