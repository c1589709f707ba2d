"""Controllers that ask a language model; the one that needs none is :mod:`agents.expert`."""
