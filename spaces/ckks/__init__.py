"""CKKS configurations: what may be chosen, and which rules a choice must keep."""
