"""Secure multi-party computation: what a network costs under a protocol.

One module per family of protocols, one TOML table per set of constants (``tables/``).
"""
