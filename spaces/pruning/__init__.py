"""Pruning ratios: how many weights, in which structure, each layer keeps."""
