"""Two-party inference for real: CrypTen between two processes of this machine.

A trained network is lowered to a list of plain steps (:mod:`evaluators.lowered`), which two
processes run on secret shares (:mod:`.party`, :mod:`.secure`); :mod:`.run` starts, watches and
reaps them. CrypTen itself is imported in those processes only.

Source: Knott et al., CrypTen: Secure Multi-Party Computation Meets Machine Learning (NeurIPS 2021).
"""
