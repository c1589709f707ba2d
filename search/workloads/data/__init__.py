"""Datasets: each gives a three-way split of real images, normalised and checksummed."""
