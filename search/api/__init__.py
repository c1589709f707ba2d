"""The words of the project: plain data and protocols, standard library only."""
