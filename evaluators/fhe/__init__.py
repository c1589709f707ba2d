"""Encrypted inference by CKKS: from a network to a packed circuit, its verdict, cost and run."""
