"""Families of modes as C arrays, with a small portable runner."""
