"""A trial as an artefact to deploy: weights, plan, facts, and the network as a program."""

from search.export.artefact import FACTS, export_trial, load_network

__all__ = ["FACTS", "export_trial", "load_network"]
