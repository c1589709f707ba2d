"""Encrypted inference by Orion's second line: its compiler, its evaluator and Lattigo."""
