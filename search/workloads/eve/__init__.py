"""What EVE does to the weights of a network: patterns, levels, integers."""
