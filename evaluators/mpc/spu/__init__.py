"""Two-party inference for real, second back end: SPU between two processes of this machine.

SPU (SecretFlow) brings SEMI2K, whose triples a dealer makes, and Cheetah, which needs no dealer. It
wants versions of its own of JAX and NumPy, so it lives in an environment of its own
(:mod:`.environment`): two scripts (:mod:`.party`, :mod:`.operations`) are run by that interpreter,
and :mod:`.run` starts, watches and reaps them. SPU is never imported here.

Source: Ma et al., SecretFlow-SPU (USENIX ATC 2023); Huang et al., Cheetah (USENIX Security 2022).
"""
