"""What pruning does to the weights of a network: structures, levels, smaller networks."""
